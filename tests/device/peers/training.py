"""Training steps of torchvision's classifiers in PyTorch, eager and compiled, on pictures that lie on the device already:
the peer of `device_figures training`'s figures "...network".

    python training.py [--device cpu --small] [--seconds N] [--compile compiled,compiled_longer]"""
import torch

from measure import Bench, matrix_rates, precision

CLASSES = 6
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
NETWORKS = ("resnet18", "resnet50", "densenet121", "vit_b_16")
RATE = 0.0  # the weights stay, and each step costs the same


def step_of(network, optimizer, name, pictures, labels):
    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(pictures.device.type, HALVES.get(name, torch.bfloat16), enabled=name in HALVES):
            output = network(pictures)
        torch.nn.functional.cross_entropy(output.float(), labels).backward()
        optimizer.step()
    return step


def optimizer_of(network, bench):
    options = dict(lr=RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return torch.optim.SGD(network.parameters(), fused=bench.on_gpu, foreach=None if bench.on_gpu else True, **options)


def print_figure(bench, peer, name, network_name, batch):
    from torchvision import models
    side = 32 if bench.small else 448
    figure = f"training.{network_name}.{side}px.b{batch}.{name}.network"

    def work():
        precision(name)
        sides = {"image_size": side} if network_name == "vit_b_16" else {}
        network = getattr(models, network_name)(num_classes=CLASSES, **sides).to(bench.device).train()
        pictures = torch.randn(batch, 3, side, side, device=bench.device)
        if bench.on_gpu:  # as ours; on CPUs the plain order
            network = network.to(memory_format=torch.channels_last)
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        labels = torch.randn(batch, CLASSES, device=bench.device).softmax(1)
        way = dict(bench.ways(network))[peer]()
        step = step_of(way, optimizer_of(network, bench), name, pictures, labels)
        bench.rate(figure, batch, "images/s", step, peer)
    bench.attempt(figure, work, peer)


def main(arguments=None):
    bench = Bench(__doc__.split("\n")[0], arguments)
    for name in ("bf16", "fp16", "tf32", "fp32") if bench.on_gpu else ("bf16", "tf32", "fp32"):
        for peer in ["eager", *bench.compiled]:  # compiling takes long: what is eager comes first
            for network_name in NETWORKS:
                for batch in (2,) if bench.small else (64,) if name == "fp16" else (16, 64):
                    print_figure(bench, peer, name, network_name, batch)
    matrix_rates(bench, "training")


if __name__ == "__main__":
    main()

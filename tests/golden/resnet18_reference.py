#!/usr/bin/env python3
"""Makes resnet18_reference.json and resnet_tensors.csv: torchvision's ResNet-18 in float64 on made-up weights and pictures.

Every number that goes in comes from an integer hash of (tensor index, element), written here and in
tests/support/hashed_numbers.h, so the file needs to hold only what comes out: logits, losses, gradients, and the state
after ten steps of torch.optim.SGD. In float64 both programs agree to 1e-9, so that a wrong rule cannot hide in rounding.

Run: python3 tests/golden/resnet18_reference.py   (needs torch and torchvision)
"""
import csv
import json
import math
import pathlib

import numpy
import torch
import torchvision

HERE = pathlib.Path(__file__).resolve().parent
CLASSES, BATCH, SIDE, STEPS = 5, 8, 32, 10
PICTURES, LABELS = 1000, 2000  # tensor indices of the inputs of step 0, 1, ...
SAMPLES = 3


def hashed(tensor_index, count):
    """Uniform numbers in [0, 1) with 24 bits: splitmix64's output function on (tensor index, element)."""
    with numpy.errstate(over="ignore"):
        z = numpy.arange(count, dtype=numpy.uint64) + (numpy.uint64(tensor_index) << numpy.uint64(32))
        z = (z + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) * 2.0**-24


def hashed_tensor(tensor_index, shape):
    return torch.from_numpy(hashed(tensor_index, math.prod(shape))).reshape(shape)


def fill(network):
    """Weights by position in the sorted list of names; the rule depends on what the name ends in."""
    state = network.state_dict()
    for index, name in enumerate(sorted(state)):
        tensor = state[name]
        if name.endswith("num_batches_tracked"):
            continue
        u = hashed_tensor(index, tuple(tensor.shape))
        if tensor.dim() > 1:
            value = (2 * u - 1) * math.sqrt(6.0 / math.prod(tensor.shape[1:]))
        elif name.endswith("running_var"):
            value = 0.5 + u
        elif name.endswith("weight"):
            value = 1 + 0.2 * (2 * u - 1)
        else:
            value = 0.1 * (2 * u - 1)
        tensor.copy_(value)


def pictures(step):
    return 3 * hashed_tensor(PICTURES + step, (BATCH, 3, SIDE, SIDE)) - 1.5


def labels(step):
    raw = hashed_tensor(LABELS + step, (BATCH, CLASSES)) + 0.01
    return raw / raw.sum(1, keepdim=True)


def digest(tensor):
    """Norm and a few elements, spread over the tensor: enough to notice any difference."""
    flat = tensor.detach().double().flatten()
    return {"norm": flat.norm().item(), "samples": [flat[(i * (flat.numel() - 1)) // (SAMPLES - 1)].item() for i in range(SAMPLES)]}


def sgd_cases():
    cases = []
    for momentum, nesterov, decay in [(0.9, True, 5e-4), (0.9, False, 0.0), (0.0, False, 1e-2)]:
        parameter = torch.nn.Parameter(hashed_tensor(1, (4, 3)) - 0.5)
        optimiser = torch.optim.SGD([parameter], lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=decay)
        for step, rate in enumerate([0.1, 0.1, 0.01, 0.01]):
            optimiser.param_groups[0]["lr"] = rate
            parameter.grad = hashed_tensor(10 + step, (4, 3)) - 0.5
            optimiser.step()
        cases.append({"momentum": momentum, "nesterov": nesterov, "weight_decay": decay, "after": parameter.detach().flatten().tolist()})
    return cases


def normalise_cases():
    values = torch.tensor([0, 1, 2, 63, 127, 128, 200, 254, 255], dtype=torch.uint8)
    picture = values.repeat(3, 1).reshape(3, 1, -1).float().div(255)
    result = torchvision.transforms.functional.normalize(picture, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return {"bytes": values.tolist(), "channels": [[float(x) for x in channel.flatten()] for channel in result]}


def main():
    torch.set_num_threads(2)
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=CLASSES).double()
    fill(network)
    result = {"classes": CLASSES, "batch": BATCH, "side": SIDE, "torch": torch.__version__, "torchvision": torchvision.__version__}
    with torch.no_grad():
        result["logits_eval"] = network.eval()(pictures(0)).flatten().tolist()

    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    result["losses"] = []
    for step in range(STEPS):
        optimiser.zero_grad()
        logits = network(pictures(step))
        loss = torch.nn.functional.cross_entropy(logits, labels(step))
        loss.backward()
        if step == 0:
            result["logits_train"] = logits.detach().flatten().tolist()
            result["gradients"] = {name: digest(p.grad) for name, p in network.named_parameters()}
        result["losses"].append(loss.item())
        optimiser.step()
    result["after"] = {name: digest(t) for name, t in network.state_dict().items()}
    result["sgd"] = sgd_cases()
    result["normalise"] = normalise_cases()
    (HERE / "resnet18_reference.json").write_text(json.dumps(result, indent=0, sort_keys=True) + "\n")

    with open(HERE / "resnet_tensors.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["network", "name", "shape", "kind"])
        for name in ("resnet18", "resnet50"):
            original = getattr(torchvision.models, name)()
            parameters = dict(original.named_parameters())
            for key, tensor in original.state_dict().items():
                writer.writerow([name, key, "x".join(map(str, tensor.shape)) or "scalar", "param" if key in parameters else "buffer"])


if __name__ == "__main__":
    main()

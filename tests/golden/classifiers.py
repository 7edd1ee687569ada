#!/usr/bin/env python3
"""Makes classifiers.json, classifier_tensors.csv and classifier_initial_values.csv: torchvision's ResNet-50, DenseNet-121 and Vision
Transformers in float64 on made-up weights and pictures of odd sizes, as resnet18_reference.py has ResNet-18: logits, gradients, ten steps of
torch.optim.SGD; resized position embeddings; names and shapes; and how torchvision's networks start (mean, deviation, extremes of every
parameter), which no random numbers of ours can equal one by one.

Run: python3 tests/golden/classifiers.py   (needs torch and torchvision; run with torch 2.11.0 and torchvision 0.26.0, float64, CPU)
"""
import csv
import json

import torch
import torchvision
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from resnet18_reference import HERE, LABELS, PICTURES, STEPS, digest, fill, hashed_tensor

CLASSES, BATCH = 5, 4
DIGITS = 13
POSITIONS = 3000  # tensor index of the first made-up position embedding


def vision_transformer(side, layers=3, heads=4, width=64, mlp=96):
    return VisionTransformer(image_size=side, patch_size=16, num_layers=layers, num_heads=heads, hidden_dim=width, mlp_dim=mlp,
                             num_classes=CLASSES)


# Network, sides of the one picture batch whose gradients are compared, sides in the ten steps (None: no steps).
CASES = {
    "resnet50": (lambda: torchvision.models.resnet50(num_classes=CLASSES), (49, 33), (40, 36)),
    "densenet121": (lambda: torchvision.models.densenet121(num_classes=CLASSES), (97, 75), (40, 36)),
    "small_vit": (lambda: vision_transformer(48), (48, 48), (48, 48)),
    "vit_b_16": (lambda: vision_transformer(32, 12, 12, 768, 3072), (32, 32), None),
}


def pictures(step, sides):
    return 3 * hashed_tensor(PICTURES + step, (BATCH, 3, *sides)) - 1.5


def labels(step):
    raw = hashed_tensor(LABELS + step, (BATCH, CLASSES)) + 0.01
    return raw / raw.sum(1, keepdim=True)


def short(value):
    if isinstance(value, dict):
        return {key: short(each) for key, each in value.items()}
    if isinstance(value, list):
        return [short(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def reference(make, sides, step_sides):
    network = make().double()
    fill(network)
    result = {"sides": list(sides)}
    with torch.no_grad():
        result["logits_eval"] = network.eval()(pictures(0, sides)).flatten().tolist()
    network.train()
    logits = network(pictures(0, sides))
    torch.nn.functional.cross_entropy(logits, labels(0)).backward()
    result["logits_train"] = logits.detach().flatten().tolist()
    result["gradients"] = {name: digest(p.grad) for name, p in network.named_parameters()}
    if step_sides is None:
        return result
    network = make().double().train()
    fill(network)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    result["step_sides"] = list(step_sides)
    result["losses"] = []
    for step in range(STEPS):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(pictures(step, step_sides)), labels(step))
        loss.backward()
        result["losses"].append(loss.item())
        optimiser.step()
    result["after"] = {name: digest(t) for name, t in network.state_dict().items()}
    return result


def resized_positions():
    cases = []
    for index, (before, after, width) in enumerate([(3, 5, 6), (4, 3, 4), (2, 7, 2)]):
        positions = hashed_tensor(POSITIONS + index, (1, 1 + before * before, width)).float()
        state = interpolate_embeddings(image_size=16 * after, patch_size=16, model_state={"encoder.pos_embedding": positions})
        cases.append({"from": before, "to": after, "width": width, "values": state["encoder.pos_embedding"].flatten().tolist()})
    return cases


def write_tensors(networks):
    with open(HERE / "classifier_tensors.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["network", "name", "shape", "kind"])
        for name in ("densenet121", "vit_b_16"):
            parameters = dict(networks[name].named_parameters())
            for key, tensor in networks[name].state_dict().items():
                writer.writerow([name, key, "x".join(map(str, tensor.shape)) or "scalar", "param" if key in parameters else "buffer"])


def write_initial_values(networks):
    with open(HERE / "classifier_initial_values.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["network", "name", "mean", "deviation", "lowest", "highest"])
        for name, network in networks.items():
            for key, parameter in network.named_parameters():
                p = parameter.detach().double()
                values = [p.mean().item(), p.std(correction=0).item(), p.min().item(), p.max().item()]
                writer.writerow([name, key] + [f"{value:.7g}" for value in values])


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    result = {"classes": CLASSES, "batch": BATCH, "torch": torch.__version__, "torchvision": torchvision.__version__}
    result |= {name: reference(*case) for name, case in CASES.items()}
    result["positions"] = resized_positions()
    (HERE / "classifiers.json").write_text(json.dumps(short(result), indent=0, sort_keys=True) + "\n")
    networks = {name: getattr(torchvision.models, name)() for name in ("resnet18", "resnet50", "densenet121")}
    networks["vit_b_16"] = torchvision.models.vit_b_16(image_size=384)
    write_tensors(networks)
    write_initial_values(networks)


if __name__ == "__main__":
    main()

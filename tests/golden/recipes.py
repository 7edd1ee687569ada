#!/usr/bin/env python3
"""Makes recipes.safetensors and recipes.json: learning rates of the recipes over their whole length, and losses of smoothed
labels, as PyTorch and pytorch_warmup compute them.

Recipe A is PyTorch's MultiStepLR by epoch; B and C are CosineAnnealingLR by step inside pytorch_warmup's LinearWarmup, as
Diff-Mix's training program uses the two. Logits and labels come from the integer hash of made_up.py.

Run: python3 tests/golden/recipes.py   (needs torch, numpy, safetensors and pytorch_warmup; made with torch 2.11 and
pytorch_warmup 0.2)
"""
import json
import pathlib

import pytorch_warmup
import torch
from safetensors.torch import save_file

from made_up import made_up

HERE = pathlib.Path(__file__).resolve().parent
CUB = 5994  # training pictures


def optimizer(rate):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate, momentum=0.9)


def steps_down(rate, epochs, milestones):
    sgd = optimizer(rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [m - 1 for m in milestones], gamma=0.1)
    rates = []
    for _ in range(epochs):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    return torch.tensor(rates, dtype=torch.float64)


def dampened_cosine(rate, epochs, pictures, batch):
    sgd = optimizer(rate)
    length = int(epochs * pictures / batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=length)
    warmup = pytorch_warmup.LinearWarmup(sgd, warmup_period=max(1, int(0.1 * length)))
    rates = []
    for _ in range(epochs * (pictures // batch)):  # the incomplete last batch makes no step
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        with warmup.dampening():
            schedule.step()
    return torch.tensor(rates, dtype=torch.float64)


def smoothed(labels, smoothing):
    """Diff-Mix's rule for dense labels."""
    classes = labels.shape[1]
    return labels if classes < 2 else (1 - smoothing) * labels + smoothing / (classes - 1)


def loss_case(name, classes, smoothing, spread, kind):
    index = 100 + len(CASES)
    logits = made_up(index, (6, classes), -spread, spread)
    one_hot = torch.nn.functional.one_hot(torch.arange(6) % classes, classes).float()
    soft = torch.softmax(made_up(index + 50, (6, classes), -2, 2).double(), 1).float()
    labels = {"one_hot": one_hot, "soft": soft, "scaled": 0.9 * soft, "nothing": 0 * soft}[kind]
    loss = torch.nn.CrossEntropyLoss()(logits.double(), smoothed(labels.double(), smoothing))
    CASES.append({"name": name, "index": index, "classes": classes, "smoothing": smoothing, "spread": spread, "kind": kind,
                  "loss": loss.item()})


CASES = []
loss_case("recipe B's smoothing", 200, 0.1, 3, "one_hot")
loss_case("soft labels", 5, 0.1, 3, "soft")
loss_case("labels that sum to 0.9", 5, 0.1, 3, "scaled")
loss_case("no smoothing", 5, 0.0, 3, "soft")
loss_case("nearly nothing left", 3, 0.999, 3, "one_hot")
loss_case("two classes", 2, 0.1, 3, "one_hot")
loss_case("one class", 1, 0.1, 3, "one_hot")
loss_case("no label at all", 4, 0.1, 3, "nothing")
loss_case("large logits", 5, 0.1, 1e4, "soft")
save_file({"a": steps_down(0.01, 300, [150, 225]), "b": dampened_cosine(0.001, 120, CUB, 32),
           "c": dampened_cosine(0.05, 120, CUB, 256)}, HERE / "recipes.safetensors")
(HERE / "recipes.json").write_text(json.dumps({"losses": CASES}, indent=1) + "\n")

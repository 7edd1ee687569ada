#!/usr/bin/env python3
"""Replays `deda train --trace DIR` with PyTorch and torchvision from the trace files alone, and compares every number.

    python3 analysis/replay_train_trace.py DIR [--tolerance 1e-4] [--gradient-tolerance 0.05]

Each step starts from the traced state before it (initial.* in the first file, updated.* of the file before it after that),
with momentum gathered from the traced gradients. Compared: output, loss, updated.NAME by the largest absolute difference,
divided by the largest absolute value of the traced tensor; grad.NAME by the norm of the difference over the norm. Gradients
have a wider tolerance: a ReLU whose input is zero but for rounding switches between two programs, or two memory orders of
PyTorch itself, and gradients through the first layers of a fresh network then differ by up to some per cent. With several ranks every rank's share is
replayed and gradients are added up with the share's weight, as the program promises. The label vector of every combined sample is
held against what its draws say (classes and visible areas of the pasted CDPs).

Random decisions of every sample are drawn again (replay_draws.py says which), and with augment.policy torchvision's operations are applied
to before_POLICY on PIL pictures: what comes out has to be `input`, pixel by pixel.
Batches of image-mixing methods are mixed again from composed and mix.* (replay_mixing.py says which), and a method's clean_weight adds
the unmixed batch's gradient.
Exit code 0: all within tolerance; 1: not; 2: the trace cannot be read. Needs torch, torchvision, safetensors.
"""
import argparse
import json
import pathlib
import re
import sys

import torch
import torchvision
from safetensors import safe_open

import replay_draws
import replay_mixing

FLOOR = 1e-6  # absolute differences below this are rounding, whatever the tensor's size


def read(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def trace_steps(folder):
    """[(number, [path of rank 0, path of rank 1, ...])], in order."""
    steps = {}
    for path in folder.glob("step-*.safetensors"):
        match = re.fullmatch(r"step-(\d+)(?:\.rank-(\d+))?\.safetensors", path.name)
        if match:
            steps.setdefault(int(match[1]), {})[int(match[2] or 0)] = path
    return [(number, [ranks[r] for r in sorted(ranks)]) for number, ranks in sorted(steps.items())]


def smooth(label, smoothing):
    classes = label.shape[1]
    return label if smoothing == 0 or classes < 2 else label * (1 - smoothing) + smoothing / (classes - 1)


def several_labels(metadata):
    return metadata.get("objective", "single_label") == "multi_label"  # absent: traced before there was another


def counted(share, metadata):
    """What the loss is the mean over: samples, or entries of labels that are not negative."""
    return int((share["label"] >= 0).sum()) if several_labels(metadata) else share["input"].shape[0]


def counted_clean(share, metadata):
    """The same of the batch before it was mixed."""
    return counted({"input": share["composed"], "label": share["composed_label"]}, metadata) if "composed" in share else 0


def loss_of(output, label, metadata):
    if not several_labels(metadata):
        return torch.nn.functional.cross_entropy(output, smooth(label, float(metadata["label_smoothing"])))
    counts = (label >= 0).float()
    each = torch.nn.functional.binary_cross_entropy_with_logits(output, label.clamp(min=0), reduction="none")
    return (each * counts).sum() / counts.sum().clamp(min=1)


def misfits_of_labels(share, metadata):
    """Combined samples whose label vector is not what their draws say. Several labels: pasted on CIPs, 1 where a pasted class is
    visible (or by area), else 0, or -1 where the background's picture leaves a class open; whole pictures as background keep labels."""
    misfits, labels = 0, share.get("composed_label", share["label"])  # mixing comes after
    settings = json.loads(metadata.get("augment", "{}"))
    if "draw.class1" not in share:  # traced before draws named classes
        return 0
    for i in range(labels.shape[0]):
        if not int(share["draw.augmented"][i]):
            continue
        area1, area2, mixed = int(share["draw.area1"][i]), int(share["draw.area2"][i]), int(share["draw.mix"][i]) >= 0
        first = 1.0 if not mixed or area1 + area2 == 0 else area1 / (area1 + area2)
        pasted = {int(share["draw.class1"][i]): (first, area1)}
        if mixed:
            weight, area = pasted.get(int(share["draw.class2"][i]), (0.0, 0))
            pasted[int(share["draw.class2"][i])] = (weight + 1.0 - first, area + area2)
        for c, value in enumerate(labels[i].tolist()):
            weight, area = pasted.get(c, (0.0, 0))
            if several_labels(metadata):
                wanted = weight if settings.get("mixed_label") == "area" else 1.0
                open_values = (0.0, -1.0, 1.0) if settings.get("paste_on") else (0.0, -1.0)
                good = abs(value - wanted) < 1e-6 if area > 0 else value in open_values
            else:
                good = abs(value - weight) < 1e-6
            if not good:
                misfits += 1
                break
    return misfits


def difference(ours, traced):
    gap = (ours.double() - traced.double()).abs().max().item() if ours.numel() else 0.0
    return 0.0 if gap <= FLOOR else gap / max(traced.double().abs().max().item(), FLOOR)


def norm_difference(ours, traced):
    gap = (ours.double() - traced.double()).norm().item()
    return 0.0 if gap <= FLOOR else gap / max(traced.double().norm().item(), FLOOR)


def replay(network, momentum, shares, metadata):
    """One step from the network's present state; leaves gradients and running statistics in place and returns outputs and loss."""
    total = max(1, sum(counted(share, metadata) for share in shares if "input" in share))
    parameters = dict(network.named_parameters())
    gradients = {name: torch.zeros_like(p) for name, p in parameters.items()}
    outputs, loss_sum, statistics = [], 0.0, None
    clean_weight = replay_mixing.clean_weight(shares, metadata)
    total_clean = max(1, sum(counted_clean(share, metadata) for share in shares if "input" in share))
    before = {name: b.clone() for name, b in network.named_buffers()}
    for share in shares:
        if "input" not in share:
            outputs.append(None)
            continue
        for name, buffer in network.named_buffers():
            buffer.copy_(before[name])
        network.zero_grad()
        output = network(share["input"].float())
        loss = loss_of(output, share["label"], metadata)
        loss.backward()
        size = counted(share, metadata)
        for name, p in parameters.items():
            gradients[name] += p.grad * (size / total)
        loss_sum += loss.item() * size
        outputs.append(output.detach())
        if statistics is None:  # running statistics are rank 0's
            statistics = {name: b.clone() for name, b in network.named_buffers()}
        if clean_weight > 0:
            network.zero_grad()
            loss_of(network(share["composed"].float()), share["composed_label"], metadata).backward()
            for name, p in parameters.items():
                gradients[name] += p.grad * (clean_weight * counted_clean(share, metadata) / total_clean)
    for name, buffer in network.named_buffers():
        buffer.copy_(statistics[name])
    return outputs, loss_sum / total, gradients


def replay_together(network, momentum, shares, metadata):
    """The same with batch norm over all ranks: what their shares hold is one batch."""
    present = [share for share in shares if "input" in share]
    names = [name for name in ("input", "label", "composed", "composed_label", "mix.saliency", "mix.assignment") if name in present[0]]
    whole = {name: torch.cat([share[name].float() for share in present]) for name in names}
    outputs, loss, gradients = replay(network, momentum, [whole], metadata)
    parts = iter(outputs[0].split([share["input"].shape[0] for share in present]))
    return [next(parts) if "input" in share else None for share in shares], loss, gradients


def sgd(parameters, gradients, momentum, rate, metadata):
    """PyTorch's rule by hand, so that momentum can start anywhere."""
    mu, decay, nesterov = float(metadata["momentum"]), float(metadata["weight_decay"]), metadata["nesterov"] == "true"
    updated = {}
    for name, p in parameters.items():
        g = gradients[name] + decay * p
        if mu:
            momentum[name] = mu * momentum[name] + g
            g = g + mu * momentum[name] if nesterov else momentum[name]
        updated[name] = p - rate * g
    return updated


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest relative difference allowed (default %(default)g)")
    parser.add_argument("--gradient-tolerance", type=float, default=0.05, help="the same for gradients, by norm (default %(default)g)")
    options = parser.parse_args()
    steps = trace_steps(options.folder)
    if not steps:
        print(f"{options.folder} holds no step-*.safetensors; make some with: deda train --trace DIR --trace-steps N", file=sys.stderr)
        return 2

    network, momentum, previous, worst, misfits = None, None, None, 0.0, 0
    samples, decisions, mixes, mistakes = 0, 0, 0, []
    for number, paths in steps:
        loaded = [read(path) for path in paths]
        shares, metadata = [tensors for tensors, _ in loaded], loaded[0][1]
        traced = shares[0]
        if network is None:
            if not any(name.startswith("initial.") for name in traced):
                print(f"{paths[0]} is the first step but has no initial.* tensors", file=sys.stderr)
                return 2
            sides = {"image_size": traced["input"].shape[-1]} if metadata["network"].startswith("vit_") else {}
            network = getattr(torchvision.models, metadata["network"])(num_classes=int(metadata["classes"]), **sides).train()
            network.load_state_dict({name[len("initial."):]: t for name, t in traced.items() if name.startswith("initial.")})
            momentum = {name[len("initial_momentum."):]: t for name, t in traced.items() if name.startswith("initial_momentum.")}
        elif number != previous + 1:
            print(f"step {previous + 1} is missing", file=sys.stderr)
            return 2
        previous = number
        for path, (tensors, _) in zip(paths, loaded):
            if "input" not in tensors:
                continue
            checked, wrong = replay_draws.check(tensors, metadata)
            samples += tensors["input"].shape[0]
            decisions += checked
            mistakes += [f"{path.name}: {line}" for line in wrong]

        with torch.no_grad():
            start = {name: p.detach().clone() for name, p in network.named_parameters()}
        with torch.enable_grad():
            for buffer in network.buffers():
                buffer.requires_grad_(False)
            checked, wrong = replay_mixing.check(network, shares, metadata, lambda output, label: loss_of(output, label, metadata))
            mixes += checked
            mistakes += [f"step {number}: {line}" for line in wrong]
            run = replay_together if metadata.get("batch_norm") == "global" else replay
            outputs, loss, gradients = run(network, momentum, shares, metadata)
        found = {"output": max(difference(o, s["output"]) for o, s in zip(outputs, shares) if o is not None),
                 "loss": abs(loss - traced["loss"].item()) / max(abs(traced["loss"].item()), FLOOR)}
        traced_gradients = {name: traced["grad." + name].float() for name in gradients}
        found["grad"] = max(norm_difference(g, traced_gradients[name]) for name, g in gradients.items())
        # The update is replayed from the traced gradients, so that it is the optimizer that is compared.
        if all(g.isfinite().all() for g in traced_gradients.values()):
            updated = sgd(start, traced_gradients, momentum, traced["lr"].item(), metadata)
        else:  # fp16 skips such a step
            updated = dict(start)
        updated.update({name: b.clone() for name, b in network.named_buffers()})
        found["updated"] = max(difference(t, traced["updated." + name]) for name, t in updated.items())
        misfits += sum(misfits_of_labels(share, metadata) for share in shares if "label" in share)
        worst = max(worst, *(value / (options.gradient_tolerance if name == "grad" else options.tolerance) for name, value in found.items()))
        print(f"step {number}: loss {traced['loss'].item():.6f}  largest relative differences: " + ", ".join(f"{k} {v:.2e}" for k, v in found.items()))
        network.load_state_dict({name[len("updated."):]: t for name, t in traced.items() if name.startswith("updated.")})

    print(f"draws of {samples} samples: {decisions} decisions drawn again, {mixes} results of mixing compared, {len(mistakes)} differ")
    for line in mistakes[:20]:
        print(f"  {line}", file=sys.stderr)
    print(f"{len(steps)} steps {'agree' if worst <= 1 else 'DIFFER'}: the largest difference is {worst:.2g} times its tolerance")
    print(f"labels of combined samples: {misfits} do not follow from their draws" if misfits else "labels of combined samples follow from their draws")
    return 0 if worst <= 1 and not mistakes and misfits == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Golden files for image-mixing methods: batches mixed with given draws, restated from the originals' sources (facebookresearch/
mixup-cifar10 train.py, clovaai/CutMix-PyTorch train.py, afm-shahab-uddin/SaliencyMix, Shaoli-Huang/SnapMix utils/mixmethod.py,
3neutronstar/GuidedMixup FGVC). Pictures, labels, activations and gradients are made up (made_up.py), so that only draws and outputs
are kept.

mixing_pixels.json     Mixup, CutMix, SaliencyMix in NumPy, and OpenCV contrib for the latter's saliency. For tests/mixing
mixing_networks.json   SnapMix, Guided-SR, Guided-AP in torch (float64), given activations and gradients. For tests/training

Run: OMP_NUM_THREADS=1 python3 tests/golden/mixing_methods.py   (needs numpy, torch, torchvision, opencv-contrib-python-headless; made
with numpy 2.4.6, torch 2.11.0, torchvision 0.26.0, OpenCV's wheel 5.0.0.93; 4.12 sees the same in bytes)
"""
import json
import pathlib
import zlib

import cv2
import mixing_saliency
import numpy as np
import torch
from made_up import hashed
from mixing_saliency import one_cycle_cover
from torch.nn.functional import interpolate
from torchvision.transforms import GaussianBlur

HERE = pathlib.Path(__file__).resolve().parent
CLASSES = 3
LABELS, DRAWS, MAPS = 10_000, 20_000, 30_000  # added to a batch's number: other made-up numbers of it


def rounded(values, digits=9):
    return [float(f"{value:.{digits}g}") for value in np.asarray(values, np.float64).flatten()]


def labels_of(number, kind, batch):
    """[batch, CLASSES]; tests/mixing/made_up_batches.h has the same."""
    labels = np.zeros((batch, CLASSES))
    shares = hashed(LABELS + number, batch)
    for i in range(batch):
        if kind == "one_class":
            labels[i, 1] = 1
        elif kind == "hard":
            labels[i, (i * i + number) % CLASSES] = 1
        else:
            labels[i, i % CLASSES], labels[i, (i + 1) % CLASSES] = shares[i], 1 - shares[i]
    return labels


def box_of(share, centre, side):
    """Rows and columns of CutMix's box: y1, y2, x1, x2."""
    cut = int(side * np.sqrt(1.0 - share))
    y1, x1 = (np.clip(c - cut // 2, 0, side) for c in centre)
    y2, x2 = (np.clip(c + cut // 2, 0, side) for c in centre)
    return int(y1), int(y2), int(x1), int(x2)


def draws_of(number, batch, side):
    """Shares, centres and pairing of a batch; the first ones have the shares 0 and 1."""
    u = hashed(DRAWS + number, 6 + batch)
    shares = {1: (0.0, 0.0), 2: (1.0, 1.0), 3: (0.0, 1.0), 4: (1.0, 0.0)}.get(number % 10, (u[0], u[1]))
    centres = [tuple(int(v * side) for v in pair) for pair in (u[2:4], u[4:6])]
    return shares, centres, np.argsort(u[6:], kind="stable")


# Pixels ---------------------------------------------------------------------------------------------------------------------------

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
SAMPLES = 24


def pictures_of(number, kind, batch, side):
    """[batch, side, side, 3] bytes; tests/mixing/made_up_batches.h has the same."""
    i, y, x, c = np.meshgrid(np.arange(batch), np.arange(side), np.arange(side), np.arange(3), indexing="ij")
    noise = np.floor(256 * hashed(number, i.size)).astype(np.int64).reshape(i.shape)
    if kind == "noise":
        values = noise
    elif kind == "one_colour":
        values = (37 * number + 60 * c + 91 * i) % 256
    else:
        inside = (y >= (2 * i + 1) * side // 9) & (y < (2 * i + 4) * side // 9) & (5 * x > 2 * side) & (5 * x < 3 * side)
        values = np.where(inside, 170 + 25 * c, 60 + 10 * i) + noise // 16
    return values.astype(np.uint8)


def peak_of(picture):
    """Of bytes: SaliencyMix as it is published in its paper, before normalised floats were handed over."""
    done, saliency = cv2.saliency.StaticSaliencyFineGrained_create().computeSaliency(np.ascontiguousarray(picture[..., ::-1]))
    assert done
    values = (saliency * 255).astype(np.uint8)
    return tuple(int(v) for v in np.unravel_index(np.argmax(values), values.shape))


def mixed_pixels(method, number, kind, label_kind, batch, side):
    pictures, labels = pictures_of(number, kind, batch, side), labels_of(number, label_kind, batch)
    (share, _), (centre, _), partner = draws_of(number, batch, side)
    case = {"method": method, "number": number, "kind": kind, "labels": label_kind, "batch": batch, "side": side, "lambda": share,
            "partner": partner.tolist()}
    if method == "mixup":
        normalised = (pictures.astype(np.float32) / np.float32(255) - MEAN) / DEVIATION
        mixed = share * normalised + (1 - share) * normalised[partner]
        levels = ((mixed * DEVIATION + MEAN) * 255).flatten()
        own = share
        case["samples"] = rounded([levels[k * (levels.size - 1) // (SAMPLES - 1)] for k in range(SAMPLES)], 7)
    else:
        if method == "saliencymix":
            centre = peak_of(pictures[partner[0]])
        else:
            case["centre"] = list(centre)
        y1, y2, x1, x2 = box_of(share, centre, side)
        mixed = pictures.copy()
        mixed[:, y1:y2, x1:x2] = pictures[partner][:, y1:y2, x1:x2]
        own = 1 - (y2 - y1) * (x2 - x1) / (side * side)
        case |= {"box": [y1, y2, x1, x2], "crc32": f"{zlib.crc32(mixed.tobytes()):08x}"}
    case["weights"] = rounded([own, 1 - own])
    case["mixed_labels"] = rounded(own * labels + (1 - own) * labels[partner], 8)
    return case


def pixel_cases():
    shapes = ((1, 9), (2, 16), (3, 23), (4, 40), (5, 31))
    kinds, label_kinds = ("noise", "scene", "one_colour"), ("hard", "one_class", "soft")
    for number in range(1, 201):
        method = ("mixup", "cutmix", "saliencymix")[number // 10 % 3]
        batch, side = shapes[number % 5 if number % 7 else 3]
        yield mixed_pixels(method, number, kinds[(number + number // 30) % 3], label_kinds[(number // 3) % 3], batch, side)


# Networks -------------------------------------------------------------------------------------------------------------------------

NETWORK_SAMPLES = 48


def of_mix(pictures, labels, weights, partner):
    flat = pictures.flatten()
    places = [k * (flat.numel() - 1) // (NETWORK_SAMPLES - 1) for k in range(NETWORK_SAMPLES)]
    a, b = weights[:, :1], weights[:, 1:]
    return {"samples": rounded([flat[p].item() for p in places]), "mean_square": float(f"{flat.square().mean().item():.9g}"),
            "weights": rounded(weights.numpy()), "mixed_labels": rounded((a * labels + b * labels[partner]).numpy())}


def snapmix(number, label_kind, batch, side, map_side):
    pictures = mixing_saliency.pictures(number, batch, side, side).double()
    labels = torch.from_numpy(labels_of(number, label_kind, batch))
    maps = torch.from_numpy(4 * hashed(MAPS + number, batch * map_side**2).reshape(batch, map_side, map_side) - 1)
    if number % 6 == 0:
        maps[0] = 0.75  # nothing to divide by
    shares, centres, partner = draws_of(number, batch, side)
    y1, y2, x1, x2 = box_of(shares[0], centres[0], side)
    v1, v2, u1, u2 = box_of(shares[1], centres[1], side)
    large = interpolate(maps[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
    large = large - large.amin((1, 2), keepdim=True)
    large = large / large.sum((1, 2), keepdim=True)
    large[maps.amax((1, 2)) == maps.amin((1, 2))] = torch.nan  # the original takes what rounding left for shares
    a, b = torch.ones(batch, dtype=torch.float64), torch.zeros(batch, dtype=torch.float64)
    mixed, area = pictures.clone(), (y2 - y1) * (x2 - x1)
    if area > 0 and (v2 - v1) * (u2 - u1) > 0:
        patch = interpolate(pictures[partner][:, :, v1:v2, u1:u2], (y2 - y1, x2 - x1), mode="bilinear", align_corners=True)
        mixed[:, :, y1:y2, x1:x2] = patch
        a = 1 - large[:, y1:y2, x1:x2].sum((1, 2)) / (large.sum((1, 2)) + 1e-8)
        theirs = large[partner]
        b = theirs[:, v1:v2, u1:u2].sum((1, 2)) / (theirs.sum((1, 2)) + 1e-8)
        same = labels.argmax(1) == labels[partner].argmax(1)
        a, b = torch.where(same, a + b, a), torch.where(same, b + a, b)
        a[a.isnan()] = 1 - area / side**2
        b[b.isnan()] = area / side**2
    return {"method": "snapmix", "number": number, "labels": label_kind, "batch": batch, "side": side, "map_side": map_side,
            "partner": partner.tolist(), "box": [y1, y2, x1, x2], "partner_box": [v1, v2, u1, u2],
            **of_mix(mixed, labels, torch.stack([a, b], 1), torch.from_numpy(partner))}


def guided(method, number, label_kind, batch, side):
    pictures = mixing_saliency.pictures(number, batch, side, side).double()
    labels = torch.from_numpy(labels_of(number, label_kind, batch))
    sigma = 0.5 + 2.5 * hashed(DRAWS + number, 1)[0]
    if method == "guided-sr":
        saliency = mixing_saliency.saliency(pictures)
    else:
        gradients = torch.from_numpy(hashed(MAPS + number, pictures.numel()).reshape(pictures.shape) - 0.5)
        saliency = gradients.square().mean(1).sqrt()
    saliency = GaussianBlur((7, 7), (sigma, sigma))(saliency[:, None])[:, 0]
    saliency = saliency / saliency.sum((1, 2), keepdim=True)
    distances = (saliency[:, None] - saliency[None]).square().sum((2, 3)).sqrt()
    partner = one_cycle_cover(distances.numpy())
    share = saliency / (saliency + saliency[partner])
    mixed = share[:, None] * pictures + (1 - share)[:, None] * pictures[partner]
    own = share.mean((1, 2))
    return {"method": method, "number": number, "labels": label_kind, "batch": batch, "side": side, "sigma": sigma,
            "partner": partner, **of_mix(mixed, labels, torch.stack([own, 1 - own], 1), torch.tensor(partner))}


@torch.no_grad()
def network_cases():
    label_kinds = ("hard", "one_class", "soft")
    number = 0
    for batch, side, map_side in ((1, 12, 3), (2, 15, 4), (3, 24, 2), (5, 33, 7), (4, 20, 20), (2, 40, 1)):
        for _ in range(6):
            number += 1
            yield snapmix(number, label_kinds[number // 2 % 3], batch, side, map_side)
    for method in ("guided-sr", "guided-ap"):
        for batch, side in ((2, 16), (3, 31), (5, 48), (8, 24), (7, 131)):
            for _ in range(2 if side > 100 else 4):
                number += 1
                yield guided(method, number, label_kinds[number % 3], batch, side)


def write(name, cases):
    lines = [json.dumps(case) for case in cases]
    (HERE / name).write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(name, len(lines), "cases")


def main():
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    write("mixing_pixels.json", pixel_cases())
    write("mixing_networks.json", network_cases())


if __name__ == "__main__":
    main()

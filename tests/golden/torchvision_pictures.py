#!/usr/bin/env python3
"""Golden checksums for tests/augment: torchvision's transforms on PIL pictures that are made by formulas.

torchvision_geometry.csv   Resize, RandomCrop's padding and crop, CenterCrop
torchvision_operations.csv every operation of RandAugment and TrivialAugmentWide at every magnitude, both signs, and
                           ColorJitter's, by torchvision.transforms.autoaugment._apply_op and transforms.functional

Run: python3 tests/golden/torchvision_pictures.py   (needs torch, torchvision, Pillow, numpy; the committed files were made
with torch 2.11.0, torchvision 0.26.0, Pillow 11.3.0; Pillow 13 resizes some shapes in another order)
"""
import pathlib
import sys
import zlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, RandAugment, Resize, TrivialAugmentWide
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import _apply_op

HERE = pathlib.Path(__file__).resolve().parent
BINS = 31


def picture(kind, height, width):
    """As golden_picture in tests/augment/golden_pictures.h."""
    index = np.arange(height * width * 3, dtype=np.uint64)
    noise = (index * np.uint64(2654435761) + np.uint64(12345)) & np.uint64(0xFFFFFFFF)
    noise ^= noise >> np.uint64(15)
    noise = (noise * np.uint64(2246822519) >> np.uint64(24) & np.uint64(255)).astype(np.int64).reshape(height, width, 3)
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    values = [noise, 60 + (x * (c + 2) + y * 3) // 4 % 110, 70 + 60 * c, 10 + noise // 8, np.where(noise < 3, 250 - 20 * c, 5 + c)][kind]
    return Image.fromarray(values.astype(np.uint8))


def crc(image):
    return f"{zlib.crc32(np.ascontiguousarray(np.asarray(image)).tobytes()):08x}"


def geometry_rows():
    cases = [("shorter", 40, 0, 32), ("shorter", 37, 4, 37), ("square", 44, 8, 38), ("square", 32, 0, 32), ("square", 45, 1, 40)]
    pictures = [(0, 90, 110), (1, 61, 33), (0, 40, 40), (3, 23, 200)]
    for rule, side, pad, crop in cases:
        resize = Resize(side if rule == "shorter" else (side, side))
        for kind, height, width in pictures:
            image = resize(picture(kind, height, width))
            yield rule, side, pad, crop, kind, height, width, "test", 0, 0, crc(CenterCrop(crop)(image))
            padded = F.pad(image, pad)  # as RandomCrop(crop, padding=pad) does before it draws
            for share in (0.0, 0.4, 1.0):
                x, y = int(share * (padded.width - crop)), int((1 - share) * (padded.height - crop))
                yield rule, side, pad, crop, kind, height, width, "training", x, y, crc(F.crop(padded, y, x, crop, crop))


PICTURES = [(0, 48, 48), (1, 57, 57), (2, 9, 9), (3, 33, 33), (4, 48, 48), (0, 37, 52)]
# ColorJitter as the project draws it: 1 + m is the factor, and m of hue is the shift.
JITTER = {
    "Brightness": (F.adjust_brightness, 1.0, np.linspace(-1, 1, 41)),
    "Contrast": (F.adjust_contrast, 1.0, np.linspace(-1, 1, 41)),
    "Color": (F.adjust_saturation, 1.0, np.linspace(-1, 1, 41)),
    "Hue": (F.adjust_hue, 0.0, np.linspace(-0.5, 0.5, 41)),
}


def bits(values):
    return " ".join(f"{value:08x}" for value in np.asarray(values, np.float32).view(np.uint32))


def space_of(policy, size):
    return policy._augmentation_space(BINS, size) if isinstance(policy, RandAugment) else policy._augmentation_space(BINS)


def operation_rows():
    """policy, operation, picture, magnitudes as bits of float32, checksum at each, and at each with the other sign."""
    for name, policy in (("randaugment", RandAugment()), ("trivialaugment", TrivialAugmentWide())):
        for made in PICTURES:
            for operation, (values, signed) in space_of(policy, made[1:]).items():
                levels = [float(value) for value in values.reshape(-1)]

                def checksums(sign):
                    apply = lambda level: _apply_op(picture(*made), operation, sign * level, interpolation=InterpolationMode.NEAREST, fill=None)
                    return " ".join(crc(apply(level)) for level in levels)

                yield name, operation, *made, bits(levels), checksums(1.0), checksums(-1.0) if signed else ""
    for operation, (apply, centre, levels) in JITTER.items():
        levels = [float(level) for level in levels.astype(np.float32)]
        for made in PICTURES:
            yield "color_jitter", operation, *made, bits(levels), " ".join(crc(apply(picture(*made), centre + level)) for level in levels), ""


def write(name, header, rows):
    (HERE / name).write_text("".join(",".join(str(cell) for cell in row) + "\n" for row in [header, *rows]))


print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}, numpy {np.__version__}", file=sys.stderr)
write("torchvision_geometry.csv", ("resize", "side", "pad", "crop", "kind", "height", "width", "split", "x", "y", "crc32"), geometry_rows())
write("torchvision_operations.csv", ("policy", "operation", "kind", "height", "width", "magnitudes", "crc32", "crc32_other_sign"), operation_rows())

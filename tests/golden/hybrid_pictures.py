#!/usr/bin/env python3
"""Golden file for DiffuseMix's picture part: halves side by side, the fractal over them, and which edits are rejected.

hybrid_pictures.json   checksums of the pictures that the arithmetic of augment/utils.py (github.com/khawar-islam/diffuseMix) gives,
                       restated here in NumPy with its types: float32 pictures, a float64 mask of np.linspace, values cut to 8 bits after
                       either step. Every pair of values is there at every place of the ramp and under the fractal. Grey values and
                       their histogram are Pillow's own. For tests/diffusion

Its masks do not fit odd sides; here the edit has the pixel more. Other shares than 0.2 are exact fractions: the original has none.

Run: python3 tests/golden/hybrid_pictures.py   (needs numpy and Pillow; made with numpy 2.4.6, Pillow 13.0)
"""
import json
import pathlib
import zlib
from fractions import Fraction

import numpy as np
from made_up import hashed
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
RAMP = 20


def noise(number, height, width):
    """[height, width, 3] bytes; tests/diffusion/hybrid_picture_test.cpp has the same."""
    return np.floor(256 * hashed(number, height * width * 3)).astype(np.uint8).reshape(height, width, 3)


def every_pair(height):
    """Two pictures [height, 65536, 3]: all pairs of values in each row."""
    first, second = (np.repeat(np.tile(values.astype(np.uint8)[None, :, None], (height, 1, 1)), 3, axis=2)
                     for values in (np.arange(65536) // 256, np.arange(65536) % 256))
    return first, second


def hybrid(original, edited, concatenation):
    height, width, _ = original.shape
    side = width if concatenation == "horizontal" else height
    first = side // 2 - RAMP // 2
    share = np.concatenate([np.zeros(first), np.linspace(0, 1, RAMP), np.ones(side - first - RAMP)])
    mask = share[None, :, None] if concatenation == "horizontal" else share[:, None, None]
    originals, edits = original.astype(np.float32) / 255.0, edited.astype(np.float32) / 255.0
    return np.clip(((1 - mask) * originals + mask * edits) * 255, 0, 255).astype(np.uint8)


def blend(base, fractal, share=0.2):
    blended = (1 - share) * base.astype(np.float32) + share * fractal.astype(np.float32)
    assert blended.dtype == np.float32
    return np.clip(blended, 0, 255).astype(np.uint8)


def exact_blend(base, fractal, share):
    exact = Fraction(share)
    table = [[int((1 - exact) * a + exact * b) for b in range(256)] for a in range(256)]
    return np.array(table, np.uint8)[base, fractal]


def checksum(picture):
    return f"{zlib.crc32(np.ascontiguousarray(picture).tobytes()):08x}"


def rejects(picture):
    """By the original's test, which finds white pictures, and by the same test at either end."""
    image = Image.fromarray(picture).convert("L")
    histogram, pixels = image.histogram(), image.size[0] * image.size[1]
    white = histogram[-1] > 0.9 * pixels and max(histogram[:-1]) < 0.1 * pixels
    black = histogram[0] > 0.9 * pixels and max(histogram[1:]) < 0.1 * pixels
    return {"white": bool(white), "white_and_black": bool(white or black)}


def main():
    golden = {"hybrids": [], "blends": [], "rejects": []}
    for number, (height, width) in enumerate([(256, 256), (64, 96), (20, 20), (21, 33), (20, 41), (47, 20), (448, 448)]):
        original, edited = noise(2 * number, height, width), noise(2 * number + 1, height, width)
        for concatenation in ("horizontal", "vertical"):
            golden["hybrids"].append({"numbers": [2 * number, 2 * number + 1], "size": [height, width], "concatenation": concatenation,
                                      "crc32": checksum(hybrid(original, edited, concatenation))})
    golden["every_pair"] = {"hybrid": checksum(hybrid(*every_pair(RAMP), "vertical")), "blend": checksum(blend(*every_pair(1)))}
    for share in ("0", "0.2", "0.35", "0.123456", "1"):
        golden["blends"].append({"share": float(share), "crc32": checksum(exact_blend(*every_pair(1), share))})
    whites, blacks, others = ((255, 255, 255), (255, 255, 251), (254, 254, 255)), ((0, 0, 0), (0, 0, 4), (1, 0, 3)), ((128, 128, 128), (10, 250, 3))
    for colour in whites + blacks:
        for other in others + ((254, 254, 254), (1, 1, 1)):
            for count in (890, 899, 900, 901, 1000):
                picture = np.array([colour] * count + [other] * (1000 - count), np.uint8).reshape(25, 40, 3)
                golden["rejects"].append({"colour": colour, "other": other, "count": count, **rejects(picture)})
    text = json.dumps(golden, separators=(",", ":")).replace("},{", "},\n{")
    (HERE / "hybrid_pictures.json").write_text(text + "\n")


main()

#!/usr/bin/env python3
"""Golden file for PSNR and SSIM of two pictures, as scikit-image computes them. Pictures are made up, so that only numbers are kept.

picture_similarity.json   peak_signal_noise_ratio(data_range=255) and structural_similarity(gaussian_weights=True, sigma=1.5,
                          use_sample_covariance=False, data_range=255, channel_axis=-1). For tests/report

Run: OMP_NUM_THREADS=1 python3 tests/golden/picture_similarity.py   (needs numpy and scikit-image; made with numpy 2.4.6, scikit-image
0.26.0 and its scipy 1.17.1)
"""
import json
import pathlib

import numpy as np
from made_up import hashed
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ("noise", "slopes", "slopes_and_noise", "moved", "one_colour", "one_value")
SIZES = ((11, 11), (12, 40), (37, 11), (64, 48), (448, 448))


def pair(kind, number, height, width):
    """Two pictures [height, width, 3]; tests/report/picture_similarity_test.cpp has the same."""
    noise, more = (np.floor(256 * hashed(number + i, height * width * 3)).astype(np.int64).reshape(height, width, 3) for i in (0, 1000))
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    slopes = (3 * x + 5 * y + 40 * c) // 4 % 256
    first, second = {
        "noise": (noise, more),
        "slopes": (slopes, 255 - slopes),
        "slopes_and_noise": (slopes, np.clip(slopes + noise // 16 - 8, 0, 255)),
        "moved": (slopes, (3 * (x + 2) + 5 * y + 40 * c) // 4 % 256),
        "one_colour": (np.full_like(noise, 200), np.broadcast_to(90 + 20 * c, noise.shape)),
        "one_value": (slopes, np.where((y == height // 2) & (x == width // 2) & (c == 1), (slopes + 1) % 256, slopes)),
    }[kind]
    return first.astype(np.uint8), second.astype(np.uint8)


def main():
    cases = []
    for number, (kind, size) in enumerate((kind, size) for size in SIZES for kind in KINDS):
        first, second = pair(kind, number, *size)
        ssim = structural_similarity(first, second, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1)
        cases.append({"kind": kind, "number": number, "size": size, "psnr_db": float(peak_signal_noise_ratio(first, second, data_range=255)), "ssim": float(ssim)})
    (HERE / "picture_similarity.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()

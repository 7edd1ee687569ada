#!/usr/bin/env python3
"""Golden files for the saliency of image-mixing methods and for who is mixed with whom. Pictures and maps are made up (made_up.py),
so that only outputs are kept.

fine_grained_saliency.csv   OpenCV contrib's StaticSaliencyFineGrained, through trunc(255 * M) as SaliencyMix takes it: of bytes, and
                            of normalised floats as GuidedMixup's FGVC hands them over. For tests/mixing
greedy_pairing.csv          the one-cycle cover over L2 distances, in NumPy. For tests/mixing
spectral_residual.json      spectral residual saliency with torch and torchvision, and torchvision's blur. For tests/training

Run: OMP_NUM_THREADS=1 python3 tests/golden/mixing_saliency.py   (needs numpy, torch, torchvision, opencv-contrib-python-headless; made
with numpy 2.4.6, torch 2.11.0, torchvision 0.26.0, and OpenCV's wheel 4.12.0.88 on a processor with AVX2. Float saliency reads the
low bytes of floats: OpenCV without IPP, without AVX2, or 5.0 gives others for some pictures. Bytes are the same with all of them.)
"""
import json
import pathlib
import zlib

import cv2
import numpy as np
import torch
import torchvision
from made_up import hashed
from torchvision.transforms import GaussianBlur
from torchvision.transforms import functional as F

HERE = pathlib.Path(__file__).resolve().parent


# Fine-grained saliency ------------------------------------------------------------------------------------------------------------

KINDS = ("noise", "slopes", "one_colour", "dark_noise", "bright_dot", "scene", "target")
SIZES = ((1, 1), (1, 40), (40, 1), (2, 2), (3, 5), (11, 11), (23, 24), (31, 64), (64, 64), (96, 96), (97, 101), (224, 224), (223, 225), (448, 448))
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def picture(kind, number, height, width):
    """[height, width, 3] RGB bytes; tests/mixing/fine_grained_saliency_test.cpp has the same."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    noise = np.floor(256 * hashed(number, height * width * 3)).astype(np.int64).reshape(height, width, 3)
    slopes = 60 + (x * (c + 2) + y * 3) // 4 % 110
    across, down = (2 * x - width) * height, (2 * y - height) * width
    inside = 4 * (across * across + down * down) < (height * width) ** 2
    square = (2 * x - width) ** 2 + (2 * y - height) ** 2
    values = {
        "noise": noise,
        "slopes": slopes,
        "one_colour": np.broadcast_to((37 * number + 60 * c) % 256, noise.shape),
        "dark_noise": 10 + noise // 8,
        "bright_dot": np.where((y == 7 * number % height) & (x == 13 * number % width), 255, 0),
        # The gray in the middle is brighter than what is near and darker than what is far: the sum of both wraps.
        "target": np.where(square < 10**2, 180 + c, np.where(square < 50**2, 0, 255)),
        "scene": np.where(inside, 150 + 20 * c + noise // 8, slopes + noise // 16),
    }[kind]
    return np.ascontiguousarray(values.astype(np.uint8))


def saliency_row(entry, kind, number, height, width):
    made = picture(kind, number, height, width)
    if entry == "bytes":
        handed_over = np.ascontiguousarray(made[..., ::-1])  # OpenCV's order
    else:
        handed_over = (made.astype(np.float32) / np.float32(255) - MEAN) / DEVIATION
    done, saliency = cv2.saliency.StaticSaliencyFineGrained_create().computeSaliency(handed_over)
    assert done and saliency.dtype == np.float32
    values = (saliency * 255).astype(np.uint8)
    row, column = np.unravel_index(np.argmax(values), values.shape)
    return entry, kind, number, height, width, f"{zlib.crc32(values.tobytes()):08x}", row, column


def saliency_rows():
    cases = [(kind, number + 1, *size) for number, (kind, size) in enumerate((k, s) for s in SIZES for k in KINDS)]
    cases += [("scene", 100 + number, 40 + 7 * number, 150 - 5 * number) for number in range(2)]
    for case in cases:
        yield saliency_row("bytes", *case)
        yield saliency_row("floats", *case)


# Pairing --------------------------------------------------------------------------------------------------------------------------


def one_cycle_cover(distances):
    """The cycle starts at the largest distance and goes to the farthest that was not left yet."""
    n = len(distances)
    if n == 1:
        return [0]
    open_distances = distances.copy()
    np.fill_diagonal(open_distances, -np.inf)
    partner = np.full(n, -1)
    first, column = np.unravel_index(np.argmax(open_distances), open_distances.shape)
    partner[first] = column
    open_distances[:, first] = -np.inf
    for _ in range(n - 2):
        row = column
        column = np.argmax(open_distances[row])
        partner[row] = column
        open_distances[:, row] = -np.inf
    partner[column] = first
    assert sorted(partner) == list(range(n))
    return partner.tolist()


def maps(number, n, pixels, levels):
    """[n, pixels] in 0..1, multiples of 1/levels; levels 0: all maps are equal, 1: all are 0."""
    values = hashed(number, n * pixels).reshape(n, pixels)
    if levels == 0:
        return np.repeat(values[:1], n, axis=0)
    return np.floor(values * levels) / levels


def pairing_rows():
    number = 0
    for n in (1, 2, 3, 5, 16, 17):
        # Few levels on few pixels: many distances are exactly equal. 2^24 levels: all there are.
        for levels, pixels, batches in ((0, 40, 2), (1, 40, 1), (2, 3, 10), (4, 7, 10), (256, 300, 6), (2**24, 1000, 6)):
            for _ in range(batches):
                number += 1
                made = maps(number, n, pixels, levels)
                distances = np.sqrt(np.square(made[:, None] - made[None]).sum(-1))
                yield number, n, pixels, levels, " ".join(map(str, one_cycle_cover(distances)))


# Spectral residual ----------------------------------------------------------------------------------------------------------------


def pictures(number, batch, height, width):
    """[batch, 3, height, width] float32 as normalised pictures are; tests/training/spectral_residual_test.cpp has the same."""
    b, c, y, x = np.meshgrid(np.arange(batch), np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    noise = hashed(number, b.size).reshape(b.shape)
    slopes = (x * (c + 2) + y * 3 + b * 17) % 128 / 64
    inside = (3 * y > height) & (3 * y < 2 * height) & (4 * x > width) & (2 * x < width)
    return torch.from_numpy((slopes + noise + 1.5 * inside - 2).astype(np.float32))


@torch.no_grad()
def saliency(normalised):
    gray = F.rgb_to_grayscale(normalised)
    height, width = gray.shape[-2:]
    if height > 128:
        gray = F.resize(gray, [128, 128], antialias=True)
    spectrum = torch.fft.fft2(gray)
    amplitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-10)
    replicated = torch.nn.functional.pad(amplitude.log(), (1, 1, 1, 1), mode="replicate")
    residual = torch.exp(amplitude.log() - torch.nn.functional.avg_pool2d(replicated, 3, stride=1))
    result = torch.fft.ifft2(spectrum * residual / amplitude).abs()
    result = GaussianBlur((7, 7), (3.0, 3.0))(result)
    if height > 128:
        result = F.resize(result, [height, width], antialias=True)
    return result[:, 0]


SAMPLES = 129


def described(result):
    flat = result.double().flatten()
    places = [i * (flat.numel() - 1) // (SAMPLES - 1) for i in range(SAMPLES)]
    rounded = [float(f"{flat[place].item():.8g}") for place in places]
    return {"scale": float(f"{flat.abs().max().item():.8g}"), "mean": float(f"{flat.mean().item():.8g}"), "samples": rounded}


def spectral_cases():
    shapes = ((2, 64, 64), (2, 96, 96), (3, 128, 128), (2, 224, 224), (2, 448, 448), (2, 225, 193), (1, 127, 131), (2, 96, 200), (2, 200, 96), (1, 4, 4))
    saliency_cases, blur_cases = [], []
    for number, shape in enumerate(shapes, 1):
        made = pictures(number, *shape)
        exact, found = saliency(made.double()), saliency(made)
        print("spectral", shape, "float32 is off by", float((found - exact).abs().max() / exact.abs().max()), "of the scale")
        saliency_cases.append({"number": number, "shape": list(shape), **described(exact)})
    for number, (shape, sigma) in enumerate((((2, 64, 64), 0.5), ((3, 31, 47), 1.7), ((2, 224, 224), 3.0), ((1, 4, 5), 2.2)), 101):
        blurred = GaussianBlur((7, 7), (sigma, sigma))(pictures(number, *shape)[:, 0].double())
        blur_cases.append({"number": number, "shape": list(shape), "sigma": sigma, **described(blurred)})
    return {"saliency": saliency_cases, "blur": blur_cases}


def write_csv(name, header, rows):
    rows = [",".join(map(str, row)) for row in rows]
    (HERE / name).write_text("\n".join([header, *rows]) + "\n")
    print(name, len(rows), "rows")


def main():
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print("OpenCV", cv2.__version__, "torch", torch.__version__, "torchvision", torchvision.__version__, "numpy", np.__version__)
    write_csv("fine_grained_saliency.csv", "entry,kind,number,height,width,crc32,peak_row,peak_column", saliency_rows())
    write_csv("greedy_pairing.csv", "number,n,pixels,levels,partners", pairing_rows())
    (HERE / "spectral_residual.json").write_text(json.dumps(spectral_cases(), indent=1) + "\n")


if __name__ == "__main__":
    main()

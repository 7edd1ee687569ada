#!/usr/bin/env python3
"""RandAugment of this project against torchvision's, on one core, on the same pictures, taking turns.

    python3 tests/bench/operations_bench.py build/tests/bench/bench_operations [turns]     (needs torch, torchvision, Pillow, numpy)

torchvision gets PIL pictures (what the project's operations equal byte for byte) and, once more, uint8 tensors. Conversion to and from
either is not counted. Times are of the processor, so that a busy machine spoils them less. Printed: microseconds by operation at the default magnitude, samples a second as drawn, and the ratios' medians.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandAugment
from torchvision.transforms.autoaugment import _apply_op

SIDE, PICTURES, SAMPLES, BIN = 448, 24, 240, 9


def seconds_a_sample(pictures):
    policy = RandAugment()
    start = time.process_time()
    for i in range(SAMPLES):
        policy(pictures[i % PICTURES])
    return (time.process_time() - start) / SAMPLES


def seconds_an_operation(name, magnitude, signed, pictures):
    start = time.process_time()
    for i, picture in enumerate(pictures):
        _apply_op(picture, name, -magnitude if signed and i % 2 else magnitude, interpolation=InterpolationMode.NEAREST, fill=None)
    return (time.process_time() - start) / len(pictures)


def main():
    program, turns = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})  # the program that is called inherits it
    torch.set_num_threads(1)
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run([program, "--pictures", file.name], check=True)
        arrays = np.fromfile(file.name, np.uint8).reshape(PICTURES, SIDE, SIDE, 3)
    pil = [Image.fromarray(array) for array in arrays]
    tensors = [torch.from_numpy(array).permute(2, 0, 1).contiguous() for array in arrays]
    space = RandAugment()._augmentation_space(31, (SIDE, SIDE))
    rows = {name: ([], []) for name in [*space, "sample"]}
    of_tensors = []
    seconds_a_sample(pil)
    for _ in range(turns):
        ours = json.loads(subprocess.run([program, "--json", str(SAMPLES)], check=True, capture_output=True, text=True).stdout)
        rows["sample"][0].append(ours["sample"])
        rows["sample"][1].append(seconds_a_sample(pil))
        of_tensors.append(seconds_a_sample(tensors))
        for name, (values, signed) in space.items():
            rows[name][0].append(ours[name])
            magnitude = float(values[BIN]) if values.ndim else 0.0
            rows[name][1].append(seconds_an_operation(name, magnitude, signed, pil))
    print(f"448 x 448, one core, processor time, load {os.getloadavg()[0]:.1f}, medians of {turns} turns; microseconds")
    print(f"{'':<14}{'deda':>10}{'torchvision':>14}{'ratio':>8}")
    for name, (ours, theirs) in rows.items():
        ratio = statistics.median(b / a for a, b in zip(ours, theirs))
        print(f"{name:<14}{1e6 * statistics.median(ours):>10.1f}{1e6 * statistics.median(theirs):>14.1f}{ratio:>8.1f}")
    ratio = statistics.median(b / a for a, b in zip(rows["sample"][0], of_tensors))
    print(f"{'sample, torchvision on tensors':<24}{1e6 * statistics.median(of_tensors):>14.1f}{ratio:>8.1f}")


if __name__ == "__main__":
    main()

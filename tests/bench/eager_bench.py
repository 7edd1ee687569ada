#!/usr/bin/env python3
"""Training steps of this project's learner against PyTorch eager of the same release, on CPUs, with as many threads, taking turns.

    python3 tests/bench/eager_bench.py build/tests/bench/bench_eager [--threads 2] [--turns 5] [NETWORK:SIDE:BATCH:STEPS ...]     (needs torch, torchvision)

Both: forward, soft cross entropy, backward, SGD with Nesterov momentum on one batch; ours normalises 8-bit pictures in each step besides, PyTorch gets
normalised ones. The figure is the median of the turns' ratios, above 1 where ours is faster.
"""
import argparse
import os
import statistics
import subprocess
import time

os.environ["OMP_WAIT_POLICY"] = "passive"  # or the threads of the one whose turn it is not take the other's cores

import torch
from torchvision import models

CLASSES = 200
STANDARD = ["resnet18:224:8:2", "resnet50:224:8:1", "densenet121:224:8:1"]


def make_turn(name, side, batch, steps):
    network = getattr(models, name)(num_classes=CLASSES).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9, nesterov=True, weight_decay=5e-4)
    pictures, labels = torch.randn(batch, 3, side, side), torch.eye(CLASSES)[torch.arange(batch)]

    def turn():
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(network(pictures), labels).backward()
            optimizer.step()
        return time.perf_counter() - start
    turn()
    return turn


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("cases", nargs="*", default=STANDARD)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for case in options.cases:
        name, side, batch, steps = case.split(":")
        ours = subprocess.Popen([options.program, name, side, batch, steps, str(options.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                text=True, bufsize=1)
        assert ours.stdout.readline().strip() == "ready"
        turn = make_turn(name, int(side), int(batch), int(steps))
        ratios, mine = [], []
        for _ in range(options.turns):
            ours.stdin.write("turn\n")
            mine.append(float(ours.stdout.readline()))
            ratios.append(turn() / mine[-1])
        ours.stdin.close()
        ours.wait()
        load = open("/proc/loadavg", encoding="ascii").read().split()[0]
        print(f"{name}, {side} pixels, batch {batch}, {options.threads} threads, load {load}, torch {torch.__version__}: a step "
              f"{1e3 * statistics.median(mine) / int(steps):.0f} ms; speed against PyTorch eager, median of {options.turns} turns "
              f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)


if __name__ == "__main__":
    main()

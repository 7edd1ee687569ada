#!/usr/bin/env python3
"""CLIP's image tower, this project's against transformers' in PyTorch eager, on CPUs, with as many threads, taking turns.

    python3 tests/bench/clip_bench.py build/tests/bench/bench_clip [PATCH:BATCH:PASSES ...] [--threads 2] [--turns 7]     (needs torch, transformers)

Both: pixel values in, projected image embeddings out, float32, no gradients, sizes of openai/clip-vit-base-patch32 (PATCH 32) or -patch16, random weights.
The figure is the median of the turns' ratios, above 1 where ours is faster.
"""
import argparse
import os
import statistics
import subprocess
import time

os.environ["OMP_WAIT_POLICY"] = "passive"  # or the threads of the one whose turn it is not take the other's cores

import torch
import transformers
from transformers import CLIPConfig, CLIPModel

STANDARD = ["32:16:4"]


def make_turn(patch, batch, passes):
    network = CLIPModel(CLIPConfig(vision_config={"patch_size": patch})).eval()
    pixels = torch.randn(batch, 3, 224, 224)

    @torch.inference_mode()
    def turn():
        start = time.perf_counter()
        for _ in range(passes):
            network.get_image_features(pixels)
        return time.perf_counter() - start
    turn()
    return turn, network.config.vision_config._attn_implementation


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("cases", nargs="*", default=STANDARD)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for case in options.cases:
        patch, batch, passes = case.split(":")
        ours = subprocess.Popen([options.program, patch, batch, passes, str(options.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert ours.stdout.readline().strip() == "ready"
        turn, attention = make_turn(int(patch), int(batch), int(passes))
        ratios, mine = [], []
        for _ in range(options.turns):
            ours.stdin.write("turn\n")
            mine.append(float(ours.stdout.readline()))
            ratios.append(turn() / mine[-1])
        ours.stdin.close()
        ours.wait()
        load = open("/proc/loadavg", encoding="ascii").read().split()[0]
        print(f"CLIP image tower, patches of {patch}, batch {batch}, {options.threads} threads, load {load}, transformers {transformers.__version__} ({attention}), torch {torch.__version__}: "
              f"a batch {1e3 * statistics.median(mine) / int(passes):.0f} ms; speed against transformers, median of {options.turns} turns "
              f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)


if __name__ == "__main__":
    main()

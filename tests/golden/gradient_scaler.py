#!/usr/bin/env python3
"""Makes gradient_scaler.json: fifty steps of torch.amp.GradScaler with torch.optim.SGD, some of whose gradients overflow.

Gradients come from the integer hash of made_up.py, times the scale; in the steps of OVERFLOWS one of them is made infinite or
no number.

Run: python3 tests/golden/gradient_scaler.py   (needs torch and numpy; made with torch 2.11)
"""
import json
import math
import pathlib

import torch

from made_up import made_up

HERE = pathlib.Path(__file__).resolve().parent
STEPS = 50
SHAPES = [(3, 4), (5,)]
OVERFLOWS = {0: math.inf, 1: -math.inf, 5: math.nan, 17: math.inf, 18: math.nan, 31: -math.inf}


def run(initial, interval):
    parameters = [made_up(i, shape).requires_grad_(True) for i, shape in enumerate(SHAPES)]
    sgd = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scaler = torch.amp.GradScaler("cpu", init_scale=initial, growth_interval=interval)
    scales, trackers = [], []
    for step in range(STEPS):
        sgd.zero_grad()
        loss = sum((p * made_up(10 * (step + 1) + i, p.shape)).sum() for i, p in enumerate(parameters))
        scaler.scale(loss).backward()
        if step in OVERFLOWS:
            parameters[step % 2].grad.view(-1)[step % 5] = OVERFLOWS[step]
        scaler.step(sgd)
        scaler.update()
        scales.append(scaler.get_scale())
        trackers.append(scaler._get_growth_tracker())
    return {"initial": initial, "interval": interval, "scales": scales, "steps_without_overflow": trackers,
            "after": [p.detach().double().flatten().tolist() for p in parameters]}


(HERE / "gradient_scaler.json").write_text(json.dumps(
    {"overflows": {str(step): str(value) for step, value in OVERFLOWS.items()},
     "runs": [run(65536.0, 2000), run(256.0, 7), run(65536.0, 1)]}, indent=1) + "\n")

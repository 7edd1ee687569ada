#!/usr/bin/env python3
"""Makes eight_channel_unets.safetensors: UNets of InstructPix2Pix's kind, from diffusers, at fractional timesteps.

Weights and inputs are made up (made_up.py); tests/models/forward_unet_test.cpp has the same configurations.
Tried with torch 2.11, diffusers 0.42.1 (float32, CPU).

Run: python3 tests/golden/eight_channel_unets.py
"""
import pathlib

import torch
from diffusers import UNet2DConditionModel
from made_up import UNETS, fill, made_up
from safetensors.torch import save_file

torch.set_grad_enabled(False)
CASES = {  # configuration, sample (batch, height, width), tokens
    "four_levels": (UNETS["eight_channels"], (2, 16, 24), 9),
    "three_levels": ({**UNETS["sd15_like"], "in_channels": 8}, (3, 12, 8), 7),
    "two_levels": (dict(in_channels=8, block_out_channels=(16, 48), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, cross_attention_dim=20,
                        attention_head_dim=(4, 6), transformer_layers_per_block=(1, 2), use_linear_projection=True, norm_num_groups=4),
                   (2, 6, 10), 5),
}
TIMESTEPS = (946.4210815429688, 52.578948974609375, 0.0)  # of 20 steps over 0..999
outputs = {}
for name, (config, (batch, height, width), tokens) in CASES.items():
    network = fill(UNet2DConditionModel(**config))
    sample, text = made_up(9001, (batch, 8, height, width)), made_up(9002, (batch, tokens, config["cross_attention_dim"]))
    outputs[name] = network(sample, torch.tensor(TIMESTEPS[:batch]), text).sample.contiguous()
    whole = network(sample, torch.tensor(TIMESTEPS[:batch]).long(), text).sample
    print(name, "scale", outputs[name].abs().max().item(), "whole timesteps differ by", (outputs[name] - whole).abs().max().item())
save_file(outputs, pathlib.Path(__file__).resolve().parent / "eight_channel_unets.safetensors")

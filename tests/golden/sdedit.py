#!/usr/bin/env python3
"""Makes sdedit.safetensors: whole edits (encode, noise, guided steps, decode, votes) with the parts of diffusers.

Weights and pictures are made-up numbers that tests/support/hashed_numbers.h can make as well (tests/models/made_up_weights.h);
the noise is the program's own, made here once more from its definition (Philox4x32-10, Box-Muller). Loops, padding and
transparent networks are those of analysis/replay_generate_trace.py. Tried with torch 2.11 and diffusers 0.42.

Run: python3 tests/golden/sdedit.py
"""
import importlib.util
import math
import pathlib

import diffusers
import numpy
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("replay", HERE.parent.parent / "analysis" / "replay_generate_trace.py")
replay = importlib.util.module_from_spec(spec)
spec.loader.exec_module(replay)
torch.set_grad_enabled(False)

RESOLUTION, GUIDANCE, GAIN, NOISE_PURPOSE = 32, 7.0, 300.0, 10
COPY_SEEDS = ((11, 12), (2**63 + 5, 99))  # of the two copies of each of the two pictures
SCHEDULE = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000, "steps_offset": 1, "set_alpha_to_one": False, "skip_prk_steps": True}


def hashed(tensor_index, count):
    with numpy.errstate(over="ignore"):
        z = (numpy.uint64(tensor_index) << numpy.uint64(32)) + numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(1)
        z = z * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) * 2.0**-24


def made_up(index, shape, low=-1.0, high=1.0):
    return torch.from_numpy((low + (high - low) * hashed(index, math.prod(shape))).reshape(shape).astype(numpy.float32))


def filled(network):
    """As tests/models/made_up_weights.h fills a network."""
    state = network.state_dict()
    for index, name in enumerate(sorted(state)):
        shape = tuple(state[name].shape)
        if "norm" in name and name.endswith("weight"):
            value = made_up(index, shape, 0.8, 1.2)
        elif len(shape) == 1:
            value = made_up(index, shape, -0.1, 0.1)
        else:
            bound = 1.5 / math.sqrt(math.prod(shape[1:]))
            value = made_up(index, shape, -bound, bound)
        state[name].copy_(value)
    return network.eval()


def picture(number):
    """Hashed colours under a disc whose edge is soft over four pixels; uint8 [R, R, 4]."""
    rgba = (hashed(500 + number, RESOLUTION * RESOLUTION * 4) * 256).astype(numpy.uint8).reshape(RESOLUTION, RESOLUTION, 4)
    y, x = numpy.mgrid[:RESOLUTION, :RESOLUTION]
    distance = numpy.sqrt((x - 15.0 - number) ** 2 + (y - 16.0) ** 2)
    rgba[..., 3] = (numpy.clip((12 - distance) / 4, 0, 1) * 255).astype(numpy.uint8)
    return rgba


def philox(counter, key):
    multiply = (0xD2511F53, 0xCD9E8D57)
    for _ in range(10):
        high = [m * c >> 32 for m, c in zip(multiply, (counter[0], counter[2]))]
        low = [m * c & 0xFFFFFFFF for m, c in zip(multiply, (counter[0], counter[2]))]
        counter = (high[1] ^ counter[1] ^ key[0], low[1], high[0] ^ counter[3] ^ key[1], low[0])
        key = ((key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF)
    return counter


def noise(seed, draw, shape):
    """src/diffusion/sampling/sdedit.h, edit_noise."""
    key = ((seed & 0xFFFFFFFF) ^ (NOISE_PURPOSE << 16), (seed >> 32) ^ (NOISE_PURPOSE * 0x9E3779B9 & 0xFFFFFFFF))
    count = math.prod(shape)
    words = [word for block in range((2 * count + 3) // 4) for word in philox((block, draw, 0, 0), key)]
    values = []
    for i in range(count):
        u, v = ((words[2 * i] >> 8) + 1) * 2.0**-24, (words[2 * i + 1] >> 8) * 2.0**-24
        values.append(math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v))
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


model = replay.Model.__new__(replay.Model)
model.unet = filled(diffusers.UNet2DConditionModel(
    sample_size=8, block_out_channels=(16, 32), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, cross_attention_dim=16, attention_head_dim=(2, 4),
    norm_num_groups=8))
model.vae = filled(diffusers.AutoencoderKL(block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4,
                                           down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3))
model.encoder = filled(replay.TransparentEncoder((8, 8, 16), 4))
model.decoder = filled(replay.TransparentDecoder((8, 8, 16), 2, 2, 4))
model.schedule = SCHEDULE

outputs, clean = {}, []
for number in range(2):
    padded, alpha, feed = replay.network_inputs(picture(number))
    posterior = model.vae.encode(feed).latent_dist
    offset = model.encoder(torch.cat([alpha, padded], 1)) * GAIN
    clean.append((posterior.mean + posterior.std * offset) * model.vae.config.scaling_factor)
outputs["clean"] = torch.cat(clean)
rows = outputs["clean"].repeat_interleave(2, 0)
seeds = [seed for pair in COPY_SEEDS for seed in pair]
drawn = lambda draw: torch.cat([noise(seed, draw, (1, 4, 8, 8)) for seed in seeds])
states = made_up(9100, (3, 77, 16))  # unconditional, text of the first picture, of the second
for name, sampler, strength in (("dpm", "dpmpp2m_linspace", 0.4), ("whole", "dpmpp2m_linspace", 1.0), ("ddim", "ddim_leading", 0.4),
                                ("ancestral", "euler_ancestral_leading", 0.4), ("pndm", "pndm_faithful", 0.4)):
    halves = []
    for source in range(2):  # one text at a time, as the program need not
        mine = slice(2 * source, 2 * source + 2)
        fresh = lambda k: drawn(k + 1)[mine]
        halves.append([sample for _, _, sample in replay.edited(model, rows[mine], drawn(0)[mine], states[[0, 1 + source]], None, sampler,
                                                                25, strength, GUIDANCE, fresh)])
    samples = [torch.cat(pair) for pair in zip(*halves)]
    if name == "dpm":
        outputs["dpm.samples"] = torch.stack(samples)
        _, _, _, argb = replay.decoded(model, samples[-1], "clipped", False, 8)
        outputs["dpm.argb"] = argb
    else:
        outputs[f"{name}.final"] = samples[-1]
    print(name, len(samples) - 1, "evaluations, scale", samples[-1].abs().max().item())
save_file({name: value.contiguous() for name, value in outputs.items()}, HERE / "sdedit.safetensors")

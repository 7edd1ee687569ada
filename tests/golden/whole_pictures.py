#!/usr/bin/env python3
"""Makes whole_pictures.safetensors: whole pictures edited by diffusers' own pipelines, 8 bits in and out.

StableDiffusionImg2ImgPipeline with DPM-Solver++ and PNDM and StableDiffusionInstructPix2PixPipeline with Euler ancestral, one
picture at a time. Networks and texts are made up (made_up.py, tests/diffusion/edit_fixture.h); all noise is the program's own, made
here once more from its definition (src/diffusion/sampling/sdedit.h: Philox4x32-10, Box-Muller), in the order in which the
pipelines draw it. Tried with torch 2.11, diffusers 0.42.1, Pillow 13 (float32, CPU).

Run: python3 tests/golden/whole_pictures.py
"""
import pathlib

import diffusers
import numpy
import torch
from diffusers.models.autoencoders import vae as autoencoders
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img as img2img
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_instruct_pix2pix as pix2pix
from diffusers.schedulers import scheduling_euler_ancestral_discrete as ancestral
from made_up import fill, hashed, made_up
from PIL import Image
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
torch.set_grad_enabled(False)

RESOLUTION, GENERATION_NOISE = 32, 10  # pixels a side of the model; core/random.h, Purpose
EDIT, POSTERIOR = 0, 1                 # sdedit.cpp, NoiseUse
SIZES = ((27, 40), (50, 21))           # height, width of the pictures
SEEDS = (5, 2**63 + 77)
GUIDANCE, TEXT_GUIDANCE, PICTURE_GUIDANCE = 7.5, 4.0, 1.5
BASE = diffusers.PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False,
                               skip_prk_steps=True)


def philox(counter, key):
    """Words [4, n] for counters [4, n]."""
    counter, key = [c.astype(numpy.uint64) for c in counter], [numpy.uint64(k) for k in key]
    low, half = numpy.uint64(0xFFFFFFFF), numpy.uint64(32)
    for _ in range(10):
        products = numpy.uint64(0xD2511F53) * counter[0], numpy.uint64(0xCD9E8D57) * counter[2]
        counter = [products[1] >> half ^ counter[1] ^ key[0], products[1] & low, products[0] >> half ^ counter[3] ^ key[1], products[0] & low]
        key = [(key[0] + numpy.uint64(0x9E3779B9)) & low, (key[1] + numpy.uint64(0xBB67AE85)) & low]
    return numpy.stack(counter)


def noise(seed, use, draw, shape):
    count = int(numpy.prod(shape))
    blocks = numpy.arange((2 * count + 3) // 4)
    key = (seed & 0xFFFFFFFF) ^ (GENERATION_NOISE << 16), (seed >> 32) ^ (GENERATION_NOISE * 0x9E3779B9 & 0xFFFFFFFF)
    words = philox([blocks, numpy.full_like(blocks, draw), numpy.full_like(blocks, use), numpy.zeros_like(blocks)], key).T.flatten()[:2 * count]
    bits = (words >> numpy.uint64(8)).astype(numpy.float64).reshape(count, 2)
    values = numpy.sqrt(-2 * numpy.log((bits[:, 0] + 1) * 2.0**-24)) * numpy.cos(2 * numpy.pi * bits[:, 1] * 2.0**-24)
    return torch.from_numpy(values.astype(numpy.float32)).reshape(shape)


def picture(number):
    """Hashed colours in blocks of three by three pixels, so that resizing leaves something."""
    height, width = SIZES[number]
    rows, columns = (height + 2) // 3, (width + 2) // 3
    blocks = (hashed(700 + number, rows * columns * 3) * 256).astype(numpy.uint8).reshape(rows, columns, 3)
    return Image.fromarray(blocks.repeat(3, 0).repeat(3, 1)[:height, :width])


def squared(image, how):
    """One pass after the other, as every Pillow up to 12 does it; 13 begins with the vertical one for some shapes."""
    return image.resize((RESOLUTION, image.height), how).resize((RESOLUTION, RESOLUTION), how)


def made_unet(channels):
    return fill(diffusers.UNet2DConditionModel(
        in_channels=channels, sample_size=8, block_out_channels=(16, 32), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, cross_attention_dim=16, attention_head_dim=(2, 4),
        norm_num_groups=8))


vae = fill(diffusers.AutoencoderKL(block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4,
                                   down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3))
states = made_up(9100, (3, 77, 16))  # unconditional, text of the first picture, of the second
parts = dict(vae=vae, text_encoder=None, tokenizer=None, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
outputs, draws = {}, {}


def draw_from(seed):
    """The pipelines' noise in their order: the posterior's, the start's, then that of the steps."""
    draws.update(seed=seed, next=0)

    def following(shape, **_):
        draws["next"] += 1
        return noise(draws["seed"], EDIT, draws["next"] - 1, tuple(shape))
    autoencoders.randn_tensor = lambda shape, **_: noise(draws["seed"], POSTERIOR, 0, tuple(shape))
    img2img.randn_tensor = pix2pix.randn_tensor = ancestral.randn_tensor = following


def edited(name, pipeline, how, **options):
    pipeline.set_progress_bar_config(disable=True)
    for number in range(2):
        draw_from(SEEDS[number])
        samples, timesteps = [], []

        def after_step(_, k, t, values):
            samples.append(values["latents"].clone())
            timesteps.append(float(t))
            return {}
        square = squared(picture(number), how)
        result = pipeline(image=square, prompt_embeds=states[1 + number:2 + number], negative_prompt_embeds=states[:1], output_type="pil",
                          callback_on_step_end=after_step, **options).images[0]
        key = f"{name}.{number}."
        outputs[key + "samples"] = torch.cat(samples if number == 0 else samples[-1:])
        outputs[key + "timesteps"] = torch.tensor(timesteps)
        outputs[key + "picture"] = torch.from_numpy(numpy.asarray(result).copy())
        print(name, number, len(samples), "evaluations from", timesteps[0], "scale", samples[-1].abs().max().item())


for name, scheduler, steps, strength in (("dpm_0.1", diffusers.DPMSolverMultistepScheduler.from_config(BASE.config), 50, 0.1),
                                         ("dpm_0.7", diffusers.DPMSolverMultistepScheduler.from_config(BASE.config), 25, 0.7),
                                         ("pndm_0.25", BASE, 50, 0.25), ("pndm_1.0", BASE, 50, 1.0)):
    edited(name, img2img.StableDiffusionImg2ImgPipeline(unet=made_unet(4), scheduler=scheduler, **parts), Image.BILINEAR, strength=strength,
           num_inference_steps=steps, guidance_scale=GUIDANCE)
edited("pix2pix", pix2pix.StableDiffusionInstructPix2PixPipeline(unet=made_unet(8),
                                                                 scheduler=diffusers.EulerAncestralDiscreteScheduler.from_config(BASE.config),
                                                                 **parts),
       Image.BICUBIC, num_inference_steps=20, guidance_scale=TEXT_GUIDANCE, image_guidance_scale=PICTURE_GUIDANCE)

# The autoencoder alone: there and back by the mode, through the pipelines' own picture processor.
processor = diffusers.image_processor.VaeImageProcessor(vae_scale_factor=4)
feed = processor.preprocess(squared(picture(0), Image.BILINEAR))
posterior = vae.encode(feed).latent_dist
outputs["autoencoder.feed"], outputs["autoencoder.mean"], outputs["autoencoder.std"] = feed, posterior.mean, posterior.std
image = vae.decode(posterior.mode()).sample
outputs["autoencoder.image"] = image
outputs["autoencoder.picture"] = torch.from_numpy(numpy.asarray(processor.postprocess(image, output_type="pil")[0]).copy())
save_file({name: value.contiguous() for name, value in outputs.items()}, HERE / "whole_pictures.safetensors")

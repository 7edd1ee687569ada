"""Whole edits by diffusers' own img2img pipeline: latents in, latents out, with guidance.

    python edits.py OUT.safetensors

Network, weights, texts and noise are made up (made_up.py), so that only the results are kept. Tried with torch 2.11,
diffusers 0.42 (float32, CPU)."""
import sys

import diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img as img2img
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, PNDMScheduler, UNet2DConditionModel
from made_up import UNETS, fill, made_up
from safetensors.torch import save_file

torch.set_grad_enabled(False)
STABLE_DIFFUSION = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False,
                        skip_prk_steps=True)
SHAPE, GUIDANCE = (2, 4, 12, 10), 7.0
unet = fill(UNet2DConditionModel(sample_size=64, **UNETS["sd15_like"]))
vae = AutoencoderKL(block_out_channels=(8, 8, 8, 8), down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
                    norm_num_groups=4)
evaluations = []
forward = unet.forward
unet.forward = lambda sample, t, *a, **k: (evaluations.append(float(t)), forward(sample, t, *a, **k))[1]
img2img.randn_tensor = lambda shape, **k: made_up(9102, tuple(shape), -1.7, 1.7)
base = PNDMScheduler(**STABLE_DIFFUSION)
SAMPLERS = {
    "dpmpp2m_linspace": DPMSolverMultistepScheduler.from_config(base.config),
    "ddim_leading": DDIMScheduler.from_config(base.config, clip_sample=False),
    "euler_leading": EulerDiscreteScheduler.from_config(base.config, timestep_spacing="leading"),
}
outputs = {}
for name, scheduler in SAMPLERS.items():
    pipeline = img2img.StableDiffusionImg2ImgPipeline(vae=vae, text_encoder=None, tokenizer=None, unet=unet, scheduler=scheduler,
                                                      safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    for strength in (0.4, 1.0):
        evaluations.clear()
        latents = pipeline(image=made_up(9101, SHAPE), prompt_embeds=made_up(9103, (2, 7, 24)), negative_prompt_embeds=made_up(9104, (2, 7, 24)),
                           strength=strength, num_inference_steps=25, guidance_scale=GUIDANCE, output_type="latent").images
        outputs[f"{name}.{strength}"] = latents.contiguous()
        outputs[f"{name}.{strength}.timesteps"] = torch.tensor(evaluations)
        print(name, strength, len(evaluations), evaluations[0], float(latents.abs().max()))
save_file(outputs, sys.argv[1])

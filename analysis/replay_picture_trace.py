#!/usr/bin/env python3
"""Replays traces of edited whole pictures (generative peers) with diffusers from a trace file and the model's folder alone.

    python3 analysis/replay_picture_trace.py DIR_OR_FILE MODEL_FOLDER [--lora FILE] [--tolerance 1e-3]

For every edit: the autoencoder's feed and posterior, the latents that the edit starts from or sees beside the sample, the whole
trajectory from the traced noise alone, every prediction from the traced sample, the decoded picture and its bytes. Compared by the
largest absolute difference over the largest absolute value. Text states are taken from the trace: replay_generate_trace.py makes
them again. Float32 on the CPU.
Exit code 0: all within tolerance; 1: not; 2: the trace cannot be read. Needs torch, diffusers, transformers, safetensors, numpy (with
--lora peft too).
"""
import argparse
import json
import pathlib
import sys

import diffusers
import torch
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from replay_generate_trace import SAMPLERS, Comparison
from safetensors import safe_open


class Model:
    def __init__(self, folder, lora=None):
        self.unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet").float().eval()
        if lora:
            diffusers.StableDiffusionPipeline.load_lora_into_unet(*diffusers.StableDiffusionPipeline.lora_state_dict(lora), self.unet)
        self.vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae").float().eval()
        self.schedule = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())

    def scheduler(self, sampler, steps, strength):
        kind, changes = SAMPLERS[sampler]
        scheduler = kind.from_config(diffusers.PNDMScheduler.from_config(self.schedule).config, **changes)
        scheduler.set_timesteps(steps)
        first = max(steps - min(int(steps * strength), steps), 0)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first * scheduler.order)
        return scheduler, scheduler.timesteps[first * scheduler.order:]


def predictions(model, trace, about, sample, t):
    """What guidance is made of, by name, and what it makes; one call of the network each."""
    guidance, states = float(about["guidance"]), trace["encoder_hidden_states"]  # unconditional, conditional
    added = lambda i: None if "text_embeds" not in trace else {n: trace[n][i:i + 1] for n in ("text_embeds", "time_ids")}
    run = lambda i, x: model.unet(x, t, states[i:i + 1], added_cond_kwargs=added(i)).sample
    if "image_latents" in trace:
        seen, nothing = (torch.cat([sample, beside], 1) for beside in (trace["image_latents"], torch.zeros_like(trace["image_latents"])))
        text = run(1, seen)
        if guidance <= 1:
            return {"noise_pred_text": text, "noise_pred": text}
        image, neither = run(0, seen), run(0, nothing)
        guided = neither + guidance * (text - image) + float(about["image_guidance"]) * (image - neither)
        return {"noise_pred_text": text, "noise_pred_image": image, "noise_pred_uncond": neither, "noise_pred": guided}
    text = run(1, sample)
    if guidance <= 1:
        return {"noise_pred_text": text, "noise_pred": text}
    neither = run(0, sample)
    return {"noise_pred_text": text, "noise_pred_uncond": neither, "noise_pred": neither + guidance * (text - neither)}


def replay(model, path, compare):
    with safe_open(path, "pt") as file:
        trace = {name: file.get_tensor(name) for name in file.keys()}
        about = file.metadata() or {}
    feed = 2 * (trace["source"].float() / 255).permute(2, 0, 1)[None] - 1
    compare("vae_feed", feed, trace["vae_feed"])
    posterior = model.vae.encode(feed).latent_dist
    compare("mean", posterior.mean, trace["mean"])
    compare("std", posterior.std, trace["std"])
    scheduler, timesteps = model.scheduler(about["sampler"], int(about["steps"]), float(about["strength"]))
    if "image_latents" in trace:
        compare("image_latents", posterior.mode(), trace["image_latents"])
        sample = trace["noise"] * scheduler.init_noise_sigma
    else:
        clean = (posterior.mean + posterior.std * trace["posterior_noise"]) * model.vae.config.scaling_factor
        compare("latents_clean", clean, trace["latents_clean"])
        sample = scheduler.add_noise(clean, trace["noise"], timesteps[:1])
    for k, t in enumerate(timesteps):
        prefix = f"step_{k:02}."
        compare(prefix + "timestep", torch.as_tensor(float(t)).view(1), trace[prefix + "timestep"])
        compare(prefix + "sample", sample, trace[prefix + "sample"])
        if prefix + "noise" in trace:
            scheduling_euler_ancestral_discrete.randn_tensor = lambda *_, **__: trace[prefix + "noise"]
        from_trace = predictions(model, trace, about, scheduler.scale_model_input(trace[prefix + "sample"], t), t)
        for name, value in from_trace.items():
            compare(prefix + name, value, trace[prefix + name])
        own = predictions(model, trace, about, scheduler.scale_model_input(sample, t), t)["noise_pred"]
        sample = scheduler.step(own, t, sample).prev_sample
        compare(prefix + "prev_sample", sample, trace[prefix + "prev_sample"])
    compare("latents_final", sample, trace["latents_final"])
    image = model.vae.decode(trace["latents_final"] / model.vae.config.scaling_factor).sample
    compare("image", image, trace["image"])
    if "picture" in trace:  # a difference of one level is rounding
        picture = ((image[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255).round().to(torch.uint8)
        if (picture.int() - trace["picture"].int()).abs().max() > 1:
            compare("picture", picture, trace["picture"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--lora", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    arguments = parser.parse_args()
    files = sorted(arguments.trace.glob("item-*.safetensors")) if arguments.trace.is_dir() else [arguments.trace]
    if not files or not all(file.is_file() for file in files):
        print(f"{arguments.trace}: no item-*.safetensors", file=sys.stderr)
        return 2
    torch.set_grad_enabled(False)
    model = Model(arguments.model, arguments.lora)
    compare = Comparison(arguments.tolerance)
    for path in files:
        replay(model, path, compare)
    for name, worst in sorted(compare.worst.items()):
        print(f"{name:28} {worst:.2e}{'' if worst <= arguments.tolerance else '  TOO FAR'}")
    print(f"{len(files)} edits replayed, {compare.failed} differences above {arguments.tolerance:g}")
    return 1 if compare.failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Replays `deda invert --trace DIR` with PyTorch, diffusers and transformers from the trace files alone, and compares every number.

    python3 analysis/replay_invert_trace.py DIR MODEL [--tolerance 1e-5] [--layer-diffuse FILE]

MODEL is the diffusers folder that the run used (models.base). Each step starts from the traced rows and AdamW moments before it;
recomputed with the originals' networks are: noisy_latents, encoder_hidden_states (and text_embeds), noise_pred, loss, grad,
row_after, exp_avg, exp_avg_sq. Differences are norms of the difference over the norm.
--layer-diffuse adds dense offsets (ld_diffusers_sdxl_attn.safetensors) to the UNet as the run did; the attention replacement of
SD1.5 is no part of diffusers: trace such a run with invert.unet = "plain".
Exit code 0: all within tolerance; 1: not; 2: the trace cannot be read. Needs torch, diffusers, transformers, safetensors.
"""
import argparse
import pathlib
import sys

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

BETAS, EPSILON = (0.9, 0.999), 1e-8


def read(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def suffix(encoder):
    return "" if encoder == 0 else f"_{encoder + 1}"


class Model:
    def __init__(self, folder, layer_diffuse):
        self.sdxl = (folder / "text_encoder_2").exists()
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet").requires_grad_(False)
        if layer_diffuse:
            state = self.unet.state_dict()
            for name, offset in load_file(layer_diffuse).items():
                if name not in state:
                    sys.exit(f"{layer_diffuse}: {name} is no weight of diffusers' UNet")
                state[name] += offset.float()
        self.scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
        self.encoders = [CLIPTextModel.from_pretrained(folder / "text_encoder")]
        if self.sdxl:
            self.encoders.append(CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"))
        self.tables = []
        for encoder in self.encoders:
            encoder.requires_grad_(False)
            self.tables.append(encoder.get_input_embeddings().weight.detach().clone())

    def text(self, ids, rows):
        """States and pooled text; `rows` [all rows, D] per encoder stand behind the vocabulary."""
        parts, pooled = [], None
        for encoder, table, its_ids, its_rows in zip(self.encoders, self.tables, ids, rows):
            whole = torch.cat([table, its_rows])
            embeddings = encoder.get_input_embeddings()
            forward, embeddings.forward = embeddings.forward, lambda x, w=whole: torch.nn.functional.embedding(x, w)
            try:
                out = encoder(its_ids, output_hidden_states=True)
            finally:
                embeddings.forward = forward
            parts.append(out.hidden_states[-2] if self.sdxl else out[0])
            pooled = out[0] if self.sdxl else None
        return torch.cat(parts, dim=-1), pooled


def adamw(row, grad, first, second, steps_before, learning_rate, weight_decay):
    """torch.optim.AdamW from given moments."""
    parameter = torch.nn.Parameter(row.clone())
    optimizer = torch.optim.AdamW([parameter], lr=learning_rate, betas=BETAS, eps=EPSILON, weight_decay=weight_decay)
    optimizer.state[parameter] = {"step": torch.tensor(float(steps_before)), "exp_avg": first.clone(), "exp_avg_sq": second.clone()}
    parameter.grad = grad
    optimizer.step()
    state = optimizer.state[parameter]
    return parameter.detach(), state["exp_avg"], state["exp_avg_sq"]


def replay(model, trace, metadata):
    """{name: our tensor} of one step."""
    packed = "class_index" in trace
    ours = {}
    latents, noise, timesteps = trace["latents"], trace["noise"], trace["timesteps"]
    ours["noisy_latents"] = noisy = model.scheduler.add_noise(latents, noise, timesteps)
    rows, ids = [], []
    for encoder in range(len(model.encoders)):
        row = trace["row_before" + suffix(encoder)]
        rows.append((row.flatten(0, 1) if packed else row).clone().requires_grad_(True))
        ids.append(trace["input_ids" + suffix(encoder)])
    ours["encoder_hidden_states"], pooled = model.text(ids, rows)
    added = None
    if model.sdxl:
        ours["text_embeds"] = pooled
        added = {"text_embeds": pooled, "time_ids": trace["time_ids"]}
    ours["noise_pred"] = predicted = model.unet(noisy, timesteps, ours["encoder_hidden_states"], added_cond_kwargs=added).sample
    velocity = model.scheduler.config.prediction_type == "v_prediction"
    target = model.scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    errors = (predicted.float() - target.float()).square().mean(dim=(1, 2, 3))
    classes = trace["row_before"].shape[0] if packed else 1
    losses = errors.view(classes, -1).mean(dim=1)
    ours["loss"] = losses if packed else losses[0]
    losses.sum().backward()
    steps = trace["adamw_steps_before"].tolist()
    for encoder, row in enumerate(rows):
        tail = suffix(encoder)
        grad = row.grad.view_as(trace["row_before" + tail])
        ours["grad" + tail] = grad
        parts = []
        for i in range(classes):
            pick = (lambda x: x[i]) if packed else (lambda x: x)
            parts.append(adamw(pick(trace["row_before" + tail]), pick(grad).clone(), pick(trace["exp_avg_before" + tail]),
                               pick(trace["exp_avg_sq_before" + tail]), steps[i], float(metadata["lr"]),
                               float(metadata["weight_decay"])))
        for name, values in zip(("row_after", "exp_avg", "exp_avg_sq"), zip(*parts)):
            ours[name + tail] = torch.stack(values) if packed else values[0]
    return {name: tensor.detach() for name, tensor in ours.items()}


def difference(ours, traced):
    scale = traced.double().norm().item()
    return (ours.double() - traced.double()).norm().item() / max(scale, 1e-30)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trace", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("--layer-diffuse", type=pathlib.Path)
    arguments = parser.parse_args()
    paths = sorted(arguments.trace.glob("step-*.safetensors"))
    if not paths:
        print(f"{arguments.trace}: no step-*.safetensors", file=sys.stderr)
        return 2
    model = Model(arguments.model, arguments.layer_diffuse)
    within = True
    for path in paths:
        trace, metadata = read(path)
        ours = replay(model, trace, metadata)
        print(f"{path.name}  class {metadata.get('class')}  loss {trace['loss'].tolist()}")
        for name in sorted(ours):
            gap = difference(ours[name], trace[name])
            within = within and gap <= arguments.tolerance
            print(f"  {name:<24} {gap:.2e}{'' if gap <= arguments.tolerance else '   TOO FAR'}")
    print("all within tolerance" if within else "NOT within tolerance")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Replays `deda generate --trace DIR` with diffusers and transformers from a trace file and the model's folder alone.

    python3 analysis/replay_generate_trace.py DIR_OR_FILE MODEL_FOLDER [--layer-diffuse FILE] [--tolerance 1e-3]

For every copy: colours padded under transparency, offset, autoencoder's posterior, clean latent, text states, all steps (each
from our sample, and the whole trajectory from our noise alone), decoded picture, the transparent decoder's votes and the final
bytes. Compared by the largest absolute difference over the largest absolute value. The transparent networks and the padding are
written down again below from LayerDiffuse's description, with the blocks of diffusers that the original decoder is made of.
--layer-diffuse: weights to add to the UNet's by name (SDXL's files). Float32 on the CPU.
Exit code 0: all within tolerance; 1: not; 2: the trace cannot be read. Needs torch, diffusers, transformers, safetensors, numpy.
"""
import argparse
import json
import pathlib
import re
import sys

import diffusers
import numpy
import torch
import transformers
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block, get_up_block
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from safetensors import safe_open
from safetensors.torch import load_file

FLOOR = 1e-6  # absolute differences below this are rounding, whatever the tensor's size

SAMPLERS = {
    "dpmpp2m_linspace": (diffusers.DPMSolverMultistepScheduler, {"timestep_spacing": "linspace"}),
    "dpmpp2m_leading": (diffusers.DPMSolverMultistepScheduler, {"timestep_spacing": "leading"}),
    "ddim_leading": (diffusers.DDIMScheduler, {"timestep_spacing": "leading", "clip_sample": False}),
    "euler_leading": (diffusers.EulerDiscreteScheduler, {"timestep_spacing": "leading"}),
    "euler_ancestral_leading": (diffusers.EulerAncestralDiscreteScheduler, {"timestep_spacing": "leading"}),
    "euler_ancestral_linspace": (diffusers.EulerAncestralDiscreteScheduler, {"timestep_spacing": "linspace"}),
    "pndm_faithful": (diffusers.PNDMScheduler, {"timestep_spacing": "leading", "skip_prk_steps": True}),
}


# --- colours under transparency -------------------------------------------------------------------------------------------------
def area_matrix(inner, outer):
    """Box average from `inner` to `outer` samples, with fractional weights at the ends."""
    matrix, scale = numpy.zeros((outer, inner)), inner / outer
    for i in range(outer):
        for j in range(inner):
            matrix[i, j] = max(0.0, min(j + 1, (i + 1) * scale) - max(j, i * scale)) / scale
    return matrix


def linear_matrix(inner, outer):
    matrix = numpy.zeros((outer, inner))
    for i in range(outer):
        at = (i + 0.5) * inner / outer - 0.5
        low = int(numpy.floor(at))
        for j, weight in ((low, 1 - (at - low)), (low + 1, at - low)):
            matrix[i, min(max(j, 0), inner - 1)] += weight
    return matrix


def resized(image, height, width, matrix):
    rows, columns = matrix(image.shape[0], height), matrix(image.shape[1], width)
    return numpy.einsum("ij,jkc,lk->ilc", rows, image, columns)


def padded_colours(rgba):
    """uint8 [H, W, 4] -> float [H, W, 3]: every transparent pixel gets the colour of the opaque ones around it."""
    rgb, alpha = rgba[..., :3] / 255.0, rgba[..., 3:] / 255.0
    levels = [(rgb * alpha, alpha)]
    while min(levels[-1][0].shape[:2]) > 1:
        colour, cover = levels[-1]
        height, width = int(colour.shape[0] / 1.2), int(colour.shape[1] / 1.2)
        levels.append((resized(colour, height, width, area_matrix), resized(cover, height, width, area_matrix)))
    colour, cover = levels[-1]
    fill = colour.sum((0, 1)) / max(cover.sum(), 1e-8)
    fill = numpy.broadcast_to(fill, colour.shape)
    for colour, cover in reversed(levels):
        fill = resized(fill, *colour.shape[:2], linear_matrix)
        fill = colour + fill * (1 - cover)
    return fill


def network_inputs(rgba):
    """What the two encoders see of one uint8 [H, W, 4] picture: padded colours [1, 3, H, W] and the picture on grey."""
    picture = torch.from_numpy(rgba.astype(numpy.float32) / 255).permute(2, 0, 1)[None]
    padded = torch.from_numpy(padded_colours(rgba).astype(numpy.float32)).permute(2, 0, 1)[None]
    return padded, picture[:, 3:], (2 * picture[:, :3] - 1) * picture[:, 3:]


# --- transparent networks ---------------------------------------------------------------------------------------------------------
class TransparentEncoder(torch.nn.Module):
    def __init__(self, widths, latent):
        super().__init__()
        layers, inner = [], 4
        for level, width in enumerate(widths):
            layers += [torch.nn.Conv2d(inner, width, 3, padding=1, stride=1 if level == 0 else 2), torch.nn.SiLU(),
                       torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.SiLU()]
            inner = width
        self.blocks = torch.nn.Sequential(*layers, torch.nn.Conv2d(inner, latent, 3, padding=1))

    def forward(self, x):
        return self.blocks(x)


class TransparentDecoder(torch.nn.Module):
    """UNet1024, of any widths."""

    def __init__(self, widths, first_attention, latent_level, latent):
        super().__init__()
        self.latent_level, levels = latent_level, len(widths)
        self.conv_in = torch.nn.Conv2d(3, widths[0], 3, padding=1)
        self.latent_conv_in = torch.nn.Conv2d(latent, widths[latent_level - 1], 1)
        common = dict(temb_channels=None, resnet_eps=1e-5, resnet_act_fn="silu", resnet_groups=4, attention_head_dim=8,
                      resnet_time_scale_shift="default", dropout=0.0)
        self.down_blocks, self.up_blocks, out = torch.nn.ModuleList(), torch.nn.ModuleList(), widths[0]
        for i in range(levels):
            inner, out = out, widths[i]
            self.down_blocks.append(get_down_block("AttnDownBlock2D" if i >= first_attention else "DownBlock2D", num_layers=2,
                                                   in_channels=inner, out_channels=out, add_downsample=i < levels - 1,
                                                   downsample_padding=1, downsample_type="conv", **common))
        self.mid_block = UNetMidBlock2D(in_channels=widths[-1], temb_channels=None, dropout=0.0, resnet_eps=1e-5, resnet_act_fn="silu",
                                        output_scale_factor=1, resnet_time_scale_shift="default", attention_head_dim=8,
                                        resnet_groups=4, attn_groups=None, add_attention=True)
        reverse = widths[::-1]
        out = reverse[0]
        for i in range(levels):
            previous, out, inner = out, reverse[i], reverse[min(i + 1, levels - 1)]
            self.up_blocks.append(get_up_block("AttnUpBlock2D" if levels - 1 - i >= first_attention else "UpBlock2D", num_layers=3,
                                               in_channels=inner, out_channels=out, prev_output_channel=previous,
                                               add_upsample=i < levels - 1, upsample_type="conv", **common))
        self.conv_norm_out = torch.nn.GroupNorm(4, widths[0], eps=1e-5)
        self.conv_out = torch.nn.Conv2d(widths[0], 4, 3, padding=1)

    def forward(self, pixel, latent):
        x, latent = self.conv_in(pixel), self.latent_conv_in(latent)
        skips = (x,)
        for i, block in enumerate(self.down_blocks):
            x, more = block(hidden_states=x + latent if i == self.latent_level else x, temb=None)
            skips += more
        x = self.mid_block(x, None)
        for block in self.up_blocks:
            mine, skips = skips[-len(block.resnets):], skips[:-len(block.resnets)]
            x = block(x, mine, None)
        return self.conv_out(torch.nn.functional.silu(self.conv_norm_out(x)))


def voted(network, pixel, latent, votes):
    if votes == 1:
        return network(pixel, latent).clip(0, 1)
    results = []
    for flip in (False, True):
        for k in range(4):
            p, l = (pixel.flip(3), latent.flip(3)) if flip else (pixel, latent)
            y = network(p.rot90(k, (2, 3)), l.rot90(k, (2, 3))).clip(0, 1).rot90(-k, (2, 3))
            results.append(y.flip(3) if flip else y)
    return torch.median(torch.stack(results), 0).values


def transparent_encoder(path):
    state = load_file(path)
    count = max(int(name.split(".")[1]) for name in state) // 2 + 1
    widths = [state[f"blocks.{4 * level}.weight"].shape[0] for level in range((count - 1) // 2)]
    network = TransparentEncoder(widths, state[f"blocks.{2 * (count - 1)}.weight"].shape[0])
    network.load_state_dict(state)
    return network.eval()


def transparent_decoder(path, factor):
    state = load_file(path)
    levels = max(int(name.split(".")[1]) for name in state if name.startswith("down_blocks.")) + 1
    widths = [state[f"down_blocks.{i}.resnets.1.conv2.weight"].shape[0] for i in range(levels)]
    with_attention = [i for i in range(levels) if f"down_blocks.{i}.attentions.0.to_q.weight" in state]
    network = TransparentDecoder(widths, min(with_attention, default=levels), factor.bit_length() - 1,
                                 state["latent_conv_in.weight"].shape[1])
    network.load_state_dict(state)
    return network.eval()


# --- the model ----------------------------------------------------------------------------------------------------------------------
class Model:
    def __init__(self, folder, layer_diffuse=None):
        self.unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet").float().eval()
        if layer_diffuse:
            state = self.unet.state_dict()
            for name, change in load_file(layer_diffuse).items():
                state[name] += change.float()
        self.vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae").float().eval()
        self.texts = [transformers.CLIPTextModel.from_pretrained(folder / "text_encoder").float().eval()]
        if (folder / "text_encoder_2").exists():
            self.texts.append(transformers.CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2").float().eval())
        self.encoder = transparent_encoder(folder / "transparent_encoder.safetensors")
        self.decoder = transparent_decoder(folder / "transparent_decoder.safetensors", 2 ** (len(self.vae.config.block_out_channels) - 1))
        self.schedule = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())

    def scheduler(self, sampler, steps, strength):
        """The scheduler as an img2img pipeline of diffusers leaves it, and the timesteps it runs."""
        kind, changes = SAMPLERS[sampler]
        scheduler = kind.from_config(diffusers.PNDMScheduler.from_config(self.schedule).config, **changes)
        scheduler.set_timesteps(steps)
        first = max(steps - min(int(steps * strength), steps), 0)
        timesteps = scheduler.timesteps[first * scheduler.order:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first * scheduler.order)
        return scheduler, timesteps

    def text_states(self, ids, rows, first_ids):
        """One prompt's states and pooled vector; `rows`: learnt rows per text encoder, put at `first_ids`."""
        states, pooled = [], None
        for text, these, learnt, first in zip(self.texts, ids, rows, first_ids):
            if learnt is not None:
                text.resize_token_embeddings(max(text.get_input_embeddings().num_embeddings, first + len(learnt)), mean_resizing=False)
                text.get_input_embeddings().weight[first:first + len(learnt)] = learnt
            result = text(these, output_hidden_states=True)
            states.append(result.hidden_states[-2] if len(self.texts) > 1 else result.last_hidden_state)
            pooled = getattr(result, "text_embeds", None)
        return torch.cat(states, -1), pooled


def predicted(model, sample, timestep, states, added, guidance):
    """(unconditional, conditional, guided), by two calls as it reads; states [2, tokens, D]: unconditional first."""
    one = lambda i: model.unet(sample, timestep, states[i:i + 1].expand(len(sample), -1, -1),
                               added_cond_kwargs=None if added is None else {n: v[i:i + 1].expand(len(sample), -1) for n, v in added.items()}).sample
    conditional = one(1)
    if guidance <= 1:
        return None, conditional, conditional
    unconditional = one(0)
    return unconditional, conditional, unconditional + guidance * (conditional - unconditional)


def edited(model, clean, noise, states, added, sampler, steps, strength, guidance, fresh=None):
    """The whole edit; yields (timestep, predictions, sample after), the start first with predictions None. `fresh(k)`: new noise."""
    scheduler, timesteps = model.scheduler(sampler, steps, strength)
    sample = scheduler.add_noise(clean, noise, timesteps[:1])
    yield timesteps[0], None, sample
    for k, t in enumerate(timesteps):
        if fresh is not None:
            scheduling_euler_ancestral_discrete.randn_tensor = lambda *_, **__: fresh(k)
        predictions = predicted(model, scheduler.scale_model_input(sample, t), t, states, added, guidance)
        sample = scheduler.step(predictions[2], t, sample).prev_sample
        yield t, predictions, sample


def decoded(model, latents, pixel_choice, scaled_latent, votes):
    """Autoencoder's picture, the transparent decoder's two inputs, and alpha, R, G, B."""
    unscaled = latents / model.vae.config.scaling_factor
    image = model.vae.decode(unscaled).sample
    pixel = image * 0.5 + 0.5
    if pixel_choice != "raw":
        pixel = pixel.clip(0, 1)
    if pixel_choice == "8bit":
        pixel = (pixel * 255).round() / 255
    latent = latents if scaled_latent else unscaled
    return image, pixel, latent, voted(model.decoder, pixel, latent, votes)


# --- comparison ---------------------------------------------------------------------------------------------------------------------
class Comparison:
    def __init__(self, tolerance):
        self.tolerance, self.worst, self.failed = tolerance, {}, 0

    def __call__(self, name, ours, traced):
        gap = (ours.double() - traced.double()).abs().max().item()
        relative = 0.0 if gap <= FLOOR else gap / max(traced.double().abs().max().item(), FLOOR)
        kind = re.sub(r"step_\d+", "step_KK", name)
        self.worst[kind] = max(self.worst.get(kind, 0.0), relative)
        self.failed += not relative <= self.tolerance


def replay(model, path, compare):
    with safe_open(path, "pt") as file:
        trace = {name: file.get_tensor(name) for name in file.keys()}
        about = file.metadata() or {}
    steps, strength, guidance, sampler = int(about["steps"]), float(about["strength"]), float(about["guidance"]), about["sampler"]

    padded, alpha, feed = network_inputs(trace["rgba"].numpy())
    compare("padded_rgb", padded, trace["padded_rgb"])
    compare("vae_feed", feed, trace["vae_feed"])
    posterior = model.vae.encode(trace["vae_feed"]).latent_dist
    compare("mean", posterior.mean, trace["mean"])
    compare("std", posterior.std, trace["std"])
    offset = model.encoder(torch.cat([alpha, trace["padded_rgb"]], 1)) * float(about["offset_gain"])
    compare("offset", offset, trace["offset"])
    clean = (posterior.mean + posterior.std * offset) * model.vae.config.scaling_factor
    compare("latents_clean", clean, trace["latents_clean"])

    suffixes = ["", "_2"][:len(model.texts)]
    states, pooled = model.text_states([trace["input_ids" + s] for s in suffixes], [trace.get("learned_embeds" + s) for s in suffixes],
                                       [int(about.get("first_placeholder_id" + s, 0)) for s in suffixes])
    compare("encoder_hidden_states", states, trace["encoder_hidden_states"][1:])
    added = None
    if pooled is not None:
        compare("text_embeds", pooled, trace["text_embeds"][1:])
        added = {"text_embeds": trace["text_embeds"], "time_ids": trace["time_ids"]}

    if sampler in SAMPLERS:
        fresh = (lambda k: trace[f"step_{k:02}.fresh_noise"]) if "step_00.fresh_noise" in trace else None
        for k, (t, _, sample) in enumerate(edited(model, trace["latents_clean"], trace["noise"], trace["encoder_hidden_states"], added,
                                                  sampler, steps, strength, guidance, fresh)):
            # k = 0 is the start, k = 1 what the first evaluation leaves
            name = f"step_{k:02}.sample" if f"step_{k:02}.sample" in trace else "latents_final"
            compare(name, sample, trace[name])
            if f"step_{k - 1:02}.timestep" in trace:
                compare(f"step_{k - 1:02}.timestep", torch.as_tensor(float(t)).view(1), trace[f"step_{k - 1:02}.timestep"])
        scheduler, timesteps = model.scheduler(sampler, steps, strength)
        for k, t in enumerate(timesteps):  # each prediction from our own sample
            prefix = f"step_{k:02}."
            if getattr(scheduler, "step_index", 0) is None and hasattr(scheduler, "_init_step_index"):
                scheduler._init_step_index(t)
            sample = scheduler.scale_model_input(trace[prefix + "sample"], t)
            for name, value in zip(("noise_pred_uncond", "noise_pred_text", "noise_pred"),
                                   predicted(model, sample, t, trace["encoder_hidden_states"], added, guidance)):
                if value is not None:
                    compare(prefix + name, value, trace[prefix + name]) if prefix + name in trace else None
            if hasattr(scheduler, "_step_index") and scheduler._step_index is not None:
                scheduler._step_index += 1
    image, pixel, latent, argb = decoded(model, trace["latents_final"], about["decoder_pixel"], about["decoder_latent"] == "scaled",
                                         int(about["decoder_votes"]))
    for name, value in (("image", image), ("pixel", pixel), ("latent", latent), ("argb", argb)):
        compare(name, value, trace[name])
    if "rgba_out" in trace:  # cut off, not rounded: a difference of one level is rounding
        bytes_ = (argb[0, [1, 2, 3, 0]].permute(1, 2, 0) * 255).to(torch.uint8)
        if (bytes_.int() - trace["rgba_out"].int()).abs().max() > 1:
            compare("rgba_out", bytes_, trace["rgba_out"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--layer-diffuse", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    arguments = parser.parse_args()
    files = sorted(arguments.trace.glob("item-*.safetensors")) if arguments.trace.is_dir() else [arguments.trace]
    if not files:
        print(f"{arguments.trace}: no item-*.safetensors", file=sys.stderr)
        return 2
    torch.set_grad_enabled(False)
    model = Model(arguments.model, arguments.layer_diffuse)
    compare = Comparison(arguments.tolerance)
    for path in files:
        replay(model, path, compare)
    for name, worst in sorted(compare.worst.items()):
        print(f"{name:28} {worst:.2e}{'' if worst <= arguments.tolerance else '  TOO FAR'}")
    print(f"{len(files)} copies replayed, {compare.failed} differences above {arguments.tolerance:g}")
    return 1 if compare.failed else 0


if __name__ == "__main__":
    sys.exit(main())

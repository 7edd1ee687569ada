"""Golden outputs of the diffusion networks, from diffusers and transformers.

    python diffusion_networks.py OUT.safetensors OUT.json

Weights and inputs are made-up numbers that tests/support/hashed_numbers.h can make as well, so that only the outputs are kept.
Tried with torch 2.11, diffusers 0.42, transformers 5.24 (float32, CPU)."""
import json
import sys

import torch
import xxhash
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block, get_up_block
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from made_up import UNET_INPUTS, UNETS, fill, made_up, published

torch.manual_seed(0)
torch.set_grad_enabled(False)


def listing(network, rename=lambda name: name):
    state = {rename(n): t for n, t in network.state_dict().items() if "position_ids" not in n}
    text = "".join(f"{n} {'x'.join(map(str, state[n].shape))}\n" for n in sorted(state))
    return {"parameters": sum(p.numel() for p in network.parameters()), "tensors": len(state),
            "names": xxhash.xxh3_128_hexdigest(text.encode())}


outputs, full = {}, {}

# --- UNet -------------------------------------------------------------------------------------------------------------------
for name, config in UNETS.items():
    network = fill(UNet2DConditionModel(**config))
    batch, channels, height, width, tokens = UNET_INPUTS[name]
    sample = made_up(9001, (batch, channels, height, width))
    time = torch.tensor([400, 37][:batch])
    text = made_up(9002, (batch, tokens, config["cross_attention_dim"]))
    added = None
    if name == "sdxl_like":
        added = {"text_embeds": made_up(9003, (batch, 12)), "time_ids": made_up(9004, (batch, 6), 0, 1024).floor()}
    outputs[f"unet.{name}"] = network(sample, time, text, added_cond_kwargs=added).sample
    print(name, outputs[f"unet.{name}"].abs().max())

# --- LayerDiffuse's attention replacement, as published (nothing folded), on sd15_like -------------------------------------------
network = fill(UNet2DConditionModel(**UNETS["sd15_like"]))
RANK, FRAMES = 4, 1
order = [m for part in ("down_blocks.", "up_blocks.", "mid_block.") for m, _ in network.named_modules()
         if m.startswith(part) and m.endswith(("attn1", "attn2"))]
layer_file, index = {}, 20000


def take(name, shape, scale):
    global index
    index += 1
    value = made_up(index, shape, -scale, scale)
    layer_file[name] = value
    return value


class Hooked:
    def __init__(self, i, attention):
        c, ctx = attention.to_q.weight.shape[0], attention.to_k.weight.shape[1]
        p = f"hookers.layers.{i}."
        self.lora = {}
        for which, inner in (("q", c), ("k", ctx), ("v", ctx), ("out", c)):
            down = take(p + f"to_{which}_lora.0.down.weight", (RANK, inner), 0.3)
            up = take(p + f"to_{which}_lora.0.up.weight", (c, RANK), 0.3)
            self.lora[which] = (down, up)
        self.t = {}
        for which in "iqkvo":
            self.t[which] = (take(p + f"temporal_{which}.weight", (c, c), 0.15), take(p + f"temporal_{which}.bias", (c,), 0.1))
        take(p + "temporal_n.weight", (c,), 1.0)
        layer_file[p + "temporal_n.weight"] += 1.0
        self.n = (layer_file[p + "temporal_n.weight"], take(p + "temporal_n.bias", (c,), 0.1))

    def __call__(self, attention, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        h, c = hidden_states, hidden_states if encoder_hidden_states is None else encoder_hidden_states
        lin = lambda x, wb: torch.nn.functional.linear(x, *wb)
        lora = lambda x, which: lin(lin(x, (self.lora[which][0],)), (self.lora[which][1],))
        q, k, v = attention.to_q(h) + lora(h, "q"), attention.to_k(c) + lora(c, "k"), attention.to_v(c) + lora(c, "v")
        split = lambda x: x.view(x.shape[0], -1, attention.heads, x.shape[-1] // attention.heads).transpose(1, 2)
        a = torch.nn.functional.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2)
        a = attention.to_out[0](a) + lora(a, "out")
        m = h + a
        u = torch.nn.functional.layer_norm(m, (m.shape[-1],), *self.n, 1e-6)
        z = lin(u, self.t["i"]).reshape(-1, FRAMES, u.shape[-1])   # every position attends over the frames
        tq, tk, tv = lin(z, self.t["q"]), lin(z, self.t["k"]), lin(z, self.t["v"])
        w = lin(torch.nn.functional.scaled_dot_product_attention(split(tq), split(tk), split(tv)).transpose(1, 2).flatten(2), self.t["o"])
        return m + w.reshape(u.shape) - h


modules = dict(network.named_modules())
for i, module in enumerate(order):
    modules[module].processor = Hooked(i, modules[module])
batch, channels, height, width, tokens = UNET_INPUTS["sd15_like"]
outputs["layer_diffuse.sd15_like"] = network(made_up(9001, (batch, channels, height, width)), torch.tensor([400, 37]),
                                             made_up(9002, (batch, tokens, 24))).sample
print("layer diffuse", (outputs["layer_diffuse.sd15_like"] - outputs["unet.sd15_like"]).abs().max())
for name, value in layer_file.items():
    outputs["layer_file." + name] = value.half() if "lora" in name or "temporal" in name and value.ndim == 2 else value
# The file holds half precision where the published one does; the outputs above must come from the rounded numbers.
for hooked, module in ((modules[m].processor, m) for m in order):
    hooked.lora = {k: (d.half().float(), u.half().float()) for k, (d, u) in hooked.lora.items()}
    hooked.t = {k: (w.half().float(), b) for k, (w, b) in hooked.t.items()}
outputs["layer_diffuse.sd15_like"] = network(made_up(9001, (batch, channels, height, width)), torch.tensor([400, 37]),
                                             made_up(9002, (batch, tokens, 24))).sample

# --- autoencoder ------------------------------------------------------------------------------------------------------------
VAES = {
    "four_levels": dict(block_out_channels=(8, 16, 16, 16), layers_per_block=2, norm_num_groups=8),
    "three_levels": dict(block_out_channels=(8, 8, 24), layers_per_block=1, norm_num_groups=4, latent_channels=6),
    "wide": dict(block_out_channels=(32, 64), layers_per_block=2, norm_num_groups=32),
}
VAE_SIZES = {"four_levels": (32, 48), "three_levels": (20, 16), "wide": (14, 10)}
for name, config in VAES.items():
    levels = len(config["block_out_channels"])
    network = fill(AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels, **config))
    height, width = VAE_SIZES[name]
    posterior = network.encode(made_up(9001, (2, 3, height, width))).latent_dist
    outputs[f"vae.{name}.mean"], outputs[f"vae.{name}.logvar"] = posterior.mean.contiguous(), posterior.logvar.contiguous()
    factor = 2 ** (levels - 1)
    outputs[f"vae.{name}.decoded"] = network.decode(made_up(9002, (1, config.get("latent_channels", 4), height // factor, width // factor))).sample

# --- text encoders ----------------------------------------------------------------------------------------------------------
TEXTS = {
    "clip_l_like": (CLIPTextModel, dict(vocab_size=100, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
                                        hidden_act="quick_gelu", eos_token_id=2, bos_token_id=98, pad_token_id=99)),
    "big_g_like": (CLIPTextModelWithProjection, dict(vocab_size=100, hidden_size=40, num_hidden_layers=4, num_attention_heads=5,
                                                     intermediate_size=80, hidden_act="gelu", projection_dim=24, eos_token_id=99,
                                                     bos_token_id=98, pad_token_id=0)),
    "old_eos_projection": (CLIPTextModelWithProjection, dict(vocab_size=100, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                                             intermediate_size=48, hidden_act="gelu", projection_dim=8, eos_token_id=2,
                                                             bos_token_id=98, pad_token_id=0)),
}
ids = torch.full((3, 77), 99)
ids[0, :6] = torch.tensor([98, 3, 17, 42, 5, 99])
ids[1, :4] = torch.tensor([98, 7, 7, 99])
ids[1, 4:] = 0
ids[2, :5] = torch.tensor([98, 3, 100, 101, 99])  # two added tokens
for name, (kind, config) in TEXTS.items():
    network = fill(kind(CLIPTextConfig(max_position_embeddings=77, **config)), published)
    network.resize_token_embeddings(102)
    network.get_input_embeddings().weight[100:] = made_up(9005, (2, config["hidden_size"]), -0.5, 0.5)
    result = network(ids, output_hidden_states=True)
    outputs[f"text.{name}.last"] = result.last_hidden_state[:, :8].contiguous()
    outputs[f"text.{name}.tail"] = result.last_hidden_state[:, 76].contiguous()
    outputs[f"text.{name}.penultimate"] = result.hidden_states[-2][:, :8].contiguous()
    if kind is CLIPTextModelWithProjection:
        outputs[f"text.{name}.text_embeds"] = result.text_embeds
    else:
        outputs[f"text.{name}.pooled"] = result.pooler_output

# --- transparent encoder and decoder, restated with the blocks of diffusers that the original is made of ---------------------------


class TransparentEncoder(torch.nn.Module):
    def __init__(self, widths, latent=4):
        super().__init__()
        layers, inner = [], 4
        for level, width in enumerate(widths):
            layers += [torch.nn.Conv2d(inner, width, 3, padding=1, stride=1 if level == 0 else 2), torch.nn.SiLU(),
                       torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.SiLU()]
            inner = width
        self.blocks = torch.nn.Sequential(*layers, torch.nn.Conv2d(inner, latent, 3, padding=1))

    def forward(self, x):
        return self.blocks(x)


class UNet1024(torch.nn.Module):
    def __init__(self, widths=(32, 32, 64, 128, 256, 512, 512), first_attention=4, latent_level=3, latent=4):
        super().__init__()
        self.latent_level = latent_level
        self.conv_in = torch.nn.Conv2d(3, widths[0], 3, padding=1)
        self.latent_conv_in = torch.nn.Conv2d(latent, widths[latent_level - 1], 1)
        self.down_blocks, self.up_blocks = torch.nn.ModuleList(), torch.nn.ModuleList()
        common = dict(temb_channels=None, resnet_eps=1e-5, resnet_act_fn="silu", resnet_groups=4, attention_head_dim=8,
                      resnet_time_scale_shift="default")
        levels, out = len(widths), widths[0]
        for i in range(levels):
            inner, out = out, widths[i]
            self.down_blocks.append(get_down_block("AttnDownBlock2D" if i >= first_attention else "DownBlock2D", num_layers=2,
                                                   in_channels=inner, out_channels=out, add_downsample=i < levels - 1,
                                                   downsample_padding=1, downsample_type="conv", dropout=0.0, **common))
        self.mid_block = UNetMidBlock2D(in_channels=widths[-1], temb_channels=None, dropout=0.0, resnet_eps=1e-5, resnet_act_fn="silu",
                                        output_scale_factor=1, resnet_time_scale_shift="default", attention_head_dim=8,
                                        resnet_groups=4, attn_groups=None, add_attention=True)
        reverse = list(reversed(widths))
        out = reverse[0]
        for i in range(levels):
            previous, out = out, reverse[i]
            inner = reverse[min(i + 1, levels - 1)]
            self.up_blocks.append(get_up_block("AttnUpBlock2D" if levels - 1 - i >= first_attention else "UpBlock2D", num_layers=3,
                                               in_channels=inner, out_channels=out, prev_output_channel=previous,
                                               add_upsample=i < levels - 1, upsample_type="conv", dropout=0.0, **common))
        self.conv_norm_out = torch.nn.GroupNorm(4, widths[0], eps=1e-5)
        self.conv_out = torch.nn.Conv2d(widths[0], 4, 3, padding=1)

    def forward(self, pixel, latent):
        latent = self.latent_conv_in(latent)
        x = self.conv_in(pixel)
        skips = (x,)
        for i, block in enumerate(self.down_blocks):
            if i == self.latent_level:
                x = x + latent
            x, more = block(hidden_states=x, temb=None)
            skips += more
        x = self.mid_block(x, None)
        for block in self.up_blocks:
            mine, skips = skips[-len(block.resnets):], skips[:-len(block.resnets)]
            x = block(x, mine, None)
        return self.conv_out(torch.nn.functional.silu(self.conv_norm_out(x)))


def votes(network, pixel, latent):
    results = []
    for flip in (False, True):
        for k in range(4):
            p, l = (pixel.flip(3), latent.flip(3)) if flip else (pixel, latent)
            y = network(p.rot90(k, (2, 3)), l.rot90(k, (2, 3))).clip(0, 1).rot90(-k, (2, 3))
            results.append(y.flip(3) if flip else y)
    return torch.median(torch.stack(results), 0).values


ENCODERS = {"published": (32, 64, 128, 256), "two_levels": (8, 16), "three_levels": (8, 12, 20)}
for name, widths in ENCODERS.items():
    outputs[f"transparent_encoder.{name}"] = fill(TransparentEncoder(widths))(made_up(9001, (1, 4, 32, 48), 0, 1))
DECODERS = {
    "small": (dict(widths=(8, 8, 16, 16), first_attention=2, latent_level=2), (32, 32)),
    "not_square": (dict(widths=(8, 16, 16, 32), first_attention=3, latent_level=3, latent=6), (24, 40)),
    "like_published": (dict(widths=(8, 8, 8, 16, 16, 24, 24), first_attention=4, latent_level=3), (64, 64)),
}
for name, (config, size) in DECODERS.items():
    network = fill(UNet1024(**config))
    pixel = made_up(9001, (1, 3, *size), 0, 1)
    factor = 2 ** config["latent_level"]
    latent = made_up(9002, (1, config.get("latent", 4), size[0] // factor, size[1] // factor))
    outputs[f"transparent_decoder.{name}.single"] = network(pixel, latent)
    outputs[f"transparent_decoder.{name}.median"] = votes(network, pixel, latent).contiguous()

# --- full size: names, shapes, counts ---------------------------------------------------------------------------------------
with torch.device("meta"):
    full["unet_sd15"] = listing(UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8))
    full["unet_sdxl"] = listing(UNet2DConditionModel(
        block_out_channels=(320, 640, 1280), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
        transformer_layers_per_block=(1, 2, 10), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816))
    full["vae"] = listing(AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2,
                                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4))
    full["clip_l"] = listing(CLIPTextModel(CLIPTextConfig(vocab_size=49408, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
                                                          intermediate_size=3072)), published)
    full["big_g"] = listing(CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=49408, hidden_size=1280, num_hidden_layers=32,
                                                                       num_attention_heads=20, intermediate_size=5120, projection_dim=1280)), published)
    full["transparent_encoder"] = listing(TransparentEncoder((32, 64, 128, 256)))
    full["transparent_decoder"] = listing(UNet1024())
for name, value in full.items():
    print(name, value)

save_file({n: t.contiguous() for n, t in outputs.items()}, sys.argv[1])
json.dump({"full_size": full, "layer_file_rank": RANK}, open(sys.argv[2], "w"), indent=1)

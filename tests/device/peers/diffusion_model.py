"""Stable Diffusion 1.5 and LayerDiffuse's transparent networks as the peers have them: diffusers' and transformers' classes, of a
folder that `device_figures make-model` wrote or with random weights in memory. Without diffusers: the UNet of plain_unet.py, and no
autoencoder."""
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from measure import fill
from plain_unet import UNet

try:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block, get_up_block
    NO_DIFFUSERS = None
except Exception as problem:  # not there, or libraries that it needs are too old
    NO_DIFFUSERS = f"diffusers cannot be imported: {problem}"

TOKENS, VOCABULARY = 77, 603
# As model_folder.cpp has them.
PUBLISHED = {
    "unet": dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
    "vae": dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=0.18215),
    "text": dict(vocab_size=VOCABULARY, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072,
                 hidden_act="quick_gelu", max_position_embeddings=TOKENS),
    "encoder": (32, 64, 128, 256),
    "decoder": dict(widths=(32, 32, 64, 128, 256, 512, 512), first_attention=4, latent_level=3),
}
TINY = {
    "unet": dict(sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=(2, 4),
                 down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                 cross_attention_dim=16),
    "vae": dict(block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3, scaling_factor=0.18215),
    "text": dict(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                 hidden_act="quick_gelu", max_position_embeddings=TOKENS),
    "encoder": (8, 8, 16),
    "decoder": dict(widths=(8, 8, 16), first_attention=2, latent_level=2),
}


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


class TransparentDecoder(torch.nn.Module):
    """The original's "UNet1024", of the blocks that it is made of; tests/golden/diffusion_networks.py holds ours against it."""

    def __init__(self, widths, first_attention, latent_level, latent=4):
        super().__init__()
        self.latent_level = latent_level
        self.conv_in = torch.nn.Conv2d(3, widths[0], 3, padding=1)
        self.latent_conv_in = torch.nn.Conv2d(latent, widths[latent_level - 1], 1)
        common = dict(temb_channels=None, resnet_eps=1e-5, resnet_act_fn="silu", resnet_groups=4, attention_head_dim=8,
                      resnet_time_scale_shift="default", dropout=0.0)
        levels, attends = len(widths), [i >= first_attention for i in range(len(widths))]
        self.down_blocks, self.up_blocks = torch.nn.ModuleList(), torch.nn.ModuleList()
        for i, width in enumerate(widths):
            self.down_blocks.append(get_down_block("AttnDownBlock2D" if attends[i] else "DownBlock2D", num_layers=2,
                                                   in_channels=widths[max(i - 1, 0)], out_channels=width, add_downsample=i < levels - 1,
                                                   downsample_padding=1, downsample_type="conv", **common))
        self.mid_block = UNetMidBlock2D(in_channels=widths[-1], temb_channels=None, dropout=0.0, resnet_eps=1e-5, resnet_act_fn="silu",
                                        output_scale_factor=1, resnet_time_scale_shift="default", attention_head_dim=8,
                                        resnet_groups=4, attn_groups=None, add_attention=True)
        for i in reversed(range(levels)):
            self.up_blocks.append(get_up_block("AttnUpBlock2D" if attends[i] else "UpBlock2D", num_layers=3,
                                               in_channels=widths[max(i - 1, 0)], out_channels=widths[i],
                                               prev_output_channel=widths[min(i + 1, levels - 1)], add_upsample=i > 0,
                                               upsample_type="conv", **common))
        self.conv_norm_out = torch.nn.GroupNorm(4, widths[0], eps=1e-5)
        self.conv_out = torch.nn.Conv2d(widths[0], 4, 3, padding=1)

    def forward(self, pixel, latent):
        x = self.conv_in(pixel)
        skips = (x,)
        for i, block in enumerate(self.down_blocks):
            if i == self.latent_level:
                x = x + self.latent_conv_in(latent)
            x, more = block(hidden_states=x, temb=None)
            skips += more
        x = self.mid_block(x, None)
        for block in self.up_blocks:
            n = len(block.resnets)
            x = block(x, skips[-n:], None)
            skips = skips[:-n]
        return self.conv_out(torch.nn.functional.silu(self.conv_norm_out(x)))


def decode_by_votes(network, pixel, latent):
    """Over the eight orientations of a square, elementwise median."""
    results = []
    for flip in (False, True):
        for turns in range(4):
            p, l = (pixel.flip(3), latent.flip(3)) if flip else (pixel, latent)
            y = network(p.rot90(turns, (2, 3)), l.rot90(turns, (2, 3))).clip(0, 1).rot90(-turns, (2, 3))
            results.append(y.flip(3) if flip else y)
    return torch.median(torch.stack(results), 0).values


def configs_of(folder, small):
    shape = TINY if small else PUBLISHED
    if folder is None:
        return shape
    read = lambda part: json.loads((folder / part / "config.json").read_text())
    return {**shape, "unet": read("unet"), "vae": read("vae"), "text": read("text_encoder")}


def load(network, path):
    """Names as published; transformers 5 leaves the prefix "text_model." out."""
    own, state = network.state_dict(), load_file(path)
    short = lambda name: name.removeprefix("text_model.")
    names = {short(name): name for name in own}
    state = {names[short(name)]: tensor for name, tensor in state.items() if short(name) in names}
    missing = [name for name in own if name not in state and "position_ids" not in name]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} tensors, among them {missing[0]}")
    network.load_state_dict(state, strict=False)


class Model:
    """UNet and text encoder frozen, the UNet in bf16, all else in float32 as the program has it on a GPU. Without diffusers, and
    where `plain` is asked for, `vae`, `encoder` and `decoder` are None."""

    def __init__(self, bench, folder, plain):
        folder = Path(folder) if folder else None
        configs = configs_of(folder, bench.small)
        self.plain = plain or NO_DIFFUSERS is not None
        self.vae = self.encoder = self.decoder = None
        files = {"unet": "unet/diffusion_pytorch_model.safetensors", "text": "text_encoder/model.safetensors"}
        of_config = lambda kind, config: kind.from_config(config) if folder else kind(**config)
        text = {k: v for k, v in configs["text"].items() if k not in ("architectures", "model_type")}
        with torch.device(bench.device):
            self.text = CLIPTextModel(CLIPTextConfig(**text))
            if self.plain:
                self.unet = UNet(**configs["unet"])
            else:
                self.unet = of_config(UNet2DConditionModel, configs["unet"])
                self.vae = of_config(AutoencoderKL, configs["vae"])
                self.encoder, self.decoder = TransparentEncoder(configs["encoder"]), TransparentDecoder(**configs["decoder"])
                files |= {"vae": "vae/diffusion_pytorch_model.safetensors", "encoder": "transparent_encoder.safetensors",
                          "decoder": "transparent_decoder.safetensors"}
        for part, file in files.items():
            network = getattr(self, part)
            if folder:
                load(network, folder / file)
            else:
                fill(network)
            network.to(bench.device).requires_grad_(False).eval()
        self.unet.to(torch.bfloat16)
        self.side = configs["unet"]["sample_size"]
        self.text_width = configs["unet"]["cross_attention_dim"]
        self.resolution = self.side * 2 ** (len(configs["vae"]["block_out_channels"]) - 1)

    def require_autoencoder(self):
        if self.vae is None:
            raise RuntimeError(NO_DIFFUSERS or "the plain networks have no autoencoder")

    def set_autoencoder_type(self, dtype):
        for network in (self.vae, self.encoder, self.decoder):
            if network is not None:
                network.to(dtype)

    @property
    def autoencoder_type(self):
        return self.vae.dtype

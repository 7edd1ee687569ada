"""Stable Diffusion 1.5's UNet and its sampler in plain PyTorch, under diffusers' tensor names: for machines without diffusers.
Why: the UNet is nearly all of the work of SDEdit and textual inversion, so that a peer without diffusers still says most.

    python plain_unet.py      # where diffusers is: both give the same"""
import math

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    def __init__(self, width, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(i, width, bias=False) for i in (width, context, context))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x, context):
        split = lambda y: y.unflatten(2, (self.heads, -1)).transpose(1, 2)
        attended = functional.scaled_dot_product_attention(split(self.to_q(x)), split(self.to_k(context)), split(self.to_v(context)))
        return self.to_out[0](attended.transpose(1, 2).flatten(2))


class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, -1)
        return value * functional.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(Gate(width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x):
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self, width, context, heads):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1, self.attn2 = Attention(width, width, heads), Attention(width, context, heads)
        self.ff = FeedForward(width)

    def forward(self, x, text):
        h = self.norm1(x)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x), text)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, width, context, heads, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context, heads)])

    def forward(self, x, text):
        y = self.proj_in(self.norm(x))
        y = self.transformer_blocks[0](y.permute(0, 2, 3, 1).flatten(1, 2), text)
        return x + self.proj_out(y.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2))


class Resnet(nn.Module):
    def __init__(self, inner, width, time, groups):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, inner), nn.GroupNorm(groups, width)
        self.conv1, self.conv2 = nn.Conv2d(inner, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, width)
        self.conv_shortcut = nn.Conv2d(inner, width, 1) if inner != width else None

    def forward(self, x, time):
        y = self.conv1(functional.silu(self.norm1(x))) + self.time_emb_proj(time)[:, :, None, None]
        y = self.conv2(functional.silu(self.norm2(y)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + y


class Resize(nn.Module):
    def __init__(self, width, up):
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(width, width, 3, stride=1 if up else 2, padding=1)

    def forward(self, x):
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x)


class Block(nn.Module):
    """Resnets, each with a transformer behind it where the level attends, then a resize where another level follows."""

    def __init__(self, inputs, width, time, groups, context, heads, resize):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(inner, width, time, groups) for inner in inputs)
        if heads:
            self.attentions = nn.ModuleList(Transformer(width, context, heads, groups) for _ in inputs)
        if resize:
            setattr(self, resize, nn.ModuleList([Resize(width, resize == "upsamplers")]))
        self.resize = resize
        self.attends = bool(heads)

    def layer(self, i, x, time, text):
        x = self.resnets[i](x, time)
        return self.attentions[i](x, text) if self.attends else x

    def resized(self, x):
        return getattr(self, self.resize)[0](x)


class Middle(nn.Module):
    def __init__(self, width, time, groups, context, heads):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(width, width, time, groups) for _ in range(2))
        self.attentions = nn.ModuleList([Transformer(width, context, heads, groups)])

    def forward(self, x, time, text):
        return self.resnets[1](self.attentions[0](self.resnets[0](x, time), text), time)


class TimeEmbedding(nn.Module):
    def __init__(self, inner, width):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(inner, width), nn.Linear(width, width)

    def forward(self, x):
        return self.linear_2(functional.silu(self.linear_1(x)))


class UNet(nn.Module):
    def __init__(self, sample_size=64, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2, norm_num_groups=32,
                 cross_attention_dim=768, attention_head_dim=8,
                 down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
                 up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, **_):
        super().__init__()
        widths, layers, groups, context = list(block_out_channels), layers_per_block, norm_num_groups, cross_attention_dim
        levels, time = len(widths), 4 * widths[0]
        # The published name: it is the number of heads.
        heads = [attention_head_dim] * levels if isinstance(attention_head_dim, int) else list(attention_head_dim)
        self.sample_size, self.cross_attention_dim, self.first_width = sample_size, context, widths[0]
        self.conv_in = nn.Conv2d(4, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], time)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        skips = [widths[0]]
        for i, width in enumerate(widths):
            last = i == levels - 1
            self.down_blocks.append(Block([widths[max(i - 1, 0)]] + [width] * (layers - 1), width, time, groups, context,
                                          heads[i] if down_block_types[i].startswith("Cross") else 0, "" if last else "downsamplers"))
            skips += [width] * (layers + (not last))
        self.mid_block = Middle(widths[-1], time, groups, context, heads[-1])
        inner = widths[-1]
        for i, width in enumerate(reversed(widths)):
            inputs = []
            for _ in range(layers + 1):
                inputs.append(inner + skips.pop())
                inner = width
            self.up_blocks.append(Block(inputs, width, time, groups, context,
                                        heads[levels - 1 - i] if up_block_types[i].startswith("Cross") else 0,
                                        "" if i == levels - 1 else "upsamplers"))
        self.conv_norm_out = nn.GroupNorm(groups, widths[0])
        self.conv_out = nn.Conv2d(widths[0], 4, 3, padding=1)

    def forward(self, sample, timestep, text, return_dict=False):
        half = self.first_width // 2
        frequencies = torch.exp(torch.arange(half, device=sample.device, dtype=torch.float32) * (-math.log(10000) / half))
        phase = timestep.float().expand(len(sample))[:, None] * frequencies
        time = functional.silu(self.time_embedding(torch.cat([phase.cos(), phase.sin()], -1).to(sample.dtype)))
        x = self.conv_in(sample)
        skips = [x]
        for block in self.down_blocks:
            for i in range(len(block.resnets)):
                x = block.layer(i, x, time, text)
                skips.append(x)
            if block.resize:
                x = block.resized(x)
                skips.append(x)
        x = self.mid_block(x, time, text)
        for block in self.up_blocks:
            for i in range(len(block.resnets)):
                x = block.layer(i, torch.cat([x, skips.pop()], 1), time, text)
            if block.resize:
                x = block.resized(x)
        return (self.conv_out(functional.silu(self.conv_norm_out(x))),)


class Sampler:
    """DPM-Solver++(2M) of Lu et al. 2022 on a grid of equal steps, and the forward process; numbers on the host."""

    def __init__(self, steps=25, strength=0.4, beta_start=0.00085, beta_end=0.012, train_steps=1000):
        betas = torch.linspace(beta_start ** 0.5, beta_end ** 0.5, train_steps, dtype=torch.float64) ** 2
        self.products = torch.cumprod(1 - betas, 0)
        grid = torch.linspace(0, train_steps - 1, steps + 1).round().flip(0)[:-1].long()
        self.timesteps = grid[steps - int(steps * strength):]
        products = self.products[self.timesteps]
        self.alphas = torch.cat([products.sqrt(), torch.ones(1, dtype=torch.float64)]).tolist()
        self.shares = torch.cat([(1 - products).sqrt(), torch.zeros(1, dtype=torch.float64)]).tolist()

    def add_noise(self, clean, noise, times):
        products = self.products.to(clean.device, clean.dtype)[times][:, None, None, None]
        return products.sqrt() * clean + (1 - products).sqrt() * noise

    def edit(self, clean, predict):
        """predict(sample, timestep as a number) -> noise."""
        sample = self.alphas[0] * clean + self.shares[0] * torch.randn_like(clean)
        before = None
        log_ratio = lambda i: math.log(self.alphas[i] / self.shares[i])
        for i, time in enumerate(self.timesteps.tolist()):
            clean_now = (sample - self.shares[i] * predict(sample, time)) / self.alphas[i]
            if i == len(self.timesteps) - 1:
                return clean_now  # the last step ends without noise
            h = log_ratio(i + 1) - log_ratio(i)
            direction = clean_now
            if before is not None:
                direction = clean_now + (clean_now - before) * h / (2 * (log_ratio(i) - log_ratio(i - 1)))
            sample = self.shares[i + 1] / self.shares[i] * sample - self.alphas[i + 1] * math.expm1(-h) * direction
            before = clean_now
        return sample


def compare_unet_with_diffusers():
    from diffusers import UNet2DConditionModel

    from measure import fill
    with torch.device("meta"):
        full = {n: t.shape for n, t in UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8).state_dict().items()}
        ours = {n: t.shape for n, t in UNet().state_dict().items()}
    assert full == ours, sorted(set(full) ^ set(ours))[:5]
    config = dict(sample_size=8, block_out_channels=(16, 32), layers_per_block=2, norm_num_groups=8, attention_head_dim=(2, 4),
                  down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                  cross_attention_dim=16)
    theirs, mine = fill(UNet2DConditionModel(**config)), UNet(**config)
    mine.load_state_dict(theirs.state_dict())
    sample, time, text = torch.randn(3, 4, 8, 8), torch.tensor([400, 3, 77]), torch.randn(3, 7, 16)
    with torch.no_grad():
        difference = (theirs(sample, time, text, return_dict=False)[0] - mine(sample, time, text)[0]).abs().max().item()
    print(f"UNet: largest difference to diffusers {difference:.1e}")
    assert difference < 1e-4


def compare_sampler_with_diffusers():
    from diffusers import DPMSolverMultistepScheduler
    steps, strength = 25, 0.4
    theirs = DPMSolverMultistepScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="linspace",
                                         algorithm_type="dpmsolver++", solver_order=2)
    theirs.set_timesteps(steps)
    first = steps - int(steps * strength)
    theirs.set_begin_index(first)
    clean, times = torch.randn(2, 4, 8, 8), theirs.timesteps[first:]
    predict = lambda sample, time: torch.tanh(sample) * (0.5 + float(time) / 1000)
    torch.manual_seed(3)
    mine = Sampler(steps, strength).edit(clean, predict)
    torch.manual_seed(3)
    sample = theirs.add_noise(clean, torch.randn_like(clean), times[:1].repeat(len(clean)))
    for time in times:
        sample = theirs.step(predict(sample, time), time, sample, return_dict=False)[0]
    difference = (sample - mine).abs().max().item()
    print(f"sampler: largest difference to diffusers {difference:.1e}")
    assert difference < 1e-3


if __name__ == "__main__":
    compare_unet_with_diffusers()
    compare_sampler_with_diffusers()

"""Numbers that Python and C++ can both make (tests/support/hashed_numbers.h, tests/models/made_up_weights.h), so that no file has
to hold weights and inputs; and the UNets of the tests."""
import numpy as np
import torch


def hashed(tensor_index, count):
    with np.errstate(over="ignore"):
        z = (np.uint64(tensor_index) << np.uint64(32)) + np.arange(count, dtype=np.uint64) + np.uint64(1)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-24


def made_up(index, shape, low=-1.0, high=1.0):
    count = int(np.prod(shape))
    return torch.from_numpy((low + (high - low) * hashed(index, count)).reshape(shape).astype(np.float32))


def weight_for(index, name, shape):
    """As tests/models/made_up_weights.h has it."""
    if "norm" in name and name.endswith("weight"):
        return made_up(index, shape, 0.8, 1.2)
    if len(shape) == 1:
        return made_up(index, shape, -0.1, 0.1)
    if "embedding.weight" in name and "embeddings." in name:
        return made_up(index, shape, -0.5, 0.5)
    bound = 1.5 / np.sqrt(np.prod(shape[1:]))
    return made_up(index, shape, -bound, bound)


def published(name):
    return name if name.startswith(("text_model.", "text_projection.")) else "text_model." + name


def fill(network, rename=lambda name: name):
    """Every tensor by its published name, numbered in the order of sorted names."""
    state = {rename(n): t for n, t in network.state_dict().items() if "position_ids" not in n}
    for index, name in enumerate(sorted(state)):
        state[name].copy_(weight_for(index, name, tuple(state[name].shape)))
    network.eval()
    return network


UNETS = {
    "sd15_like": dict(block_out_channels=(32, 64, 64), down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                      up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=2,
                      cross_attention_dim=24, attention_head_dim=4, norm_num_groups=32),
    "sdxl_like": dict(block_out_channels=(32, 64), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                      up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=2, cross_attention_dim=40,
                      attention_head_dim=(2, 4), transformer_layers_per_block=(1, 2), use_linear_projection=True, norm_num_groups=16,
                      addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=12 + 6 * 8),
    "eight_channels": dict(in_channels=8, block_out_channels=(24, 48, 48, 48), layers_per_block=1, cross_attention_dim=16,
                           attention_head_dim=8, norm_num_groups=8),
}
UNET_INPUTS = {"sd15_like": (2, 4, 12, 10, 7), "sdxl_like": (2, 4, 8, 14, 5), "eight_channels": (1, 8, 16, 24, 9)}

"""LoRA files that diffusers writes and reads, and what the networks compute with them merged.

    python loras.py FOLDER

Networks, weights and inputs are those of diffusion_networks.py. Writes diffusers.safetensors (saved by diffusers, UNet and text
encoder, alpha 3 at rank 2), kohya_xl.safetensors (Kohya's SDXL names, kernels included, alpha 1 at rank 2; names and alphas go
through diffusers' converter) and outputs.safetensors (what came out, LoRA scaled by 0.7).
Tried with torch 2.11, diffusers 0.42, peft 0.21, transformers 5.24 (float32, CPU)."""
import os
import re
import sys

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from made_up import UNET_INPUTS, UNETS, fill, made_up, published
from peft import LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

torch.manual_seed(0)
torch.set_grad_enabled(False)
folder = sys.argv[1]
SCALE, RANK = 0.7, 2
outputs = {}


def fill_lora(network, first):
    """A and B by sorted names, rounded to half precision as they are saved."""
    for index, (name, tensor) in enumerate(sorted((n, p) for n, p in network.named_parameters() if "lora_" in n)):
        tensor.copy_(made_up(first + index, tuple(tensor.shape), -0.3, 0.3).half().float())


# --- diffusers' own file: SD1.5-like UNet and a text encoder -------------------------------------------------------------
unet = fill(UNet2DConditionModel(**UNETS["sd15_like"]))
text_config = CLIPTextConfig(vocab_size=100, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
                             hidden_act="quick_gelu", eos_token_id=2)
text = fill(CLIPTextModel(text_config), published)
unet_lora = LoraConfig(r=RANK, lora_alpha=3, target_modules=["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "proj_in", "conv_out"])
text_lora = LoraConfig(r=RANK, lora_alpha=3, target_modules=["q_proj", "k_proj", "v_proj", "out_proj", "fc1"])
unet.add_adapter(unet_lora)
inject_adapter_in_model(text_lora, text)
fill_lora(unet, 30000)
fill_lora(text, 40000)
half = lambda state: {k: v.detach().half() for k, v in state.items()}
text_state = {k if k.startswith("text_model.") else "text_model." + k: v for k, v in half(get_peft_model_state_dict(text)).items()}
StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=half(get_peft_model_state_dict(unet)), text_encoder_lora_layers=text_state,
                                          weight_name="diffusers.safetensors", unet_lora_adapter_metadata=unet_lora.to_dict(),
                                          text_encoder_lora_adapter_metadata=text_lora.to_dict())
unet.set_adapters(["default"], [SCALE])
for module in text.modules():
    if hasattr(module, "set_scale"):
        module.set_scale("default", SCALE)
batch, channels, height, width, tokens = UNET_INPUTS["sd15_like"]
outputs["diffusers.unet"] = unet(made_up(9001, (batch, channels, height, width)), torch.tensor([400, 37]), made_up(9002, (batch, tokens, 24))).sample
ids = torch.tensor([[98, 3, 17, 42, 5, 99]])
outputs["diffusers.text"] = text(ids).last_hidden_state

# --- Kohya's names of SDXL -------------------------------------------------------------------------------------------------
unet = fill(UNet2DConditionModel(**UNETS["sdxl_like"]))
kohya = {  # original's module -> (out, in, kernel) ; two blocks of two layers
    "input_blocks_0_0": (32, 4, 3), "time_embed_0": (128, 32, 0), "label_emb_0_0": (128, 60, 0), "label_emb_0_2": (128, 128, 0),
    "input_blocks_1_0_in_layers_2": (32, 32, 3), "input_blocks_2_0_emb_layers_1": (32, 128, 0), "input_blocks_3_0_op": (32, 32, 3),
    "input_blocks_4_0_skip_connection": (64, 32, 1), "input_blocks_4_1_proj_in": (64, 64, 0),
    "input_blocks_5_1_transformer_blocks_0_attn1_to_q": (64, 64, 0), "input_blocks_5_1_transformer_blocks_1_attn2_to_k": (64, 40, 0),
    "middle_block_0_out_layers_3": (64, 64, 3), "middle_block_1_transformer_blocks_1_ff_net_0_proj": (512, 64, 0),
    "middle_block_2_in_layers_2": (64, 64, 3), "output_blocks_0_1_transformer_blocks_0_attn1_to_out_0": (64, 64, 0),
    "output_blocks_1_1_proj_out": (64, 64, 0), "output_blocks_2_2_conv": (64, 64, 3), "output_blocks_3_0_in_layers_2": (32, 96, 3),
    "output_blocks_5_0_skip_connection": (32, 64, 1), "out_2": (4, 32, 3),
}
file = {}
for index, (name, (out, inside, kernel)) in enumerate(sorted(kohya.items())):
    square = (kernel, kernel) if kernel else ()
    file[f"lora_unet_{name}.lora_down.weight"] = made_up(50000 + 2 * index, (RANK, inside) + square, -0.3, 0.3).half()
    file[f"lora_unet_{name}.lora_up.weight"] = made_up(50001 + 2 * index, (out, RANK) + ((1, 1) if kernel else ()), -0.3, 0.3).half()
    file[f"lora_unet_{name}.alpha"] = torch.tensor(1.0).half()
save_file(file, os.path.join(folder, "kohya_xl.safetensors"), metadata={"ss_network_module": "networks.lora", "ss_network_dim": str(RANK)})
converted, alphas = StableDiffusionXLLoraLoaderMixin.lora_state_dict({k: v.float() for k, v in file.items()}, unet_config=unet.config)
assert len(alphas) == len(kohya), (len(alphas), len(kohya))
StableDiffusionXLLoraLoaderMixin.load_lora_into_unet(converted, network_alphas=alphas, unet=unet, adapter_name="kohya")
touched = {re.sub(r"\.lora_A.*", "", n) for n, _ in unet.named_parameters() if "lora_A" in n}
assert len(touched) == len(kohya), (len(touched), sorted(touched))
unet.set_adapters(["kohya"], [SCALE])
batch, channels, height, width, tokens = UNET_INPUTS["sdxl_like"]
added = {"text_embeds": made_up(9003, (batch, 12)), "time_ids": made_up(9004, (batch, 6), 0, 1024).floor()}
outputs["kohya_xl.unet"] = unet(made_up(9001, (batch, channels, height, width)), torch.tensor([400, 37]), made_up(9002, (batch, tokens, 40)),
                                added_cond_kwargs=added).sample
save_file({k: v.detach().contiguous() for k, v in outputs.items()}, os.path.join(folder, "outputs.safetensors"))
for name, value in outputs.items():
    print(name, tuple(value.shape), float(value.detach().abs().max()))

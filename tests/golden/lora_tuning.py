"""LoRA of a UNet's attention as peft computes, learns, writes and reads it.

    python lora_tuning.py make FOLDER      writes digests.safetensors and peft.safetensors
    python lora_tuning.py check FOLDER     loads the program's own files of FOLDER (processors.safetensors, peft_names.safetensors)
                                           into diffusers and peft and compares what the UNet gives with output.safetensors; ends
                                           with 77 (skipped) where diffusers is not there

Networks, weights and inputs are those of made_up.py; LoRA matrices are made-up numbers by the names that peft has for them, so that
`up` is not zero and every gradient counts. Per case: the output, the loss against made-up numbers, the gradients of all matrices,
and the matrices and the output after ten steps of torch's AdamW. Of a matrix nine numbers are kept: its norm, and eight elements
spread over it. Tried with torch 2.11, diffusers 0.42, peft 0.21 (float32, CPU)."""
import os
import sys
import warnings

try:
    import torch
    from diffusers import UNet2DConditionModel
    from diffusers.loaders import StableDiffusionLoraLoaderMixin
    from peft import LoraConfig
    from safetensors.torch import load_file, save_file
except ImportError:
    print("skipped: no torch, diffusers and peft in this Python")
    sys.exit(77)
from made_up import UNET_INPUTS, UNETS, fill, made_up

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
what, folder = sys.argv[1:3]
PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]
CASES = {"sd15_like": (4, 4), "sdxl_like": (2, 6), "eight_channels": (3, 1)}  # rank, alpha
STEPS, LEARNING_RATE, WEIGHT_DECAY = 10, 1e-2, 1e-2
FIRST_MATRIX = 60000
SAMPLES = 8


def base(case):
    with torch.no_grad():
        network = fill(UNet2DConditionModel(**UNETS[case]))
    return network.requires_grad_(False)


def tuned(case, rank, alpha):
    network = base(case)
    network.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=PROJECTIONS))
    matrices = sorted((name, p) for name, p in network.named_parameters() if "lora_" in name)
    with torch.no_grad():
        for index, (_, matrix) in enumerate(matrices):
            matrix.copy_(made_up(FIRST_MATRIX + index, tuple(matrix.shape), -0.3, 0.3))
    return network, matrices


def run(network, case):
    batch, channels, height, width, tokens = UNET_INPUTS[case]
    added = None
    if case == "sdxl_like":
        added = {"text_embeds": made_up(9003, (batch, 12)), "time_ids": made_up(9004, (batch, 6), 0, 1024).floor()}
    text = made_up(9002, (batch, tokens, UNETS[case]["cross_attention_dim"]))
    return network(made_up(9001, (batch, channels, height, width)), torch.tensor([400, 37])[:batch], text, added_cond_kwargs=added).sample


def digest(tensor):
    flat = tensor.detach().flatten()
    places = [i * (flat.numel() - 1) // (SAMPLES - 1) for i in range(SAMPLES)]
    return torch.cat([flat.double().norm().float().reshape(1), flat[places]])


def make():
    outputs = {}
    for case, (rank, alpha) in CASES.items():
        network, matrices = tuned(case, rank, alpha)
        parameters = [p for _, p in matrices]
        optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for step in range(STEPS):
            output = run(network, case)
            loss = torch.nn.functional.mse_loss(output, made_up(9005, tuple(output.shape)))
            optimizer.zero_grad()
            loss.backward()
            if step == 0:
                outputs[f"{case}.output"] = output.detach()
                outputs[f"{case}.loss"] = loss.detach().reshape(1)
                outputs[f"{case}.gradients"] = torch.stack([digest(p.grad) for p in parameters])
            optimizer.step()
        with torch.no_grad():
            outputs[f"{case}.output_after"] = run(network, case)
        outputs[f"{case}.matrices_after"] = torch.stack([digest(p) for p in parameters])
        assert all(p.grad.abs().max() > 0 for p in parameters)
        print(case, len(matrices), loss.item())
    save_file(outputs, os.path.join(folder, "digests.safetensors"))
    # A file of diffusers to go on with, halved to be small.
    network, matrices = tuned("eight_channels", *CASES["eight_channels"])
    with torch.no_grad():
        for _, p in matrices:
            p.copy_(p.half().float())
        theirs = {"output": run(network, "eight_channels")}
    config = LoraConfig(r=3, lora_alpha=1, target_modules=PROJECTIONS).to_dict()
    StableDiffusionLoraLoaderMixin.save_lora_weights(
        folder, unet_lora_layers={n.replace(".default", ""): p.detach().half() for n, p in matrices}, weight_name="peft.safetensors",
        unet_lora_adapter_metadata=config)
    save_file(theirs, os.path.join(folder, "peft_output.safetensors"))


def check():
    expected = load_file(os.path.join(folder, "output.safetensors"))["output"]
    with torch.no_grad():
        plain = run(base("eight_channels"), "eight_channels")
    scale = expected.abs().max()
    assert (plain - expected).abs().max() > 0.05 * scale, "the LoRA has no effect"
    for name in ["processors.safetensors", "peft_names.safetensors"]:
        # As StableDiffusionPipeline.load_lora_weights does.
        network = base("eight_channels")
        state, alphas, metadata = StableDiffusionLoraLoaderMixin.lora_state_dict(
            folder, weight_name=name, unet_config=network.config, return_lora_metadata=True)
        StableDiffusionLoraLoaderMixin.load_lora_into_unet(state, network_alphas=alphas, unet=network, metadata=metadata)
        matrices = [n for n, _ in network.named_parameters() if "lora_" in n]
        assert len(matrices) == len(load_file(os.path.join(folder, name))), (name, len(matrices))
        with torch.no_grad():
            worst = ((run(network, "eight_channels") - expected).abs().max() / scale).item()
        print(name, "in diffusers:", worst)
        assert worst < 1e-5, (name, worst)
        # By the UNet alone, through peft.
        network = base("eight_channels")
        network.load_lora_adapter(folder, weight_name=name, prefix="unet")
        with torch.no_grad():
            worst = ((run(network, "eight_channels") - expected).abs().max() / scale).item()
        print(name, "in peft:", worst)
        assert worst < 1e-5, (name, worst)


make() if what == "make" else check()

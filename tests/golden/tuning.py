"""Golden losses, gradient norms, words and LoRA matrices of tuning, from a plain PyTorch loop in the manner of Diff-Mix's train_lora.py.

    DEDA_WRITE_TINY_MODELS=DIR test_diffusion_textual_inversion --gtest_filter='*WritesTheModels*'
    python tuning.py DIR OUT.safetensors

peft holds the LoRA (which computes what LoRAAttnProcessor of older diffusers computed). Each step encodes its pictures, samples the
posterior, and trains LoRA and the whole token table with one AdamW of two groups; the LoRA's gradient alone is clipped; all rows but
the classes' are put back afterwards. Pictures, LoRA matrices and noise are made-up numbers that tests/support/hashed_numbers.h can
make as well. Of a matrix nine numbers are kept, as in lora_tuning.py. Tried with torch 2.11, diffusers 0.42, peft 0.21, transformers
5.24 (float32, CPU)."""
import pathlib
import sys

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from made_up import made_up

STEPS, BATCH, PIXELS, SIDE, CLASSES, RANK = 10, 6, 32, 8, 4, 3
LORA_RATE, WORD_RATE, WEIGHT_DECAY = 4e-3, 5e-3, 1e-2
WORD, SUPER_CLASS = "dog", "bird"
FIRST_MATRIX, FIRST_PICTURE, FIRST_NOISE = 70000, 71000, 72000
# layout, prediction, largest norm
CASES = {"sd15": ("sd15", "epsilon", 0.018), "sd15_velocity": ("sd15", "v_prediction", 0.0165), "sdxl": ("sdxl", "epsilon", 0.0105)}
torch.set_num_threads(1)


def digest(tensor, samples=8):
    flat = tensor.detach().flatten()
    places = [i * (flat.numel() - 1) // (samples - 1) for i in range(samples)]
    return torch.cat([flat.double().norm().float().reshape(1), flat[places]])


def class_of(step, i):
    return 0 if i % 2 == 0 else (step // 4 + i // 2) % 2 + 1  # class 3 never comes; 1 and 2 come and go


def run(folder, prediction, most_norm):
    sdxl = (folder / "text_encoder_2").exists()
    names = [f"<class-{i:04}>" for i in range(CLASSES)]
    tokenizers, encoders, originals = [], [], []
    for suffix in ["", "_2"] if sdxl else [""]:
        tokenizer = CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}")
        encoder = (CLIPTextModelWithProjection if suffix else CLIPTextModel).from_pretrained(folder / f"text_encoder{suffix}")
        assert tokenizer.add_tokens(names) == CLASSES
        (word,) = tokenizer.encode(WORD, add_special_tokens=False)
        encoder.requires_grad_(False)
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        table = encoder.get_input_embeddings().weight
        with torch.no_grad():
            table[-CLASSES:] = table[word]
        table.requires_grad_(True)
        tokenizers.append(tokenizer)
        encoders.append(encoder)
        originals.append(table.detach().clone())
    vae = AutoencoderKL.from_pretrained(folder / "vae").requires_grad_(False)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").requires_grad_(False)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    matrices = [p for _, p in sorted((n, p) for n, p in unet.named_parameters() if "lora_" in n)]
    with torch.no_grad():
        for index, matrix in enumerate(matrices):
            matrix.copy_(made_up(FIRST_MATRIX + index, tuple(matrix.shape), -0.1, 0.1))
    scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", prediction_type=prediction)
    tables = [encoder.get_input_embeddings().weight for encoder in encoders]
    optimizer = torch.optim.AdamW([{"params": matrices, "lr": LORA_RATE}, {"params": tables, "lr": WORD_RATE}], betas=(0.9, 0.999),
                                  weight_decay=WEIGHT_DECAY, eps=1e-8)
    out = {"losses": [], "norms": [], "rows": []}
    for step in range(STEPS):
        first = FIRST_NOISE + 2 * step
        bytes_ = (256 * made_up(FIRST_PICTURE + step, (BATCH, PIXELS, PIXELS, 3), 0, 1)).floor()
        pictures = (bytes_ / 255).permute(0, 3, 1, 2).sub(0.5).div(0.5)
        posterior = vae.encode(pictures).latent_dist
        latents = (posterior.mean + posterior.std * made_up(first, (BATCH, 4, SIDE, SIDE), -2, 2)) * vae.config.scaling_factor
        noise = made_up(first + 1, tuple(latents.shape), -2, 2)
        timesteps = torch.tensor([(211 * (step * BATCH + i) + 11) % 1000 for i in range(BATCH)])
        captions = [f"a photo of a {names[class_of(step, i)]} {SUPER_CLASS}" for i in range(BATCH)]
        parts, added = [], None
        for tokenizer, encoder in zip(tokenizers, encoders):
            ids = tokenizer(captions, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
            states = encoder(ids, output_hidden_states=True)
            parts.append(states.hidden_states[-2] if sdxl else states[0])
            if sdxl:
                added = {"text_embeds": states[0], "time_ids": torch.tensor([[PIXELS, PIXELS, 0, 0, PIXELS, PIXELS]] * BATCH).float()}
        predicted = unet(scheduler.add_noise(latents, noise, timesteps), timesteps, torch.cat(parts, dim=-1), added_cond_kwargs=added).sample
        target = noise if prediction == "epsilon" else scheduler.get_velocity(latents, noise, timesteps)
        loss = torch.nn.functional.mse_loss(predicted, target)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(matrices, most_norm)
        optimizer.step()
        with torch.no_grad():
            for table, original in zip(tables, originals):
                table[:-CLASSES] = original[:-CLASSES]
        out["losses"].append(loss.item())
        out["norms"].append(norm.item())
        out["rows"].append([table.detach()[-CLASSES:].clone() for table in tables])
    assert min(out["norms"]) < most_norm < max(out["norms"]), ("clipping must matter and not always", out["norms"])
    return out, matrices


outputs = {}
for case, (layout, prediction, most_norm) in CASES.items():
    found, matrices = run(pathlib.Path(sys.argv[1]) / layout, prediction, most_norm)
    outputs[f"{case}.losses"] = torch.tensor(found["losses"], dtype=torch.float64)
    outputs[f"{case}.norms"] = torch.tensor(found["norms"], dtype=torch.float64)
    for encoder in range(len(found["rows"][0])):
        outputs[f"{case}.rows.{encoder}"] = torch.stack([rows[encoder] for rows in found["rows"]])
    outputs[f"{case}.matrices"] = torch.stack([digest(m) for m in matrices])
    print(case, found["losses"][0], found["losses"][-1], found["norms"])
save_file(outputs, sys.argv[2])

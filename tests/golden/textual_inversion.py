"""Golden losses and embedding rows of textual inversion, from a plain PyTorch loop in the manner of diffusers'
examples/textual_inversion/textual_inversion.py and textual_inversion_sdxl.py.

    DEDA_WRITE_TINY_MODELS=DIR test_diffusion_textual_inversion --gtest_filter='*WritesTheModels*'
    python textual_inversion.py DIR OUT.safetensors

The whole embedding matrix trains and all rows but the placeholders' are put back after every step, as there. Latents and noise
are made-up numbers that tests/support/hashed_numbers.h can make as well; timesteps and prompts follow a rule told below.
At the end the learnt rows are saved, loaded into a fresh tokenizer and text encoder by diffusers' own loader, and the text
states of a prompt are kept. Tried with torch 2.11, diffusers 0.42, transformers 5.24 (float32, CPU)."""
import pathlib
import sys
import tempfile

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.loaders import TextualInversionLoaderMixin
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from made_up import made_up

STEPS, BATCH, SIDE, LEARNING_RATE, WEIGHT_DECAY = 10, 6, 8, 5e-3, 1e-2
TEMPLATES = ["a photo of a {}", "a rendering of a {}", "a dark photo of the {}", "a close-up photo of the {}"]
CASES = {"sd15": ("sd15", 1, "epsilon"), "sd15_two_vectors": ("sd15", 2, "epsilon"), "sd15_velocity": ("sd15", 1, "v_prediction"),
         "sdxl": ("sdxl", 1, "epsilon")}
PLACEHOLDER, WORD = "<class-0000>", "bird"

torch.manual_seed(0)
torch.set_num_threads(1)


def numbers(index, shape):
    return made_up(index, shape, -2, 2)


def names_of(count):
    return [PLACEHOLDER] + [f"{PLACEHOLDER}_{i}" for i in range(1, count)]


class Texts:
    """Tokenizers and text encoders of one model folder with the placeholders added, as the scripts prepare them."""

    def __init__(self, folder, sdxl, vectors):
        self.sdxl, self.tokenizers, self.encoders, self.ids, self.original = sdxl, [], [], [], []
        for suffix in ["", "_2"] if sdxl else [""]:
            tokenizer = CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}")
            encoder = (CLIPTextModelWithProjection if suffix else CLIPTextModel).from_pretrained(folder / f"text_encoder{suffix}")
            assert tokenizer.add_tokens(names_of(vectors)) == vectors
            (word,) = tokenizer.encode(WORD, add_special_tokens=False)
            ids = tokenizer.convert_tokens_to_ids(names_of(vectors))
            encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            embeddings = encoder.get_input_embeddings().weight
            with torch.no_grad():
                for i in ids:
                    embeddings[i] = embeddings[word].clone()
            encoder.requires_grad_(False)
            encoder.get_input_embeddings().requires_grad_(True)
            self.tokenizers.append(tokenizer)
            self.encoders.append(encoder)
            self.ids.append(ids)
            self.original.append(embeddings.detach().clone())

    def parameters(self):
        return [encoder.get_input_embeddings().weight for encoder in self.encoders]

    def put_back(self):
        for encoder, ids, original in zip(self.encoders, self.ids, self.original):
            keep = torch.ones(original.shape[0], dtype=torch.bool)
            keep[ids] = False
            with torch.no_grad():
                encoder.get_input_embeddings().weight[keep] = original[keep]

    def rows(self):
        return [p.detach()[ids].clone() for p, ids in zip(self.parameters(), self.ids)]

    def encode(self, prompts):
        parts, pooled = [], None
        for tokenizer, encoder in zip(self.tokenizers, self.encoders):
            ids = tokenizer(prompts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
            out = encoder(ids, output_hidden_states=True)
            parts.append(out.hidden_states[-2] if self.sdxl else out[0])
            pooled = out[0] if self.sdxl else None
        return torch.cat(parts, dim=-1), pooled


def run(folder, vectors, prediction):
    sdxl = (folder / "text_encoder_2").exists()
    texts = Texts(folder, sdxl, vectors)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").requires_grad_(False)
    scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", prediction_type=prediction)
    optimizer = torch.optim.AdamW(texts.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.999), weight_decay=WEIGHT_DECAY, eps=1e-8)
    losses, rows = [], []
    name = " ".join(names_of(vectors))
    for step in range(STEPS):
        latents = numbers(2 * step, (BATCH, 4, SIDE, SIDE))
        noise = numbers(2 * step + 1, (BATCH, 4, SIDE, SIDE))
        timesteps = torch.tensor([(37 * (step * BATCH + i) + 11) % 401 for i in range(BATCH)])
        prompts = [TEMPLATES[(step + i * i) % len(TEMPLATES)].format(name) for i in range(BATCH)]
        states, pooled = texts.encode(prompts)
        added = {}
        if sdxl:
            size = 4 * SIDE
            added = {"text_embeds": pooled, "time_ids": torch.tensor([[size, size, 0, 0, size, size]] * BATCH).float()}
        noisy = scheduler.add_noise(latents, noise, timesteps)
        predicted = unet(noisy, timesteps, states, added_cond_kwargs=added or None).sample
        target = noise if prediction == "epsilon" else scheduler.get_velocity(latents, noise, timesteps)
        loss = torch.nn.functional.mse_loss(predicted.float(), target.float(), reduction="mean")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        texts.put_back()
        losses.append(loss.item())
        rows.append(texts.rows())
    return texts, losses, rows


def states_of_loaded_file(folder, rows, vectors):
    """The learnt rows through a file and diffusers' loader into a fresh text encoder."""

    class Loader(TextualInversionLoaderMixin):
        hf_device_map = None

    with tempfile.TemporaryDirectory() as temporary:
        path = pathlib.Path(temporary) / "learned_embeds.safetensors"
        save_file({PLACEHOLDER: rows[0]}, path, metadata={"format": "pt"})
        loader = Loader()
        loader.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        loader.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder")
        loader.components = {}
        loader.load_textual_inversion(path)
        prompt = loader.maybe_convert_prompt(f"a photo of a {PLACEHOLDER}", loader.tokenizer)
        ids = loader.tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
        with torch.no_grad():
            return loader.text_encoder(ids)[0][0]


outputs = {}
for case, (layout, vectors, prediction) in CASES.items():
    folder = pathlib.Path(sys.argv[1]) / layout
    texts, losses, rows = run(folder, vectors, prediction)
    outputs[f"{case}.losses"] = torch.tensor(losses, dtype=torch.float64)
    for encoder in range(len(texts.encoders)):
        outputs[f"{case}.rows.{encoder}"] = torch.stack([r[encoder] for r in rows])
    if layout == "sd15":
        with torch.no_grad():
            states = texts.encode([f"a photo of a {' '.join(names_of(vectors))}"])[0][0]
        loaded = states_of_loaded_file(folder, rows[-1], vectors)
        assert (states - loaded).abs().max() < 1e-5, "diffusers' loader gives other text states"
        outputs[f"{case}.states"] = loaded
    print(case, losses[0], losses[-1], rows[-1][0].norm().item())
save_file(outputs, sys.argv[2])

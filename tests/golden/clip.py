"""Golden outputs of CLIP, from transformers (CLIPModel, CLIPImageProcessorPil, CLIPTokenizer), for tests/models/clip_test.cpp.

    python clip.py PHOTOS OUT.safetensors OUT.json      (PHOTOS: a folder of pictures; the test skips those that it does not find)

Weights and inputs are made-up numbers that tests/support/hashed_numbers.h can make as well, so that only the outputs are kept.
Tried with torch 2.11, transformers 5.24, Pillow 13 (float32, CPU). Pillow 13 chooses the order of the two passes of its filter by shape; here it
is always width first, as in every Pillow before."""
import json
import pathlib
import sys
import zlib

import numpy as np
import PIL.Image
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from made_up import fill, hashed, made_up

torch.set_grad_enabled(False)
torch.set_num_threads(1)
outputs, facts = {}, {"configs": {}}

# --- whole networks -----------------------------------------------------------------------------------------------------------
MODELS = {
    # ids as in the files published before 2023: pooled at the largest
    "patch32": CLIPConfig(projection_dim=24, vision_config=dict(hidden_size=48, num_attention_heads=3, num_hidden_layers=3, intermediate_size=96, image_size=64, patch_size=32),
                          text_config=dict(vocab_size=99, hidden_size=32, num_attention_heads=4, num_hidden_layers=2, intermediate_size=64, eos_token_id=2, bos_token_id=97)),
    # as published since, and as OpenCLIP's: the exact GELU, the first end token, an epsilon that shows
    "patch16_gelu": CLIPConfig(projection_dim=40, vision_config=dict(hidden_size=32, num_attention_heads=2, num_hidden_layers=2, intermediate_size=80, image_size=48, patch_size=16,
                                                                     hidden_act="gelu", layer_norm_eps=1e-3),
                               text_config=dict(vocab_size=99, hidden_size=48, num_attention_heads=2, num_hidden_layers=3, intermediate_size=56, eos_token_id=98, bos_token_id=97,
                                                hidden_act="gelu", layer_norm_eps=1e-3, max_position_embeddings=16)),
    # a side that is no multiple of the patch; the towers' activations differ; the end token is not the largest id
    "patch8_rest": CLIPConfig(projection_dim=16, vision_config=dict(hidden_size=40, num_attention_heads=5, num_hidden_layers=1, intermediate_size=64, image_size=30, patch_size=8),
                              text_config=dict(vocab_size=70, hidden_size=24, num_attention_heads=3, num_hidden_layers=1, intermediate_size=48, eos_token_id=60, bos_token_id=59,
                                               hidden_act="gelu", max_position_embeddings=12)),
}


def texts_of(config, count, length):
    """Start, words, end, padding with the end token; the second text is as long as can be."""
    words = (hashed(9002, count * length) * (config.bos_token_id - 3)).astype(np.int64).reshape(count, length) + 3
    end = 98 if config.eos_token_id == 2 else config.eos_token_id
    ids, mask = torch.from_numpy(words), torch.zeros(count, length, dtype=torch.int64)
    for row in range(count):
        place = length - 1 if row == 1 else 2 + 2 * row
        ids[row, 0], ids[row, place:], mask[row, : place + 1] = config.bos_token_id, end, 1
    return ids, mask


for name, config in MODELS.items():
    network = fill(CLIPModel(config))
    text, size = config.text_config, config.vision_config.image_size
    facts["configs"][name] = config.to_dict()
    pixels = made_up(9001, (3, 3, size, size), -2, 2)
    ids, mask = texts_of(text, 4, min(12, text.max_position_embeddings))
    facts[f"ids.{name}"] = ids.tolist()
    result = network(input_ids=ids, pixel_values=pixels, attention_mask=mask)
    outputs[f"{name}.image_embeds"] = network.get_image_features(pixels).pooler_output
    outputs[f"{name}.text_embeds"] = network.get_text_features(ids, attention_mask=mask).pooler_output
    outputs[f"{name}.logits_per_image"] = result.logits_per_image.contiguous()
    print(name, {k: float(v.abs().max()) for k, v in outputs.items() if k.startswith(name)})

# --- names and sizes of published models ------------------------------------------------------------------------------------------
LARGE = dict(projection_dim=768, vision_config=dict(hidden_size=1024, num_attention_heads=16, num_hidden_layers=24, intermediate_size=4096, patch_size=14),
             text_config=dict(hidden_size=768, num_attention_heads=12, intermediate_size=3072))
facts["published"] = {}
for name, config in {"base-patch32": {}, "base-patch16": dict(vision_config=dict(patch_size=16)), "large-patch14": LARGE}.items():
    with torch.device("meta"):
        network = CLIPModel(CLIPConfig(**config))
    state = {n: t for n, t in network.state_dict().items() if "position_ids" not in n}
    listing = "".join(f"{n} {'x'.join(map(str, state[n].shape))}\n" for n in sorted(state))
    facts["published"][name] = {"config": {"model_type": "clip", **config}, "parameters": sum(p.numel() for p in network.parameters()), "tensors": len(state),
                                "names": zlib.crc32(listing.encode())}
    print(name, facts["published"][name])

# --- configurations as they are found ---------------------------------------------------------------------------------------------
facts["read"] = []
for given in ({"model_type": "clip"},
              {"model_type": "clip", "projection_dim": 768, "text_config": {"eos_token_id": 2, "projection_dim": 99}, "vision_config": {"patch_size": 14, "projection_dim": 99}},
              # as some files of 2021 are: what stands under ..._dict is completed by the defaults and wins
              {"model_type": "clip", "text_config": {"eos_token_id": 2, "hidden_size": 64, "hidden_act": "gelu"}, "text_config_dict": {"hidden_size": 768, "num_attention_heads": 12},
               "vision_config": {"hidden_size": 64}, "vision_config_dict": {"hidden_size": 1024, "num_attention_heads": 16, "hidden_act": "gelu"}},
              {"model_type": "clip", "text_config": {"hidden_size": 64}, "text_config_dict": None, "vision_config": {"image_size": 336}, "vision_config_dict": None}):
    config = CLIPConfig(**{k: dict(v) if isinstance(v, dict) else v for k, v in given.items() if k != "model_type"})
    facts["read"].append({"given": given, "text": {k: getattr(config.text_config, k) for k in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "max_position_embeddings", "eos_token_id", "hidden_act", "layer_norm_eps")},
                          "vision": {k: getattr(config.vision_config, k) for k in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size",
                                     "patch_size", "hidden_act", "layer_norm_eps")}, "projection_dim": config.projection_dim})

# --- pictures -------------------------------------------------------------------------------------------------------------------------
newest_resize = PIL.Image.Image.resize


def width_first(self, size, resample=None, box=None, reducing_gap=None):
    assert box is None and reducing_gap is None
    return newest_resize(newest_resize(self, (size[0], self.height), resample), size, resample)


def picture(height, width):
    """As tests/golden/pillow_resize.py has it."""
    index = np.arange(height * width * 3, dtype=np.uint64)
    value = (index * np.uint64(2654435761) + np.uint64(12345)) & np.uint64(0xFFFFFFFF)
    value ^= value >> np.uint64(15)
    return (value * np.uint64(2246822519) >> np.uint64(24) & np.uint64(255)).astype(np.uint8).reshape(height, width, 3)


PROCESSORS = {
    "published": {},
    "shorter": dict(size={"shortest_edge": 40}, crop_size={"height": 64, "width": 64}),  # zeros around what is smaller than the square
    "odd": dict(size={"shortest_edge": 72}, crop_size={"height": 33, "width": 33}, image_mean=[0.5, 0.25, 0.125], image_std=[0.1, 0.2, 1.5], rescale_factor=1 / 128),
    "old": dict(size=48, crop_size=48),
}
processors = {name: CLIPImageProcessorPil(**settings) for name, settings in PROCESSORS.items()}
facts["processors"] = {name: {**processor.to_dict(), **{k: v for k, v in PROCESSORS[name].items() if isinstance(v, int)}} for name, processor in processors.items()}
SIZES = [(1, 1), (1, 300), (300, 1), (3, 5), (5, 3), (64, 64), (223, 225), (224, 224), (224, 500), (500, 224), (230, 224), (37, 101), (900, 7), (30, 1000), (448, 448), (640, 427)]


def pixels_of(processor, image):
    pixels = processor(image, return_tensors="np")["pixel_values"]
    assert pixels.dtype == np.float32 and pixels.shape[:2] == (1, 3)
    return np.ascontiguousarray(pixels[0])


PIL.Image.Image.resize = width_first
facts["made_up_pictures"] = []
for name, processor in processors.items():
    for height, width in SIZES if name == "published" else SIZES[:6] + [(37, 101), (101, 37)]:
        pixels = pixels_of(processor, PIL.Image.fromarray(picture(height, width)))
        facts["made_up_pictures"].append([name, height, width, zlib.crc32(pixels.tobytes()), float(pixels.astype(np.float64).sum())])

facts["photos"] = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.*")):
    if path.suffix not in (".jpg", ".bmp") or "mask" in path.name:
        continue
    image = PIL.Image.open(path).convert("RGB")
    pixels = pixels_of(processors["published"], image)
    PIL.Image.Image.resize = newest_resize
    newest = pixels_of(processors["published"], image)
    PIL.Image.Image.resize = width_first
    facts["photos"][path.name] = {"size": [image.height, image.width], "crc32": zlib.crc32(np.asarray(image).tobytes()), "pixels": zlib.crc32(pixels.tobytes())}
    print(path.name, image.size, f"with the newest Pillow's order {(newest != pixels).mean():.4%} of the values differ")

# --- pictures and texts from beginning to end, through a tiny model --------------------------------------------------------------------
folder = pathlib.Path(__file__).parent / "word_tokenizer"
tokenizer = CLIPTokenizer.from_pretrained(folder)
whole = CLIPConfig(projection_dim=24, vision_config=MODELS["patch32"].vision_config.to_dict(),
                   text_config={**MODELS["patch32"].text_config.to_dict(), "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id})
network = fill(CLIPModel(whole))
network.logit_scale.fill_(2.0)
processor = CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
texts = ["a photo of a bird", "a car", "the class photo of the dog's beetle, of a bird and a car"]
given = tokenizer(texts, padding=True, return_tensors="pt")
pixels = torch.from_numpy(np.stack([pixels_of(processor, PIL.Image.fromarray(picture(*size))) for size in ((37, 101), (90, 41), (64, 64))]))
result = network(input_ids=given.input_ids, attention_mask=given.attention_mask, pixel_values=pixels)
outputs["whole.image_embeds"] = network.get_image_features(pixels).pooler_output
outputs["whole.text_embeds"] = network.get_text_features(**given).pooler_output
outputs["whole.probabilities"] = result.logits_per_image.softmax(-1)
facts["whole"] = {"config": whole.to_dict(), "processor": processor.to_dict(), "texts": texts, "logit_scale": 2.0, "input_ids": given.input_ids.tolist()}
print("whole", outputs["whole.probabilities"])

save_file({name: tensor.contiguous() for name, tensor in outputs.items()}, sys.argv[2])
with open(sys.argv[3], "w") as file:
    json.dump(facts, file, separators=(",", ":"))
    file.write("\n")

"""Golden outputs of GroundingDINO, its tokenizer, its picture sizes and its post-processing, from transformers.

    python grounding_dino.py TOKENIZER OUT.safetensors OUT.json

TOKENIZER is a folder with BERT's uncased vocab.txt (30,522 lines). Weights and inputs are made-up numbers that tests/support/hashed_numbers.h can
make as well, so that only outputs are kept. Tried with torch 2.11, transformers 5.24 (float32, CPU)."""
import json
import os
import re
import sys
import tempfile
from types import SimpleNamespace

import numpy as np
import torch
import xxhash
from safetensors.torch import load_file, save_file
from transformers import (BertConfig, BertTokenizer, GroundingDinoConfig, GroundingDinoForObjectDetection, GroundingDinoImageProcessor,
                          GroundingDinoProcessor, SwinConfig)
from transformers.image_transforms import get_size_with_aspect_ratio

from made_up import made_up

torch.manual_seed(0)
torch.set_grad_enabled(False)
BACKBONE = "model.backbone.conv_encoder.model."


def weight_for(index, name, shape):
    """As fill_made_up() of tests/models/grounding_dino_test.cpp has it."""
    if len(shape) == 1 and name.endswith("weight"):
        return made_up(index, shape, 0.8, 1.2)
    if len(shape) == 1:
        return made_up(index, shape, -0.1, 0.1)
    bound = 1.5 / np.sqrt(np.prod(shape[1:]))
    return made_up(index, shape, -bound, bound)


def published(name):
    """transformers' name in memory as the published files have it; None for what they leave out or hold under another name."""
    if name.endswith(("relative_position_index", "position_ids")) or ".swin.layernorm." in name:
        return None
    if name.startswith("model.decoder.bbox_embed.") or re.match(r"bbox_embed\.[1-9]", name):
        return None  # the same tensors as bbox_embed.0
    if name.startswith(BACKBONE):
        name = name.replace(BACKBONE + "swin.", BACKBONE)
        for old, new in ((".attention.q_proj.", ".attention.self.query."), (".attention.k_proj.", ".attention.self.key."),
                         (".attention.v_proj.", ".attention.self.value."), (".attention.o_proj.", ".attention.output.dense."),
                         (".attention.relative_position_bias.", ".attention.self."), (".mlp.fc1.", ".intermediate.dense."),
                         (".mlp.fc2.", ".output.dense.")):
            name = name.replace(old, new)
    return name


def fill(network):
    """Every tensor by its published name, numbered in the order of sorted names."""
    state = {published(n): t for n, t in network.state_dict().items() if published(n)}
    for index, name in enumerate(sorted(state)):
        state[name].copy_(weight_for(index, name, tuple(state[name].shape)))
    for name, head in network.state_dict().items():  # one tensor in a loaded model
        if "bbox_embed" in name and not name.startswith("model.encoder_output"):
            assert torch.equal(head, network.bbox_embed[0].state_dict()[name[name.index("layers"):]]), name
    network.eval()
    return network


def listing(network):
    state = {published(n): t for n, t in network.state_dict().items() if published(n)}
    text = "".join(f"{n} {'x'.join(map(str, state[n].shape))}\n" for n in sorted(state))
    return {"parameters": sum(t.numel() for t in state.values()), "tensors": len(state),
            "names": xxhash.xxh3_128_hexdigest(text.encode())}


def make(backbone, text, **rest):
    return GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=SwinConfig(**backbone),
                                                               text_config=BertConfig(**text), **rest))


TEXT = dict(vocab_size=1040, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=16)
CASES = {
    # One picture of odd sides, Swin-T's window and depths in small.
    "single": dict(backbone=dict(embed_dim=12, depths=[2, 2, 2, 2], num_heads=[3, 6, 12, 24], window_size=7, out_indices=[2, 3, 4]),
                   text=TEXT, d_model=32, num_queries=20, encoder_layers=2, decoder_layers=3, encoder_ffn_dim=64, decoder_ffn_dim=48,
                   max_text_len=16),
    # Pictures of different sizes in one batch, texts of different length, an even window wider than the last maps.
    "padded": dict(backbone=dict(embed_dim=16, depths=[1, 3, 2, 2], num_heads=[2, 4, 4, 8], window_size=6, out_indices=[2, 3, 4], mlp_ratio=2.0,
                                 qkv_bias=False),
                   text=dict(TEXT, hidden_size=48, num_attention_heads=3, num_hidden_layers=1), d_model=64, num_queries=24, encoder_layers=3,
                   decoder_layers=2, encoder_ffn_dim=80, decoder_ffn_dim=96, encoder_attention_heads=8, decoder_attention_heads=4,
                   max_text_len=24),
    # Three stages, five levels, other numbers of points and heads, another temperature.
    "five_levels": dict(backbone=dict(embed_dim=8, depths=[2, 1, 2], num_heads=[1, 2, 4], window_size=5, out_indices=[1, 3]),
                        text=TEXT, d_model=32, num_queries=30, num_feature_levels=5, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32,
                        decoder_ffn_dim=64, encoder_attention_heads=4, decoder_attention_heads=2, encoder_n_points=3, decoder_n_points=2,
                        max_text_len=12, positional_embedding_temperature=10000, layer_norm_eps=1e-6),
}
IDS = {
    "single": [[101, 5, 900, 1012, 102]],
    "padded": [[101, 7, 1012, 8, 9, 10, 1012, 102, 0, 0, 0], [101, 11, 12, 1029, 13, 1012, 14, 15, 16, 1012, 102],
               [101, 17, 18, 102, 0, 0, 0, 0, 0, 0, 0]],  # the last without its dot
    "five_levels": [[101, 20, 21, 22, 1012, 23, 1012, 102], [101, 24, 1012, 25, 1012, 26, 1012, 102]],
}
SIZES = {"single": [(75, 110)], "padded": [(96, 90), (70, 131), (61, 64)], "five_levels": [(64, 50), (64, 50)]}

outputs, full, texts = {}, {}, {}
for name, config in CASES.items():
    network = fill(make(**config))
    height, width = (max(s[i] for s in SIZES[name]) for i in (0, 1))
    pixels = made_up(9001, (len(SIZES[name]), 3, height, width))
    mask = torch.zeros(len(SIZES[name]), height, width, dtype=torch.long)
    for row, (h, w) in enumerate(SIZES[name]):
        mask[row, :h, :w] = 1
        pixels[row, :, h:], pixels[row, :, :, w:] = 0, 0
    ids = torch.tensor(IDS[name])
    result = network(pixel_values=pixels, pixel_mask=mask, input_ids=ids, attention_mask=(ids != 0).long(), token_type_ids=torch.zeros_like(ids))
    outputs[name + ".logits"], outputs[name + ".pred_boxes"] = result.logits, result.pred_boxes
    outputs[name + ".init_reference_points"] = result.init_reference_points
    outputs[name + ".encoder_vision"] = result.encoder_last_hidden_state_vision[:, ::7]
    outputs[name + ".encoder_text"] = result.encoder_last_hidden_state_text
    # Queries are ordered by the encoder's scores: near-equal ones could change places from program to program.
    inner = network.model(pixel_values=pixels, pixel_mask=mask, input_ids=ids, attention_mask=(ids != 0).long())
    best = inner.enc_outputs_class.max(-1)[0].sort(descending=True)[0]
    gaps = (best[:, :-1] - best[:, 1:])[:, :config["num_queries"]]
    print(name, "places", best.shape[1], "smallest gap of chosen scores", gaps.min().item(), "scores", best.abs().max().item(),
          "boxes", result.pred_boxes.min().item(), result.pred_boxes.max().item())
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        texts[name] = {"config": json.load(open(os.path.join(folder, "config.json")))}
        if name == "five_levels":
            texts[name]["file_names"] = sorted(load_file(os.path.join(folder, "model.safetensors")))

with torch.device("meta"):
    bert = dict()
    full["tiny"] = listing(make(dict(out_indices=[2, 3, 4]), bert))
    full["base"] = listing(make(dict(embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], window_size=12, image_size=384,
                                     out_indices=[2, 3, 4]), bert))
for name, value in full.items():
    print(name, value)

# --- tokenizer --------------------------------------------------------------------------------------------------------------
tokenizer = BertTokenizer.from_pretrained(sys.argv[1])
SENTENCES = ["fish. shark.", "a cat. a remote control.", "Bird.", "Crème Brûlée, naïve façade!", "\u4e2d\u6587 bird\u3000\u9ce5.", "  tabs\tand\nlines\r\n ",
             "don't stop-believing (2024)?", "ÅNGSTRÖM ŒUVRE İstanbul Σίσυφος ΣΑΣ", "한국어 새", "зелёный Ёж", "a\u200bb\u00adc\u0000d\ufffde", "x" * 100 + " " + "y" * 101,
             "emoji 🐦 bird", "[MASK] dog [SEP] cat[PAD]", "black-footed albatross. groove_billed ani.", "$5 + 3% = ^caret` ~tilde|", "", "...", "hindi हिन्दी",
             "العربية طائر", "ﬁsh ½ ² ㎏", "a\u0301\u0323e\u0301", "\U0002b820\U0002b920 \U0002a700", "unaffable antidisestablishmentarianism zzzzqqq"]
texts["tokens"] = [{"text": s, "ids": tokenizer(s)["input_ids"]} for s in SENTENCES]
texts["decoded"] = [{"ids": ids, "text": tokenizer.decode(ids)} for ids in
                    ([3869, 1012, 102], [3869, 1005, 1055, 1010, 2158, 1012], [28856, 18255, 13181, 4757, 1010, 2304, 1029, 100, 102], [],
                     [4757, 2304, 999, 1012, 1012])]

# --- sizes of pictures ------------------------------------------------------------------------------------------------------
rows = []
for height, width in ((333, 500), (500, 333), (250, 500), (500, 250), (800, 800), (800, 3000), (3000, 800), (480, 640), (1, 2000), (2000, 1), (1, 2666),
                      (100, 1333), (799, 1332), (601, 1001), (1024, 1536), (37, 1000), (1333, 800)):
    rows.append({"height": height, "width": width, "size": list(get_size_with_aspect_ratio((height, width), 800, 1333)),
                 "small": list(get_size_with_aspect_ratio((height, width), 64, 100))})
texts["sizes"] = rows

# --- post-processing --------------------------------------------------------------------------------------------------------
processor = GroundingDinoProcessor(GroundingDinoImageProcessor(), tokenizer)
prompts = ["a cat. a remote control.", "black footed albatross, rare. it's a bird?"]
ids = tokenizer(prompts, padding="longest", return_tensors="pt")
columns = 32
logits = made_up(9100, (2, 40, columns), -6, 1.0)
logits[:, :, ids["input_ids"].shape[1]:] = float("-inf")
logits[0, :, 8:] = float("-inf")
boxes = made_up(9101, (2, 40, 4), 0, 1)
found = processor.post_process_grounded_object_detection(SimpleNamespace(logits=logits, pred_boxes=boxes, input_ids=ids["input_ids"]),
                                                         threshold=0.6, text_threshold=0.45, target_sizes=[(375, 500), (480, 333)])
texts["post_processing"] = {"prompts": prompts, "found": [{"scores": f["scores"].tolist(), "boxes": f["boxes"].tolist(), "phrases": f["text_labels"]}
                                                          for f in found]}
print([(len(f["scores"]), f["text_labels"][:6]) for f in found])
save_file({n: t.contiguous() for n, t in outputs.items()}, sys.argv[2])
json.dump({"full_size": full, **texts}, open(sys.argv[3], "w"), indent=0, ensure_ascii=True)

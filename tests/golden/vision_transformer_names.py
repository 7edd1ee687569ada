#!/usr/bin/env python3
"""Makes vision_transformer_names.json: small Vision Transformers of timm and transformers on made-up weights: their tensors' names and
shapes, and their logits in float64, for files of theirs that are read under torchvision's names.

Run: python3 tests/golden/vision_transformer_names.py   (needs torch, timm and transformers; releases are in the file)
"""
import json
import tempfile

import timm
import torch
import transformers
from safetensors.torch import load_file, save_file

from resnet18_reference import HERE, PICTURES, fill, hashed_tensor

CLASSES, BATCH, SIDE, LAYERS, HEADS, WIDTH, MLP = 5, 2, 48, 2, 4, 32, 48


def of_timm():
    return timm.models.VisionTransformer(img_size=SIDE, patch_size=16, num_classes=CLASSES, embed_dim=WIDTH, depth=LAYERS, num_heads=HEADS,
                                         mlp_ratio=MLP / WIDTH)


def configuration():
    # transformers' own epsilon is 1e-12; with torchvision's the logits are comparable to the last digits.
    return transformers.ViTConfig(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=MLP, image_size=SIDE,
                                  patch_size=16, num_labels=CLASSES, layer_norm_eps=1e-6)


def record(network, logits_of):
    network = network.double().eval()
    fill(network)
    state = network.state_dict()
    with torch.no_grad():
        logits = logits_of(network, 3 * hashed_tensor(PICTURES, (BATCH, 3, SIDE, SIDE)) - 1.5)
    return {"shapes": {name: list(tensor.shape) for name, tensor in state.items()}, "logits": logits.flatten().tolist()}


def record_of_file():
    """The names that save_pretrained writes, which are not those of the modules, through from_pretrained."""
    with tempfile.TemporaryDirectory() as folder:
        transformers.ViTForImageClassification(configuration()).save_pretrained(folder)
        file = f"{folder}/model.safetensors"
        names = sorted(load_file(file))
        holder = torch.nn.Module()  # gives fill() what it asks for: a state under the file's names
        state = {name: tensor.double() for name, tensor in load_file(file).items()}
        holder.state_dict = lambda: state
        fill(holder)
        save_file(state, file, metadata={"format": "pt"})
        network = transformers.ViTForImageClassification.from_pretrained(folder, dtype=torch.float64).eval()
        with torch.no_grad():
            logits = network(3 * hashed_tensor(PICTURES, (BATCH, 3, SIDE, SIDE)) - 1.5).logits
    return {"shapes": {name: list(state[name].shape) for name in names}, "logits": logits.flatten().tolist()}


def main():
    result = {"torch": torch.__version__, "timm": timm.__version__, "transformers": transformers.__version__, "side": SIDE, "batch": BATCH,
              "classes": CLASSES, "layers": LAYERS, "heads": HEADS, "width": WIDTH, "mlp": MLP,
              "from_timm": record(of_timm(), lambda network, x: network(x)),
              "from_transformers": record_of_file(),
              "from_transformers_modules": record(transformers.ViTForImageClassification(configuration()), lambda network, x: network(x).logits)}
    (HERE / "vision_transformer_names.json").write_text(json.dumps(result, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

"""Embedding files of diffusers' and Kohya's scripts for ours to read, and ours through diffusers' own loader.

    python embeddings.py make FOLDER     writes theirs*.safetensors, as the scripts' last lines do
    python embeddings.py check FOLDER    loads every file (ours too) into a text encoder through load_textual_inversion; ends with
                                         77 (skipped) where diffusers or CLIP's vocabulary is not there

Tried with diffusers 0.42, transformers 5.24, safetensors 0.8."""
import os
import sys

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError:
    print("skipped: no torch and safetensors in this Python")
    sys.exit(77)

WIDTHS = (16, 24)
what, folder = sys.argv[1:3]


def rows_of(encoder, vectors=2):
    """The same numbers as tests/models/embedding_file_test.cpp makes: exact in float32."""
    count = vectors * WIDTHS[encoder]
    return ((torch.arange(count, dtype=torch.float32) + 100 * encoder) / 1024 - 0.05).reshape(vectors, WIDTHS[encoder])


def path(name):
    return os.path.join(folder, name + ".safetensors")


if what == "make":
    # diffusers examples/textual_inversion: save_progress()
    save_file({"<bird>": rows_of(0)}, path("theirs"), metadata={"format": "pt"})
    save_file({"<bird>": rows_of(0)}, path("theirs_xl"), metadata={"format": "pt"})
    save_file({"<bird>": rows_of(1)}, path("theirs_xl_2"), metadata={"format": "pt"})
    # sd-scripts: save_weights() of the two trainers
    save_file({"emb_params": rows_of(0).half()}, path("theirs_kohya"))
    save_file({"clip_l": rows_of(0), "clip_g": rows_of(1)}, path("theirs_kohya_xl"))
    sys.exit(0)

try:
    from diffusers.loaders import TextualInversionLoaderMixin
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
except ImportError:
    print("skipped: no diffusers and transformers in this Python")
    sys.exit(77)
data = os.environ.get("DEDA_TEST_DATA") or os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "data")
vocabulary = os.path.join(data, "tokenizers", "clip")
if not os.path.isdir(vocabulary):
    print("skipped: no", vocabulary)
    sys.exit(77)


class Pipeline(TextualInversionLoaderMixin):
    hf_device_map = None

    def __init__(self, width):
        self.tokenizer = CLIPTokenizer.from_pretrained(vocabulary)
        self.text_encoder = CLIPTextModel(CLIPTextConfig(vocab_size=len(self.tokenizer), hidden_size=width, intermediate_size=8,
                                                         num_hidden_layers=1, num_attention_heads=2))
        self.components = {"tokenizer": self.tokenizer, "text_encoder": self.text_encoder}


def load(content, encoder, token):
    pipeline = Pipeline(WIDTHS[encoder])
    pipeline.load_textual_inversion(content, token=token)
    prompt = pipeline.maybe_convert_prompt("a photo of a <bird>", pipeline.tokenizer)
    assert prompt == "a photo of a <bird> <bird>_1", prompt
    ids = pipeline.tokenizer(prompt).input_ids[5:-1]
    assert ids == [49408, 49409], ids
    found = pipeline.text_encoder.get_input_embeddings().weight[ids]
    assert torch.equal(found, rows_of(encoder)), content


for who in ("theirs", "ours"):
    load(path(who), 0, None)  # the file alone names the placeholder
    load(path(who + "_xl"), 0, None)
    load(path(who + "_xl_2"), 1, None)
    tensors = load_file(path(who + "_kohya"))
    assert set(tensors) == {"emb_params"}
    if who == "ours":
        load(tensors["emb_params"], 0, "<bird>")
    both = load_file(path(who + "_kohya_xl"))
    assert set(both) == {"clip_l", "clip_g"}
    load(both["clip_l"], 0, "<bird>")
    load(both["clip_g"], 1, "<bird>")
print("diffusers loads all of them")

"""Ids that transformers' CLIPTokenizer gives, for ours to give too.

    python clip_tokenizer.py OUT.json WORD_TOKENIZER_FOLDER [CLIP_FOLDER]

The word tokenizer is the one that tests/models/clip_tokenizer_test.cpp writes; CLIP_FOLDER holds vocab.json and merges.txt of
CLIP. Tried with transformers 5.24, tokenizers 0.23."""
import json
import os
import random
import sys

from transformers import CLIPTokenizer

out, word_folder = sys.argv[1:3]
clip_folder = sys.argv[3] if len(sys.argv) > 3 else None

TEXTS = [
    "", " ", "a photo of a bird", "  A   photo,of  a   CAR!! ", "a photo of a Black footed Albatross", "a photo of a Clark's Nutcracker",
    "Boeing 737-400", "a photo of a <class_12>", "caf\u00e9", "cafe\u0301", "CAF\u00c9", "a photo with a bird on it", "it's we're I'LL they'Ve 'sdf 'd'm",
    "<|startoftext|>a bird<|endoftext|>", "<|ENDOFTEXT|>", "a<|endoftext|>b", "\u0130stanbul \u0131", "\u039f\u0394\u039f\u03a3 \u03a3 \u03a3\u0391\u03a3.",
    "STRASSE \u1e9e stra\u00dfe", "\u01c5 \ufb01 \u2167 \u00bd \u00b2 \u0663\u0664", "\u65e5\u672c\u8a9e \u6587\u5b57", "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\U0001f426\u200d\u2b1b bird \U0001f1e9\U0001f1ea", "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g",
    "a\u200bb\u200cc\ufeffd", "tab\tnew\nline\r\nand\x0bmore\x0c.", "\x1c\x1d\x1e\x1f\x00\x01\x7f", "&amp; &lt;b&gt; \u2026 \u201cq\u201d \u2014", "under_score snake_case __init__",
    "x" * 300, "1234567890", "!!!???...", "a.b.c", "e\u0301\u0323 \u1ec7 \u0065\u0323\u0302", "\u212b \u2126 \u1e69", "\U0001d518\U0001d52b \U00010400\U00010428",
    "longer " * 60, "\u2160\u2161 \u216f", "\u0345 \u1fb3 \u1f80", "\u00aa \u00ba \u02b0", "\u10a0\u2d00 \u13a0\uab70",
]
POOLS = [
    "abcdefghij XYZ", "0123456789", " \t\n\u00a0\u2009\u3000", "'sdltvmre", "!?.,-_()[]<>|&;:\"#", "\u00e9\u00c8\u00df\u00f1\u0130\u0131\u00c5", "\u0301\u0323\u0308\u0345\u20dd",
    "\u03a3\u03c3\u03c2\u0391\u03b1", "\u0416\u0436\u042f", "\u5b57\u6587\u304b\u304c\u3099", "\u0663\u00bd\u2167\u00b3\u0967", "\u200b\u200d\ufeff\u00ad", "\U0001f426\U0001f3fd\U0001d518", "\ud55c\u1112\u1161",
]
draw = random.Random(20250101)
for _ in range(400):
    pools = draw.sample(POOLS, draw.randint(1, 5))
    TEXTS.append("".join(draw.choice(draw.choice(pools)) for _ in range(draw.randint(1, 30))))

PLACEHOLDERS = ["<class-0012>", "<class-0013>", "beetle9", "kr\u00e4he", "<x>", "<x>_1"]
ADDED_TEXTS = [
    "a photo of a <class-0012>", "a photo of a <CLASS-0012>.", "<class-0012><class-0013> <class-0012>", "a<class-0012>b", "<class-0012", "  <class-0013>  !",
    "beetle9 beetle beetle99 xbeetle9y Beetle9", "a kr\u00e4he KR\u00c4HE kra\u0308he", "<x> <x>_1 <x>_2 <X>_1", "<<x>>", "the <x>'s nest", "<|endoftext|><x><|startoftext|>",
    "\u00e9<x>\u0301", "<x>\u00a0<x>\n<x>",
]


def ids_of(folder, texts, placeholders=()):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    added = [tokenizer.add_tokens(p) for p in placeholders]
    assert all(n == 1 for n in added), added
    return [tokenizer(text, truncation=True, max_length=77).input_ids for text in texts]


result = {"texts": TEXTS, "placeholders": PLACEHOLDERS, "added_texts": ADDED_TEXTS}
for name, folder in (("word", word_folder), ("clip", clip_folder)):
    if folder is None:
        continue
    result[name] = ids_of(folder, TEXTS)
    result[name + "_added"] = ids_of(folder, ADDED_TEXTS, PLACEHOLDERS)
with open(out, "w") as file:
    json.dump(result, file, separators=(",", ":"))
    file.write("\n")
print({k: len(v) for k, v in result.items()})

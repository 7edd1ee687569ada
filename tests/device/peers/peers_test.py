"""Runs the peers in small on the CPU, eager: all figures come out, finite and positive. Skipped (77) without their libraries.

    python peers_test.py"""
import json
import math
import subprocess
import sys
from pathlib import Path

SKIPPED = 77
NEEDS = {"training": ("torch", "torchvision"), "diffusion": ("torch", "diffusers", "transformers", "safetensors"),
         "segmenters": ("torch", "transformers")}
EXPECTED = {
    "training": [f"training.{network}.32px.b2.{p}.network" for network in ("resnet18", "resnet50", "densenet121", "vit_b_16")
                 for p in ("bf16", "tf32", "fp32")],
    "diffusion": [f"diffusion.{name}" for name in (
        "unet.b4.bf16", "unet.b2.bf16.milliseconds", "ttti.b4.bf16", "sdedit.cdps2.bf16", "sdedit.cdps2.latents.bf16", "unet.b4.fp32",
        "autoencoder.encode.b2.fp32", "autoencoder.decode.b2.bf16", "transparent_decoder.b2.bf16", "sdedit.cdps2.bf16.autoencoder_bf16")],
    "segmenters": [f"segmenters.{name}.{way}" for way in ("bf16", "tf32", "fp32") for name in (
        "sam_vit_h.embed.b1", "sam_vit_h.embed.b8", "sam_vit_h.boxes4", "grounding_dino_base.b1", "grounding_dino_base.b4")],
}


def there(library):
    return subprocess.run([sys.executable, "-c", f"import {library}"], capture_output=True, check=False).returncode == 0


def problems_of(peer):
    script = Path(__file__).with_name(f"{peer}.py")
    made = subprocess.run([sys.executable, str(script), "--device", "cpu", "--small", "--compile", "", "--seconds", "150"],
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return [f"{peer}.py ended with {made.returncode}: {made.stderr[-1000:]}"]
    lines = [json.loads(text) for text in made.stdout.splitlines()]
    problems = [f"{line['figure']}: {line['error']}" for line in lines if "error" in line]
    values = {line["figure"]: line["value"] for line in lines if "value" in line}
    problems += [f"{name}.eager is missing" for name in EXPECTED[peer] if f"{name}.eager" not in values]
    return problems + [f"{name} is {value}" for name, value in values.items() if not (math.isfinite(value) and value > 0)]


def main():
    peers = [peer for peer, libraries in NEEDS.items() if all(there(library) for library in libraries)]
    if not peers:
        print("skipped: no peer has its libraries in this Python")
        sys.exit(SKIPPED)
    problems = [problem for peer in peers for problem in problems_of(peer)]
    print(f"checked: {', '.join(peers)}")
    sys.exit("\n".join(problems) if problems else 0)


main()

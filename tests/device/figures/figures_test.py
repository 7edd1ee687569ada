"""Runs every subcommand of device_figures in small on the CPU: all figures come out, finite and positive.

    python figures_test.py PATH/TO/device_figures"""
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

program = sys.argv[1]
SMALL = ("--device", "cpu", "--small", "--seconds", "150")
RATES = [f"rate.matrix.{t}" for t in ("bf16", "fp16", "tf32", "fp32")] + ["rate.copy.device"]
# Nothing at all may be waited for.
MAY_BE_ZERO = (".wait_share",)
# Text, and not a number.
TOLD = (".gradients_twice",)


def expected_training():
    names = ["training.samples"] + [f"training.{rate}" for rate in RATES]
    for precision in ("bf16", "tf32", "fp32"):
        for network in ("resnet18", "resnet50"):
            base = f"training.{network}.32px.b2.{precision}"
            names += [base + tail for tail in (".network", ".network.rate_share", ".learner", ".learner.network_share", ".composed",
                                               ".composed.network_share", ".composed.wait_share")]
    return names + [f"training.{network}.32px.b2.bf16.network.autotuned" for network in ("resnet18", "resnet50")]


def expected_diffusion():
    names = ["model.loaded"] + RATES
    unet = [f"unet.b{rows}.{way}" for rows in (2, 4) for way in ("bf16", "bf16.channels_last", "fp32")]
    unet += ["unet.b4.bf16.autotuned", "unet.b4.bf16.branches"]
    names += [name + tail for name in unet for tail in ("", ".milliseconds", ".rate_share")]
    ttti = [f"ttti.b4.{way}" for way in ("bf16", "bf16.channels_last", "bf16.equal_bytes", "fp32", "bf16.branches")]
    names += [name + tail for name in ttti for tail in ("", ".rate_share")]
    names.append("ttti.b4.bf16.equal_bytes.gradients_twice")
    names += ["sdedit.cdps2.bf16", "sdedit.cdps2.bf16.threads2", "sdedit.cdps1.bf16", "sdedit.cdps2.bf16.autoencoder_bf16",
              "sdedit.cdps2.bf16.threads2.autoencoder_bf16", "sdedit.cdps2.bf16.autoencoder_bf16.channels_last"]
    names += [f"sdedit.cdps2.latents.{way}" for way in ("bf16", "fp32", "bf16.branches")]
    names += [f"{what}.b2.{way}" for what in ("autoencoder.encode", "autoencoder.decode", "transparent_decoder")
              for way in ("fp32", "bf16", "bf16.channels_last", "bf16.autotuned")]
    names += [f"attention.{shape}.bf16{pad}{tail}" for shape in ("self4096x40", "text4096x40", "self1024x80")
              for pad in ("", ".padded", ".padded_each_time") for tail in ("", ".both_ways")]
    return [f"diffusion.{name}" for name in names]


def expected_segmenters():
    names = list(RATES)
    for way in ("bf16", "tf32", "fp32"):
        for batch in (1, 8):
            names += [f"sam_vit_h.embed.b{batch}.{way}{tail}" for tail in ("", ".rate_share")]
        names.append(f"sam_vit_h.boxes4.{way}")
        for batch in (1, 4):
            names += [f"grounding_dino_base.b{batch}.{way}{tail}" for tail in ("", ".rate_share")]
    return [f"segmenters.{name}" for name in names]


def run(*arguments):
    made = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        sys.exit(f"{arguments} ended with {made.returncode}\n{made.stdout[-2000:]}\n{made.stderr[-2000:]}")
    return [json.loads(text) for text in made.stdout.splitlines()]


def check(lines, expected):
    problems = [f"{line['figure']}: {line['error']}" for line in lines if "error" in line]
    values = {line["figure"]: line["value"] for line in lines if "value" in line}
    problems += [f"{name} is missing" for name in expected if name not in values]
    for name, value in values.items():
        if name.endswith(TOLD):
            if value != "equal bytes":
                problems.append(f"{name}: {value}")
        elif not math.isfinite(value) or value < 0 or (value == 0 and not name.endswith(MAY_BE_ZERO)):
            problems.append(f"{name} is {value}")
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(values)} figures, {len(expected)} of them expected")


def check_join(folder):
    ours, peers = folder / "ours.jsonl", folder / "peers.jsonl"
    ours.write_text('{"figure": "a.rate", "value": 20.0, "unit": "images/s", "goal": 16}\n'
                    '{"figure": "a.time", "value": 5.0, "unit": "ms"}\nnot a figure\n{"figure": "a.lost", "error": "out of memory"}\n')
    peers.write_text('{"figure": "a.rate.eager", "value": 10.0, "unit": "images/s", "peer": "eager"}\n'
                     '{"figure": "a.time.compiled", "value": 4.0, "unit": "ms", "peer": "compiled"}\n')
    lines = run("join", str(ours), str(peers))
    found = {(line["figure"], line.get("peer")): line for line in lines}
    assert found["a.rate", None]["verdict"] == "reached", lines
    assert found["a.rate", "eager"]["ratio"] == 2 and found["a.rate", "eager"]["verdict"] == "ahead", lines
    assert math.isclose(found["a.time", "compiled"]["ratio"], 0.8) and found["a.time", "compiled"]["verdict"] == "behind", lines
    assert "error" in found["a.lost", None], lines


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_join(folder)
        run("make-model", str(folder / "model"), "--tiny")
        check(run("diffusion", "--model", str(folder / "model"), *SMALL), expected_diffusion())
    check(run("segmenters", *SMALL), expected_segmenters())
    check(run("training", *SMALL), expected_training())
    # No time at all: every figure says so, and nothing hangs.
    late = run("segmenters", "--device", "cpu", "--small", "--seconds", "1e-9")
    assert late and all("error" in line for line in late), late[:3]


main()

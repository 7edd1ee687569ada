"""Draws the random decisions of traced training samples again, from seed, epoch and sample number alone.

Every random number of the program is a function of (seed, purpose, epoch, sample, draw): one of the four words of a Philox4x32-10 block
(Salmon et al., 2011). This file has that rule once more, and the decisions that follow from it without the stores of parts:

    combined samples   whether they may be (p_aug), whether a CDP may be synthetic (p_syn), whether there may be a second one (p_mix), size,
                       turn and mirroring of both, place of the first, that of the second among those tried, the final mirroring;
                       label weights from areas
    natural samples    mirroring
    augment.policy     operations and signed magnitudes; torchvision's operations on the traced picture before them

Used by replay_train_trace.py; `python3 analysis/replay_draws.py draws.jsonl --seed 1 --set p_aug=1 ...` does it for the lines that
`deda train --trace-draws N` writes, whose settings of [augment] have to be named where they are not the defaults.
"""
import argparse
import json
import sys

MASK = 0xFFFFFFFF
COMBINATION, NATURAL_CROP, POLICY = 2, 3, 8  # purposes, src/core/random.h
# src/augment/combination.h
AUGMENTED, SYNTHETIC, MIX, MIX_SYNTHETIC, FLIP, SIZE1, ANGLE1, FLIP1, X1, Y1, SIZE2, ANGLE2, FLIP2, X2, Y2 = 0, 1, 3, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21
POLICIES = ("randaugment", "trivialaugment", "color_jitter")
OPERATIONS = ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness", "Posterize",
              "Solarize", "AutoContrast", "Equalize", "Hue")
BINS = 31
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULTS = {"method": "deda", "crop": 448, "p_aug": 0.5, "p_syn": 0.25, "p_mix": 0.5, "placement": "random", "label_area": "visible", "scale": "relative",
            "scale_min": 0.5, "scale_max": 1.0, "mix_scale_min": 0.4, "mix_scale_max": 0.8, "rotation_degrees": 15.0, "cdp_flip": 0.5, "flip": 0.5,
            "placement_tries": 10, "policy": "none", "randaugment_operations": 2, "randaugment_magnitude": 9, "jitter_brightness": 0.4,
            "jitter_contrast": 0.4, "jitter_saturation": 0.4, "jitter_hue": 0.1}


class Stream:
    """Draw n of a purpose for one sample of one epoch."""

    def __init__(self, seed, purpose, epoch, sample):
        self.key = ((seed & MASK) ^ (purpose << 16), (seed >> 32 & MASK) ^ (purpose * 0x9E3779B9 & MASK))
        self.rest = (epoch & MASK, sample & MASK, sample >> 32 & MASK)

    def bits(self, n):
        counter, key = [n // 4, *self.rest], list(self.key)
        for _ in range(10):
            a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
            counter = [(b >> 32) ^ counter[1] ^ key[0], b & MASK, (a >> 32) ^ counter[3] ^ key[1], a & MASK]
            key = [(key[0] + 0x9E3779B9) & MASK, (key[1] + 0xBB67AE85) & MASK]
        return counter[n % 4]

    def uniform(self, n):
        return (self.bits(n) >> 8) * 2.0**-24

    def below(self, n, count):
        return self.bits(n) * count >> 32


class Report:
    """Counts what was compared and keeps what differs."""

    def __init__(self):
        self.checked, self.wrong = 0, []

    def expect(self, holds, sample, what):
        self.checked += 1
        if not holds:
            self.wrong.append(f"sample {sample}: {what}")


def check_natural(draw, seed, settings, report):
    stream = Stream(seed, NATURAL_CROP, draw["epoch"], draw["index"])
    report.expect(draw["flip"] == int(stream.uniform(2) < settings["flip"]), draw["index"], "flip")


def check_combination(draw, label, seed, settings, report):
    stream, side, sample = Stream(seed, COMBINATION, draw["epoch"], draw["index"]), settings["crop"], draw["index"]
    expect = lambda holds, what: report.expect(holds, sample, what)
    mixed = draw["mix"] >= 0
    expect(stream.uniform(AUGMENTED) < settings["p_aug"], "p_aug")
    expect(draw["version"] == 0 or stream.uniform(SYNTHETIC) < settings["p_syn"], "p_syn")
    expect(not mixed or stream.uniform(MIX) < settings["p_mix"], "p_mix")
    expect(draw["flip"] == int(stream.uniform(FLIP) < settings["flip"]), "flip")
    low, high = ("mix_scale_min", "mix_scale_max") if mixed else ("scale_min", "scale_max")
    size = lambda n: settings[low] + (settings[high] - settings[low]) * stream.uniform(n)
    angle = lambda n: settings["rotation_degrees"] * (2 * stream.uniform(n) - 1)
    if settings["placement"] == "random":
        if settings["scale"] == "relative":
            expect(draw["u1"] == size(SIZE1), "u1")
        expect(draw["angle1"] == angle(ANGLE1), "angle1")
        expect(draw["flip1"] == int(stream.uniform(FLIP1) < settings["cdp_flip"]), "flip1")
        expect(draw["x1"] == stream.below(X1, side - draw["w1"] + 1), "x1")
        expect(draw["y1"] == stream.below(Y1, side - draw["h1"] + 1), "y1")
    else:
        expect(draw["angle1"] == 0 and draw["flip1"] == 0, "a CDP in place is turned or mirrored")
        expect(abs(max(draw["w1"], draw["h1"]) - draw["u1"] * side) <= 0.5, "u1")
    expect(0 <= draw["x1"] <= side - draw["w1"] and 0 <= draw["y1"] <= side - draw["h1"], "the box is not inside the crop")
    several = settings.get("objective") == "multi_label"  # their vectors follow from classes and areas: replay_train_trace.py
    if not mixed:
        if several:
            return
        expect(sorted(label)[-1] == 1 and sum(label) == 1, "label")
        return
    if settings["scale"] == "relative":
        expect(draw["u2"] == size(SIZE2), "u2")
    expect(draw["angle2"] == angle(ANGLE2), "angle2")
    expect(draw["flip2"] == int(stream.uniform(FLIP2) < settings["cdp_flip"]), "flip2")
    tried = [(stream.below(X2 + 2 * t, side - draw["w2"] + 1), stream.below(Y2 + 2 * t, side - draw["h2"] + 1)) for t in range(settings["placement_tries"])]
    expect((draw["x2"], draw["y2"]) in tried, "x2, y2")
    if several:
        return
    total = draw["area1"] + draw["area2"]
    weights = [1.0, 0.0] if total == 0 else [draw["area1"] / total, draw["area2"] / total]
    found = sorted((value for value in label if value > 0), reverse=True)
    wanted = sorted((value for value in weights if value > 0), reverse=True)
    expect(found == [1.0] or (len(found) == len(wanted) and all(abs(a - b) < 1e-6 for a, b in zip(found, wanted))), "label weights")


def space(policy, side):
    """{operation: (magnitudes, signed)} of torchvision, in its order."""
    from torchvision.transforms import RandAugment, TrivialAugmentWide

    return RandAugment()._augmentation_space(BINS, (side, side)) if policy == "randaugment" else TrivialAugmentWide()._augmentation_space(BINS)


def policy_draws(stream, settings):
    """[(operation number, signed magnitude)] as the program draws them."""
    policy = settings["policy"]
    if policy == "color_jitter":
        kinds = [(6, settings["jitter_brightness"], -1.0), (8, settings["jitter_contrast"], -1.0), (7, settings["jitter_saturation"], -1.0), (14, settings["jitter_hue"], -0.5)]
        order = [0, 1, 2, 3]
        for i in range(4, 1, -1):
            j = stream.below(64 + i, i)
            order[i - 1], order[j] = order[j], order[i - 1]
        drawn = []
        for kind in order:
            operation, most, least = kinds[kind]
            if most > 0:
                low = max(least, -most)
                drawn.append((operation, low + (most - low) * stream.uniform(80 + kind)))
        return drawn
    drawn = []
    for k in range(settings["randaugment_operations"] if policy == "randaugment" else 1):
        number = stream.below(4 * k, 14)
        values, signed = space(policy, settings["crop"])[OPERATIONS[number]]
        index = settings["randaugment_magnitude"] if policy == "randaugment" else stream.below(4 * k + 2, BINS)
        magnitude = float(values[index]) if values.ndim else 0.0
        drawn.append((number, -magnitude if signed and stream.below(4 * k + 1, 2) else magnitude))
    return drawn


def check_policy(draw, seed, settings, report):
    wanted = policy_draws(Stream(seed, POLICY, draw["epoch"], draw["index"]), settings)
    numbers, magnitudes = draw[settings["policy"]], draw[settings["policy"] + "_magnitude"]
    same = len(numbers) == len(wanted) and all(n == a and abs(m - b) <= 1e-6 * max(1, abs(b)) for n, m, (a, b) in zip(numbers, magnitudes, wanted))
    report.expect(same, draw["index"], f"{settings['policy']}: {list(zip(numbers, magnitudes))} instead of {wanted}")


def apply(operations, magnitudes, pixels):
    """torchvision's operations on a PIL picture; [H,W,3] uint8 in and out."""
    import numpy
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F
    from torchvision.transforms.autoaugment import _apply_op

    picture = Image.fromarray(pixels)
    for number, magnitude in zip(operations, magnitudes):
        if OPERATIONS[number] == "Hue":
            picture = F.adjust_hue(picture, magnitude)
        else:
            picture = _apply_op(picture, OPERATIONS[number], magnitude, interpolation=InterpolationMode.NEAREST, fill=None)
    return numpy.asarray(picture)


def check_draw(draw, label, seed, settings, report):
    if draw["augmented"]:
        check_combination(draw, label, seed, settings, report)
    else:
        check_natural(draw, seed, settings, report)
    if settings["policy"] != "none":
        check_policy(draw, seed, settings, report)


def check(tensors, metadata):
    """(how many decisions were drawn again, [what differs]) of the share of a batch that a trace file holds."""
    import torch

    settings = {**DEFAULTS, **json.loads(metadata.get("augment", "{}")), "objective": metadata.get("objective", "single_label")}
    report, seed = Report(), int(metadata["seed"])
    names = [name[len("draw."):] for name in tensors if name.startswith("draw.")]
    if "augmented" not in names or settings["crop"] != tensors["input"].shape[2]:
        return 0, []
    labels, pictures = tensors.get("composed_label", tensors["label"]), tensors.get("composed", tensors["input"])  # mixing comes after
    for row in range(tensors["input"].shape[0]):
        draw = {name: tensors["draw." + name][row].tolist() for name in names}
        check_draw(draw, labels[row].tolist(), seed, settings, report)
        before = tensors.get("before_" + settings["policy"])
        if before is None:
            continue
        after = apply(draw[settings["policy"]], draw[settings["policy"] + "_magnitude"], before[row].numpy())
        wanted = (torch.from_numpy(after.copy()).permute(2, 0, 1).float() / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
        report.expect((wanted - pictures[row].float()).abs().max().item() < 1e-4, draw["index"], f"{settings['policy']}: other pixels")
    return report.checked, report.wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", type=argparse.FileType())
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of [augment] that is not the default")
    options = parser.parse_args()
    settings = dict(DEFAULTS)
    for text in options.set:
        key, _, value = text.partition("=")
        if key not in settings:
            parser.error(f"no decision depends on augment.{key}")
        settings[key] = value if isinstance(settings[key], str) else json.loads(value)
    report, samples = Report(), 0
    for samples, line in enumerate(options.lines, 1):
        draw = json.loads(line)
        check_draw(draw, draw["label"], options.seed, settings, report)
    print(f"draws of {samples} samples: {report.checked} decisions drawn again, {len(report.wrong)} differ")
    for line in report.wrong[:20]:
        print(f"  {line}", file=sys.stderr)
    return 0 if samples and not report.wrong else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the filters of generated pictures keep, by numpy, for tests/diffusion/clip_filter_test.cpp.

    python clip_filter.py OUT.json      (needs numpy; the committed file was made with numpy 2.4.6)

The rules restated: Real-Guidance keeps probabilities of the own class above 1/N (float32); Diff-Mix keeps what is not below
numpy.percentile(scores, percent) (float64). Scores that are not finite, or below 0 (not measured), have no say and are never kept. `null` stands for NaN, "inf" for infinity."""
import json
import sys

import numpy as np

from made_up import hashed

CASES = {}


def listed(scores):
    return [None if np.isnan(s) else "inf" if np.isinf(s) else float(s) for s in scores]


def keep_above_chance(scores, classes):
    with np.errstate(invalid="ignore"):
        return np.isfinite(scores) & (scores >= 0) & (scores.astype(np.float32) > np.float32(1 / classes))


def drop_lowest(scores, percent):
    with np.errstate(invalid="ignore"):
        measured = np.isfinite(scores) & (scores >= 0)
        threshold = np.percentile(scores[measured], percent) if measured.any() else np.nan
        return threshold, measured & (scores >= threshold)


def add(name, scores, owners, classes, percents=(10,)):
    scores = np.asarray(scores, np.float32).astype(np.float64)
    above = keep_above_chance(scores, classes)
    case = {"scores": listed(scores), "classes": [int(c) for c in owners], "class_count": classes, "above_chance": above.tolist(), "percentiles": []}
    for percent in percents:
        threshold, kept = drop_lowest(scores, percent)
        case["percentiles"].append({"percent": percent, "threshold": None if np.isnan(threshold) else float(threshold), "kept": kept.tolist()})
    CASES[name] = case
    print(name, int(above.sum()), [(p["percent"], sum(p["kept"])) for p in case["percentiles"]], "of", len(scores))


def drawn(index, count, classes):
    return hashed(index, count), (hashed(index + 50, count) * classes).astype(int)


add("spread", *drawn(1, 97, 5), 5, (10, 0, 100, 33.3, 50, 99.9))
add("hundred_and_one", *drawn(2, 101, 7), 7, (10, 90))  # the threshold is one of the scores
scores, owners = drawn(3, 60, 4)
add("ties", np.round(scores * 8) / 8, owners, 4, (10, 25, 50))
add("one", [0.7], [0], 3, (0, 10, 100))
add("one_below_chance", [0.2], [2], 3)
add("two", [0.25, 0.75], [0, 1], 2, (10, 50, 60))
add("all_equal", [0.5] * 9, [0, 1] * 4 + [0], 2, (10, 50))
for count in (2, 3, 7, 10, 200):  # softmax over equal logits: not above chance
    uniform = (np.ones(1, np.float32) / np.float32(count))[0]
    add(f"uniform_{count}", [uniform, np.nextafter(uniform, np.float32(1)), np.nextafter(uniform, np.float32(0))], [0, 1, 1], count)
scores, owners = drawn(4, 40, 3)
scores[[3, 17]] = np.nan
scores[8] = np.inf
scores[[11, 12]] = -1
scores[owners == 2] = np.minimum(scores[owners == 2], 0.01)  # a class that Real-Guidance empties
add("not_measured", scores, owners, 3, (10, 40))
add("none_measured", [np.nan, -1], [0, 1], 2, (0, 10))
add("no_pictures", [], [], 2)

with open(sys.argv[1], "w") as file:
    json.dump(CASES, file, separators=(",", ":"))
    file.write("\n")

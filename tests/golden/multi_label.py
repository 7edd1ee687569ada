#!/usr/bin/env python3
"""Makes multi_label.json: what PyTorch and scikit-learn say of several labels per picture, for tests/training/objective_test.cpp.

Logits are multiples of 1/8, so that they are exact and equal ones occur; labels are 1, 0, and -1 where an entry does not count.
Random and degenerate: no positives, no negatives, nothing counts, one class, one picture, all logits equal.

Run: python3 tests/golden/multi_label.py   (needs torch, scikit-learn; made with torch 2.11.0, scikit-learn 1.9.1, numpy 2.4.6)
"""
import json
import pathlib
import warnings

import numpy
import torch
from sklearn import metrics

HERE = pathlib.Path(__file__).resolve().parent
warnings.filterwarnings("ignore")


def eleven_points(truth, scores):
    precision, recall, _ = metrics.precision_recall_curve(truth, scores)
    precision, recall = precision[:-1], recall[:-1]  # without the point (recall 0, precision 1) that no threshold gives
    return numpy.mean([precision[recall >= t - 1e-12].max() for t in numpy.linspace(0, 1, 11)])


def describe(logits, labels):
    counts = labels >= 0
    tensor = torch.tensor(logits, dtype=torch.float64)
    target = torch.tensor(labels, dtype=torch.float64).clamp(min=0)
    each = torch.nn.functional.binary_cross_entropy_with_logits(tensor, target, reduction="none").numpy()
    predicted = torch.sigmoid(tensor).numpy() > 0.5
    precisions, elevens, f1 = [], [], []
    for c in range(labels.shape[1]):
        use = counts[:, c]
        truth, scores = labels[use, c], logits[use, c]
        if truth.sum() > 0:
            precisions.append(metrics.average_precision_score(truth, scores))
            elevens.append(eleven_points(truth, scores))
        f1.append(metrics.f1_score(truth, predicted[use, c], zero_division=0) if use.any() else 0.0)
    rows = counts.any(axis=1)
    exact = [bool((predicted[i][counts[i]] == labels[i][counts[i]]).all()) for i in numpy.flatnonzero(rows)]
    flat = counts.any()
    return {
        "loss": float(each[counts].sum() / max(1, counts.sum())),
        "exact_match": float(numpy.mean(exact)) if exact else None,
        "pictures": len(exact),
        "mAP": float(numpy.mean(precisions)) if precisions else None,
        "mAP 11-point": float(numpy.mean(elevens)) if elevens else None,
        "F1 micro": float(metrics.f1_score(labels[counts], predicted[counts], zero_division=0)) if flat else 0.0,
        "F1 macro": float(numpy.mean(f1)),
        "classes_with_positives": len(precisions),
    }


def main():
    draw = numpy.random.default_rng(20250715)

    def logits_of(pictures, classes):
        return draw.integers(-24, 25, size=(pictures, classes)) / 8.0

    def labels_of(pictures, classes, present=0.3, open_share=0.1):
        labels = (draw.random((pictures, classes)) < present).astype(int)
        labels[draw.random((pictures, classes)) < open_share] = -1
        return labels

    cases = {}
    for i, (pictures, classes) in enumerate([(60, 5), (200, 20), (7, 3), (33, 1)]):
        cases[f"random {i}"] = logits_of(pictures, classes), labels_of(pictures, classes)
    told = labels_of(40, 6, 0.2, 0.0)
    cases["mostly right"] = numpy.where(told > 0, 1.0, -1.0) * numpy.abs(logits_of(40, 6)) + 0.125, told
    cases["no positives"] = logits_of(12, 4), labels_of(12, 4, 0.0)
    cases["no negatives"] = logits_of(12, 4), labels_of(12, 4, 1.0)
    cases["nothing counts"] = logits_of(9, 4), numpy.full((9, 4), -1)
    cases["a class and a picture that do not count"] = logits_of(15, 4), labels_of(15, 4)
    cases["a class and a picture that do not count"][1][:, 2] = -1
    cases["a class and a picture that do not count"][1][3] = -1
    cases["one picture"] = logits_of(1, 6), labels_of(1, 6, 0.5)
    cases["nothing predicted"] = -numpy.abs(logits_of(20, 3)) - 1, labels_of(20, 3)
    cases["all equal"] = numpy.zeros((20, 3)), labels_of(20, 3)
    text = [{"name": name, "logits": logits.tolist(), "labels": labels.tolist(), **describe(logits, labels)}
            for name, (logits, labels) in cases.items()]
    (HERE / "multi_label.json").write_text(json.dumps(text, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

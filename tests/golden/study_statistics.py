#!/usr/bin/env python3
"""Makes study_statistics.json: what scipy and statsmodels say of a few seeds, for tests/study/seed_statistics_test.cpp.

The bootstrap draws its seeds by Philox4x32-10 as src/core/random.h does, written down again here, so that the percentiles
(numpy's) can be compared number by number.

Run: python3 tests/golden/study_statistics.py   (needs scipy and statsmodels; made with scipy 1.17.1, statsmodels 0.15.0, numpy 2.4.6)
"""
import json
import pathlib

import numpy
from scipy import stats
from statsmodels.stats.multitest import multipletests

HERE = pathlib.Path(__file__).resolve().parent
BOOTSTRAP = 13  # Purpose::bootstrap
RESAMPLES = 2000
MASK = 0xFFFFFFFF


def philox(counter, key):
    for _ in range(10):
        first, second = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(second >> 32) ^ counter[1] ^ key[0], second & MASK, (first >> 32) ^ counter[3] ^ key[1], first & MASK]
        key = [(key[0] + 0x9E3779B9) & MASK, (key[1] + 0xBB67AE85) & MASK]
    return counter


def draw(seed, epoch, sample, number, below):
    key = [(seed & MASK) ^ (BOOTSTRAP << 16), (seed >> 32) ^ (BOOTSTRAP * 0x9E3779B9 & MASK)]
    bits = philox([number // 4, epoch, sample & MASK, sample >> 32], key)[number % 4]
    return bits * below >> 32


def estimate(values):
    values = numpy.array(values)
    n = len(values)
    result = {"values": values.tolist(), "mean": float(values.mean()), "deviation": float(values.std(ddof=1)) if n > 1 else 0.0}
    if n >= 3:
        low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
        result |= {"low": float(low), "high": float(high)}
    return result


def paired(ours, theirs):
    test = stats.ttest_rel(ours, theirs)
    low, high = test.confidence_interval(0.95)
    return {"ours": ours, "theirs": theirs, "mean": float(numpy.mean(numpy.array(ours) - numpy.array(theirs))),
            "low": float(low), "high": float(high), "p": float(test.pvalue)}


def over_columns(columns):
    differences = [numpy.array(ours) - numpy.array(theirs) for ours, theirs in columns]
    means = []
    for resample in range(RESAMPLES):
        of_columns = [values[[draw(1, resample, column, i, len(values)) for i in range(len(values))]].mean()
                      for column, values in enumerate(differences)]
        means.append(numpy.mean(of_columns))
    low, high = numpy.percentile(means, [2.5, 97.5])
    improvement = [stats.mannwhitneyu(ours, theirs).statistic / (len(ours) * len(theirs)) for ours, theirs in columns]
    return {"columns": [{"ours": ours, "theirs": theirs} for ours, theirs in columns],
            "mean": float(numpy.mean([values.mean() for values in differences])), "low": float(low), "high": float(high),
            "probability_of_improvement": float(numpy.mean(improvement))}


FIVE = ([80.07, 79.62, 80.44, 79.98, 80.71], [72.78, 73.11, 72.02, 73.45, 72.6])
CLOSE = ([90.1, 89.4, 90.8, 89.9, 90.3], [90.0, 89.9, 90.2, 90.1, 89.8])
THREE = ([54.5, 53.9, 55.2], [30.3, 31.4, 30.9])
P_VALUES = [[0.01, 0.04, 0.03, 0.005], [0.2, 0.2, 0.001, 0.9, 0.5, 0.012], [0.03], [0.9, 0.95]]

results = {
    "quantiles": [{"confidence": confidence, "degrees": degrees, "t": float(stats.t.ppf((1 + confidence) / 2, degrees))}
                  for degrees in (1, 2, 2.5, 3, 4, 7, 9, 29, 99, 1000, 100000) for confidence in (0.5, 0.9, 0.95, 0.99, 0.999)],
    "tails": [{"t": t, "degrees": degrees, "p": float(2 * stats.t.sf(abs(t), degrees))}
              for degrees in (1, 2, 3.5, 4, 9, 49, 1000) for t in (0.0, 1e-3, 0.5, -1.0, 2.0, 3.7, 12.0, 60.0)],
    "estimates": [estimate(values) for values in (FIVE[0], THREE[1], [70.0, 71.0], [70.0], list(numpy.linspace(60, 62, 10)))],
    "paired": [paired(*FIVE), paired(*CLOSE), paired(*THREE)],
    "holm": [{"p": p, "corrected": multipletests(p, method="holm")[1].tolist()} for p in P_VALUES],
    "binomial": [{"percent": percent, "images": images, "error": float(100 * stats.binom.std(images, percent / 100) / images)}
                 for percent, images in ((72.78, 5794), (72.52, 3333), (89.44, 8041), (0.0, 10), (100.0, 10))],
    "over_columns": [over_columns([FIVE, CLOSE]), over_columns([THREE, FIVE, CLOSE])],
}
(HERE / "study_statistics.json").write_text(json.dumps(results, indent=1) + "\n")

#!/usr/bin/env python3
"""Makes mixing_solvers.json: what the originals of PuzzleMix and Co-Mixup choose, for tests/mixing.

Restated with NumPy from snu-mllab/PuzzleMix (mixup.py), snu-mllab/Co-Mixup (match.py) and what 3neutronstar/GuidedMixup (FGVC)
changed in them, plainly: one-hot arrays, whole matrices, every swap solved again in every cycle. Minimum cuts are PyMaxflow's.
Kept as they are: the order of swaps, thresholds, blends, the rule for equal outputs, the exit, transport's comparison with zeros.
Not kept, because the project decided otherwise: costs cut to a few decimals by the graph cut's Python wrapper (here they are
rounded to 2^-46 of their largest, as LabelSwap promises, so that equal costs are equal in both programs), float32, negative weights
between blocks, distances that are all 0. A swap counts only where it makes the energy smaller.

Inputs are made_up.hashed numbers, most of them multiples of 2^-24 or coarser, so that their sums are exact and both programs start
from equal bits. Choices are kept as checksums of their bytes, energies and objectives as numbers. Cases whose costs have no ties
are solved once more in floating point, and must then have the same energy.

Run: PYTHONPATH=tests/golden python3 tests/golden/mixing_solvers.py   (needs numpy, PyMaxflow, and torch for made_up; made with
numpy 2.4.6, PyMaxflow 1.3.2, torch 2.11.0; about five minutes)
"""
import json
import math
import pathlib
import zlib

import maxflow
import numpy as np
from made_up import hashed

HERE = pathlib.Path(__file__).resolve().parent
DOWN = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0]])
RIGHT = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]])


def crc(values, kind):
    return f"{zlib.crc32(np.ascontiguousarray(values).astype(kind).tobytes()):08x}"


class Energy:
    """Costs of labels on a grid, in whole steps or as they are."""

    def __init__(self, unary, down, right, label_costs, whole):
        self.exact = unary, down, right, label_costs
        costs = [unary, down * label_costs[:, :, None, None], right * label_costs[:, :, None, None]]
        if whole:
            largest = max(np.abs(unary).max(), max(down.max(initial=0), right.max(initial=0)) * label_costs.max())
            scale = math.ldexp(1.0, 46 - (math.frexp(largest)[1] if largest > 0 else 0))
            costs = [np.rint(cost * scale).astype(np.int64) for cost in costs]
        self.unary, self.down, self.right = costs  # [h, w, labels], [labels, labels, h - 1, w], [labels, labels, h, w - 1]
        self.graph = maxflow.GraphInt if whole else maxflow.GraphFloat
        self.least_gain = 0 if whole else 1e-12 * max(1e-300, np.abs(unary).max())

    def of(self, z):
        h, w = z.shape
        y, x = np.mgrid[:h, :w]
        return (self.unary[y, x, z].sum() + self.down[z[:-1], z[1:], y[:-1], x[:-1]].sum()
                + self.right[z[:, :-1], z[:, 1:], y[:, :-1], x[:, :-1]].sum())

    def true_energy(self, z):
        unary, down, right, label_costs = self.exact
        y, x = np.mgrid[:z.shape[0], :z.shape[1]]
        return float(unary[y, x, z].sum() + (down * label_costs[z[:-1], z[1:]]).sum()
                     + (right * label_costs[z[:, :-1], z[:, 1:]]).sum())

    def swapped(self, z, a, b):
        h, w = z.shape
        active = (z == a) | (z == b)
        if not active.any():
            return z
        graph = self.graph(h * w, 4 * h * w)
        nodes = graph.add_grid_nodes((h, w))
        y, x = np.mgrid[:h, :w]
        alone = [self.unary[:, :, label] * active for label in (a, b)]
        for costs, first, second in ((self.down, np.s_[:-1, :], np.s_[1:, :]), (self.right, np.s_[:, :-1], np.s_[:, 1:])):
            both = active[first] & active[second]
            weights = np.zeros_like(alone[0])
            weights[first] = costs[a, b] * both
            if both.any():
                graph.add_grid_edges(nodes, weights=weights, structure=DOWN if costs is self.down else RIGHT, symmetric=True)
            edge_y, edge_x = y[first], x[first]
            for label, cost in zip((a, b), alone):
                cost[first] += costs[label, z[second], edge_y, edge_x] * (active[first] & ~active[second])
                cost[second] += costs[z[first], label, edge_y, edge_x] * (active[second] & ~active[first])
        least = np.minimum(alone[0], alone[1])
        # A node on the sink's side has label b and cuts its edge from the source.
        graph.add_grid_tedges(nodes, alone[1] - least, alone[0] - least)
        graph.maxflow()
        return np.where(active, np.where(graph.get_grid_segments(nodes), b, a), z)

    def minimise(self):
        z = np.zeros(self.unary.shape[:2], np.int64)
        labels = self.unary.shape[2]
        energy, before = self.of(z), None
        while before is None or before - energy > self.least_gain:
            before = energy
            for a in range(labels):
                for b in range(labels - 1, a, -1):
                    changed = self.swapped(z, a, b)
                    changed_energy = self.of(changed)
                    if energy - changed_energy > self.least_gain:
                        z, energy = changed, changed_energy
        return z


def minimise(unary, down, right, label_costs, ties=False):
    whole = Energy(unary, down, right, label_costs, True)
    z = whole.minimise()
    if not ties:
        again = Energy(unary, down, right, label_costs, False).minimise()
        assert abs(whole.true_energy(again) - whole.true_energy(z)) <= 1e-9 * abs(whole.true_energy(z))
    return z, whole.true_energy(z)


def potts(labels):
    return 1.0 - np.eye(labels)


def quadratic(labels):
    steps = np.arange(labels, dtype=float)
    return (steps[:, None] - steps[None]) ** 2 / max(1, labels - 1) ** 2


def blending(labels):
    """The last label is a blend of labels 0 and 1."""
    costs = potts(labels)
    costs[-1, :2] = costs[:2, -1] = 0.25
    return costs


def swap_cases():
    for i in range(220):
        height, width = [(1, 1), (1, 6), (5, 1), (2, 2), (3, 4), (5, 5), (7, 6), (9, 8), (12, 12), (16, 16)][i % 10]
        labels = 1 + (i * 7) % 11 if height * width < 100 else 2 + i % 6
        kind = ["potts", "quadratic", "hashed", "blending", "coarse", "coarse blending", "equal", "no weights"][i // 10 % 8]
        if labels < 3 and "blending" in kind:
            labels = 3
        unary = hashed(10 * i, height * width * labels).reshape(height, width, labels)
        down = 0.25 * hashed(10 * i + 1, (height - 1) * width).reshape(height - 1, width)
        right = 0.25 * hashed(10 * i + 2, height * (width - 1)).reshape(height, width - 1)
        label_costs = potts(labels)
        if kind == "quadratic":
            label_costs = quadratic(labels)
        elif kind == "hashed":
            label_costs = np.triu(hashed(10 * i + 3, labels * labels).reshape(labels, labels), 1)
            label_costs = label_costs + label_costs.T
        elif "blending" in kind:
            label_costs = blending(labels)
        if "coarse" in kind:  # multiples of powers of two: sums are equal where they are meant to be
            unary, down, right = np.floor(4 * unary) / 4, np.floor(16 * down) / 16, np.floor(16 * right) / 16
        elif kind == "equal":
            unary, down, right = 0 * unary + 0.5, 0 * down + 0.25, 0 * right + 0.25
        elif kind == "no weights":
            down, right = 0 * down, 0 * right
        z, energy = minimise(unary, down, right, label_costs, ties="coarse" in kind or kind == "equal")
        yield {"height": height, "width": width, "labels": labels, "kind": kind, "energy": energy, "choice": crc(z, np.uint8)}


def pooled(values, size):
    c, h, w = values.shape
    return values.reshape(c, h // size, size, w // size, size).mean((2, 4))


def shares(values):
    """Divided by their sum, as float32; equal shares where it is 0."""
    total = values.sum()
    return (values / total if total > 0 else np.full_like(values, 1 / values.size)).astype(np.float32)


def peaky(values):
    """A tenth of the numbers stay, the others become a sixteenth."""
    return np.where(values > 0.9, values, values / 16)


def transport_plan(shown, saliency, blocks, weight):
    """[from, to] as zeros and ones."""
    sites = blocks * blocks
    y, x = np.divmod(np.arange(sites), blocks)
    squared = (y[:, None] - y[None]) ** 2 + (x[:, None] - x[None]) ** 2
    cost = weight * (squared / max(1, (blocks - 1) ** 2)) - saliency.reshape(-1, 1) * (shown.reshape(1, -1) > 0)
    for _ in range(blocks):
        plan = np.zeros_like(cost)
        plan[np.arange(sites), cost.argmin(1)] = 1
        winners = np.zeros_like(cost)
        winners[(plan * cost).argmin(0), np.arange(sites)] = 1
        winners *= plan
        cost = cost + (1 - winners) * plan
    return winners


def moved(picture, plan, blocks):
    block = picture.shape[-1] // blocks
    patches = picture.reshape(3, blocks, block, blocks, block).transpose(1, 3, 0, 2, 4).reshape(blocks * blocks, -1)
    result = np.zeros_like(patches)
    for source, target in zip(*plan.nonzero()):
        result[target] = patches[source]
    return result.reshape(blocks, blocks, 3, block, block).transpose(2, 0, 3, 1, 4).reshape(picture.shape)


def local_difference(above, below, cells):
    """Between the cells that face each other across the lower edges of blocks: [blocks - 1, blocks]."""
    difference = np.abs(above[:, :-1] - below[:, 1:])[:, cells - 1::cells]
    c, rows, columns = difference.shape
    return difference.reshape(c, rows, columns // cells, cells).sum((0, 3)) / (c * cells)


def puzzle_mix(s1, s2, cells1, cells2, cells, lam, labels, beta, gamma, eta, transport, weight, ties):
    blocks = s1.shape[0]
    s1, s2 = s1.astype(float), s2.astype(float)
    beta = beta / blocks / 16
    pictures = [cells2.astype(float), cells1.astype(float)]  # index 1 is the first picture, as there

    def local(axes):
        turned = [picture.transpose(axes) for picture in pictures]
        return [[beta * gamma * local_difference(turned[p], turned[q], cells) for q in (0, 1)] for p in (0, 1)]

    px = local((0, 1, 2))
    py = [[d.T for d in row] for row in local((0, 2, 1))]
    unary1, unary2 = s1.copy(), s2.copy()
    for pairs, first, second in ((px, np.s_[:-1, :], np.s_[1:, :]), (py, np.s_[:, :-1], np.s_[:, 1:])):
        unary2[first] += (pairs[1][0] + pairs[1][1]) / 2
        unary1[first] += (pairs[0][1] + pairs[0][0]) / 2
        unary2[second] += (pairs[0][1] + pairs[1][1]) / 2
        unary1[second] += (pairs[1][0] + pairs[0][0]) / 2
    weights = [np.maximum(0.0, (d[0][1] + d[1][0] - d[1][1] - d[0][0]) / 2 + beta) for d in (px, py)]
    prior = [eta * -math.log(math.comb(labels - 1, i) * lam ** (labels - 1 - i) * (1 - lam) ** i + 1e-8) / blocks**2
             for i in range(labels)]
    steps = [i / (labels - 1) for i in range(labels)]
    unary = np.stack([(1 - t) * unary2 + t * unary1 + prior[i] for i, t in enumerate(steps)], -1)
    z, energy = minimise(unary, weights[0], weights[1], quadratic(labels), ties)
    share = (1 - z / (labels - 1)).astype(np.float32)
    if transport:
        plans = [transport_plan(share, s1, blocks, weight), transport_plan(1 - share, s2, blocks, weight)]
    else:
        plans = [np.eye(blocks * blocks)] * 2
    return z, energy, share, plans


def puzzle_cases():
    for i in range(220):
        side, blocks, cell = [(8, 2, 4), (16, 2, 4), (16, 4, 4), (32, 4, 4), (32, 8, 2), (48, 4, 4), (64, 16, 4), (24, 2, 4),
                              (64, 8, 4), (32, 16, 2), (12, 1, 12)][i % 11]
        kind = ["hashed", "peaky", "smooth", "stripes", "equal", "zero"][i // 11 % 6]
        labels = [3, 3, 2, 4][i % 4]
        lam = [float(hashed(5000 + 10 * i, 1)[0]), 0.0, 1.0, 0.5][0 if i % 9 else i // 9 % 4]
        beta, gamma, eta = [(1.2, 0.5, 0.2), (0.0, 0.5, 0.2), (4.0, 2.0, 0.5), (1.2, 0.0, 0.0)][i % 4 if i % 3 == 0 else 0]
        transport, weight = i % 13 != 12, [0.8, 0.1, 0.0][i // 3 % 3 if i % 5 == 0 else 0]
        pictures, saliencies, cells = [], [], []
        for which in (0, 1):
            picture = (4 * hashed(5000 + 10 * i + 1 + which, 3 * side * side) - 2).reshape(3, side, side).astype(np.float32)
            if kind == "smooth":
                picture = picture / 8 + np.float32(which)
            elif kind == "stripes":  # opposite ones, as wide as a cell
                rows = (np.arange(side) // cell + which) % 2
                picture = picture / 8 + rows[None, :, None].astype(np.float32)
            saliency = hashed(5000 + 10 * i + 3 + which, side * side).reshape(1, side, side)
            if kind == "peaky":
                saliency = peaky(saliency)
            elif kind == "equal":
                saliency = 0 * saliency + 0.5
            elif kind == "zero":
                saliency = saliency * which
            pictures.append(picture)
            saliencies.append(shares(pooled(saliency, side // blocks)[0]))
            cells.append(pooled(picture.astype(float), cell).astype(np.float32))
        z, energy, share, plans = puzzle_mix(*saliencies, *cells, side // blocks // cell, lam, labels, beta, gamma, eta, transport,
                                             weight, kind not in ("hashed", "peaky", "smooth"))
        mixed = share.repeat(side // blocks, 0).repeat(side // blocks, 1)
        mixed = mixed * moved(pictures[0], plans[0], blocks) + (1 - mixed) * moved(pictures[1], plans[1], blocks)
        sources = [np.where(plan.any(0), plan.argmax(0), -1) for plan in plans]
        yield {"side": side, "blocks": blocks, "cell": cell, "kind": kind, "labels": labels, "lambda": lam, "beta": beta, "gamma": gamma,
               "eta": eta, "transport": transport, "weight": weight, "energy": energy, "choice": crc(z, np.uint8),
               "first_source": crc(sources[0], "<i2"), "second_source": crc(sources[1], "<i2"), "mixed": crc(mixed, "<f4")}


def objective(cost, z, beta, gamma):
    counts = z.sum((1, 2))
    return float((cost.transpose(1, 2, 0)[None] * z).sum()
                 + beta / 2 * (((z[:, :-1] - z[:, 1:]) ** 2).sum() + ((z[:, :, :-1] - z[:, :, 1:]) ** 2).sum())
                 + gamma * ((counts.sum(0) ** 2).sum() - (counts**2).sum()))


def solve_output(costs, counts, beta, blend, ties):
    """costs [g, g, n] to one-hot (or half and half) [g, g, n]."""
    grid, _, n = costs.shape
    used = np.flatnonzero(counts > 0) if blend else np.array([], int)
    if len(used) > 3:
        used = np.sort(np.argsort(-counts, kind="stable")[:3])
    pairs = [(used[a], used[b]) for a in range(len(used)) for b in range(a + 1, len(used))]
    vectors = np.vstack([np.eye(n)] + [(np.eye(n)[i] + np.eye(n)[j])[None] / 2 for i, j in pairs])
    blends = [(0.5 * costs[:, :, i] + 0.5 * costs[:, :, j] - 5e-4)[:, :, None] for i, j in pairs]
    labels = n + len(pairs)
    label_costs = potts(labels)
    for k, (i, j) in enumerate(pairs):
        label_costs[n + k, [i, j]] = label_costs[[i, j], n + k] = 0.25
    weights = np.full((grid - 1, grid), beta), np.full((grid, grid - 1), beta)
    z, _ = minimise(np.concatenate([costs] + blends, -1), *weights, label_costs, ties)
    return vectors[z]


def co_mixup(saliency, distances, weights, start, beta, gamma, eta, threshold, omega, iterations, ties):
    n, grid, _ = saliency.shape
    sites = grid * grid
    beta, gamma, eta, threshold = beta / sites, gamma / sites, eta / sites, threshold * sites
    cost = -saliency.astype(float) - (eta * np.log(weights + 1e-8))[:, None, None]
    relative = distances / distances.sum() * n if distances.sum() > 0 else np.zeros_like(distances)
    affinity = (1 - omega) * np.eye(n) + omega * relative
    z = np.eye(n)[start]
    added = np.zeros((n, n))
    loss = objective(cost, z, beta, gamma)
    for iteration in range(iterations):
        for o in range(n):
            counts = z.sum((1, 2))
            others = counts.sum(0) - counts[o]
            penalty = 2 * gamma * ((affinity @ others > threshold) * affinity) @ others
            costs = (cost + penalty[:, None, None] + gamma * added[o][:, None, None]).transpose(1, 2, 0)
            z[o] = solve_output(costs, counts[o], beta, iteration > 0, ties)
        if iteration == iterations - 2:
            used = z.sum((1, 2)) > 0
            for a in range(n):
                for b in range(a + 1, n):
                    both = np.flatnonzero(used[a])
                    if (used[a] == used[b]).all() and len(both) > 1:
                        added[a][both[0]] = added[b][both[1]] = 1
        before, loss = loss, objective(cost, z, beta, gamma)
        if loss != 0 and abs(before - loss) / abs(loss) < 1e-6:  # 0 / 0 is no end there either
            break
    return z, loss, iteration + 1


def co_cases():
    for i in range(220):
        n, grid = [(1, 4), (2, 4), (3, 4), (5, 4), (7, 4), (8, 4), (4, 8), (2, 3), (3, 1), (6, 5), (16, 4)][i % 11]
        if i in (50, 120):
            n, grid = (16, 16) if i == 50 else (9, 16)
        kind = ["hashed", "peaky", "equal", "zero", "one map", "no distance", "one picture zero"][i // 11 % 7]
        beta, gamma, eta, threshold, omega, iterations = [
            (0.32, 1.0, 0.05, 0.83, 0.001, 4), (0.32, 1.0, 0.05, 0.83, 0.001, 4), (0.8, 0.2, 0.5, 0.25, 0.1, 4), (0.1, 3.0, 0.0, 1.5, 0.0, 6),
            (0.32, 1.0, 0.05, 0.83, 0.001, 1)][i % 5]
        saliency = hashed(20000 + 10 * i, n * grid * grid).reshape(n, grid, grid)
        if kind != "hashed":
            saliency = peaky(saliency)
        if kind == "equal":
            saliency = 0 * saliency + 0.5
        elif kind == "one map":
            saliency = saliency[:1].repeat(n, 0)
        elif kind == "one picture zero":
            saliency[0] = 0
        saliency = np.stack([shares(map_) for map_ in saliency])
        if kind == "zero":
            saliency = 0 * saliency
        peaks = np.floor(441 * hashed(20000 + 10 * i + 1, 2 * n)).reshape(n, 2) * (kind != "no distance")
        distances = np.abs(peaks[:, None] - peaks[None]).sum(-1)
        weights = hashed(20000 + 10 * i + 2, n)
        weights = weights / weights.sum()
        start = np.floor(n * hashed(20000 + 10 * i + 3, n * grid * grid)).astype(int).reshape(n, grid, grid)
        z, loss, iteration = co_mixup(saliency, distances, weights, start, beta, gamma, eta, threshold, omega, iterations,
                                      kind not in ("hashed", "peaky"))
        yield {"pictures": n, "grid": grid, "kind": kind, "beta": beta, "gamma": gamma, "eta": eta, "threshold": threshold,
               "omega": omega, "most_iterations": iterations, "iterations": iteration, "objective": loss,
               "halves": crc(2 * z, np.uint8)}


def peak_cases():
    for i, (side, kind) in enumerate([(8, "hashed"), (9, "hashed"), (20, "hashed"), (33, "hashed"), (64, "hashed"), (20, "equal"),
                                      (20, "zero"), (5, "hashed"), (1, "hashed"), (40, "coarse"), (96, "coarse")]):
        map_ = hashed(50000 + i, side * side).reshape(side, side)
        map_ = {"hashed": map_, "equal": 0 * map_ + 0.3, "zero": 0 * map_, "coarse": np.floor(1.05 * map_)}[kind].astype(np.float32)
        window = min(8, side)
        sums = np.lib.stride_tricks.sliding_window_view(map_.astype(float), (window, window)).sum((2, 3))
        row, column = divmod(int(np.argmax(np.round(sums, 6))), sums.shape[1])
        yield {"side": side, "kind": kind, "row": row, "column": column}


def main():
    made = {"label_swap": list(swap_cases()), "puzzle_mix": list(puzzle_cases()), "co_mixup": list(co_cases()),
            "peaks": list(peak_cases())}
    lines = [json.dumps(name) + ": [\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]"
             for name, cases in made.items()]
    (HERE / "mixing_solvers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

"""Mixes the traced batches of image-mixing methods again, from the batch before mixing (composed) and the draws of the mix: used by
replay_train_trace.py. Of PuzzleMix and Co-Mixup the choice of blocks and cells is taken as traced (it is the solvers', which tests hold
against their originals), and what comes of it is made again.

Pictures and labels of the partner are traced by program, and held against composed and composed_label of the rank whose place it is.
Class activations and gradients come from the network that is replayed, spectral residuals from torchvision's operations; pairs are the
greedy ones of the traced saliency maps of all ranks."""
import json

import torch
from torch.nn.functional import interpolate
from torchvision.transforms import functional as F

# Pixels are 8 bits: half a level, and what 15 bits of the share leave, over the smallest deviation that normalises.
LEVEL = 0.505 / 255 / 0.224
EXACT = 1e-5  # float32, of pictures within +-2.7
SALIENCY = 1e-3  # of the largest value: float32 transforms
BY_GRADIENTS = 0.05  # by norm: replay_train_trace.py says why gradients are so far apart


def settings_of(metadata):
    return json.loads(metadata.get("augment", "{}")).get(metadata.get("method", ""), {})


def was_mixed(share):
    """Also where it was to be: saliency may not have been finite."""
    return "mix.applied" in share and bool(share["mix.applied"][0])


def clean_weight(shares, metadata):
    """How many times the unmixed batch's gradient was added."""
    mixed = any("mix.saliency" in share or "mix.assignment" in share for share in shares)
    return float(settings_of(metadata).get("clean_weight", 0)) if mixed else 0.0


def by_place(shares, name):
    """[size, ...] of the whole batch: rank r of R has the places r, r + R, ..."""
    size = sum(share["input"].shape[0] for share in shares if "input" in share)
    whole = None
    for rank, share in enumerate(shares):
        if "input" in share:
            rows = share[name]
            whole = torch.zeros((size, *rows.shape[1:]), dtype=rows.dtype) if whole is None else whole
            whole[rank :: len(shares)] = rows
    return whole


class Report:
    def __init__(self):
        self.checked, self.wrong = 0, []

    def expect(self, good, what):
        self.checked += 1
        if not good:
            self.wrong.append("mix: " + what)

    def near(self, ours, traced, allowed, what):
        gap = (ours.double() - traced.double()).abs().max().item() if traced.numel() else 0.0
        self.expect(gap <= allowed, f"{what} is off by {gap:.2e}")


def weighted_labels(share, weights):
    own, partner, a, b = share["composed_label"], share["mix.partner_label"], weights[:, :1], weights[:, 1:]
    mixed = a * own.clamp(min=0) + b * partner.clamp(min=0)
    return mixed.masked_fill(((own < 0) & (a > 0)) | ((partner < 0) & (b > 0)), -1.0)


def check_pixels(share, method, report):
    own, partner, weights = share["composed"], share["mix.partner_composed"], share["mix.weight"]
    lam, side = share["mix.lambda"].item(), own.shape[-1]
    if method == "mixup":
        report.near(lam * own + (1 - lam) * partner, share["input"], LEVEL, "a blend")
        report.near(torch.tensor([lam, 1 - lam]).expand_as(weights), weights, 1e-6, "a weight")
    else:
        y1, y2, x1, x2 = share["mix.box"][0].tolist()
        cut = int(side * (1 - lam) ** 0.5) // 2 * 2
        report.expect(0 <= y1 <= y2 <= side and 0 <= x1 <= x2 <= side, "a box leaves the picture")
        report.expect(max(y2 - y1, x2 - x1) <= cut and ((y2 - y1) == cut or 0 in (y1, side - y2)), f"a box of {cut} is {y2 - y1} x {x2 - x1}")
        mixed = own.clone()
        mixed[:, :, y1:y2, x1:x2] = partner[:, :, y1:y2, x1:x2]
        report.near(mixed, share["input"], EXACT, "a pasted picture")
        area = (y2 - y1) * (x2 - x1) / side**2
        report.near(torch.tensor([1 - area, area], dtype=torch.float64).expand_as(weights), weights, 1e-6, "a weight")
    report.near(weighted_labels(share, weights), share["label"], 1e-6, "a label")


def groups_of(shares, together):
    """[(pictures, labels, [their places])] that the network saw at once: batch norm's batches."""
    present = [(rank, share) for rank, share in enumerate(shares) if "input" in share]
    found = [(s["composed"], s["composed_label"], list(range(r, r + s["input"].shape[0] * len(shares), len(shares)))) for r, s in present]
    if together and len(found) > 1:
        found = [(torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found]), sum((f[2] for f in found), []))]
    return found


def without_trace(network, work):
    """Running statistics as they were."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        return work()
    finally:
        for name, buffer in network.named_buffers():
            buffer.copy_(before[name])


def activations(network, pictures, labels):
    seen = []
    last = network.fc if hasattr(network, "fc") else network.classifier
    if hasattr(network, "avgpool"):
        hook = network.avgpool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    else:  # DenseNet-121: its ReLU is a function
        hook = network.features.register_forward_hook(lambda _, __, output: seen.append(torch.relu(output)))
    with torch.no_grad():
        without_trace(network, lambda: network(pictures))
        hook.remove()
        weights = labels @ last.weight
        return (seen[0] * weights[:, :, None, None]).sum(1) + (labels @ last.bias)[:, None, None]


def check_snapmix(network, shares, together, report):
    side = shares[0]["composed"].shape[-1]
    size = by_place(shares, "input").shape[0]
    maps = [None] * size
    for pictures, labels, places in groups_of(shares, together):
        for place, each in zip(places, activations(network, pictures, labels)):
            maps[place] = each
    maps = torch.stack(maps)
    large = interpolate(maps[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
    large = large - large.amin((1, 2), keepdim=True)
    large = large / large.sum((1, 2), keepdim=True)
    large[maps.amax((1, 2)) == maps.amin((1, 2))] = torch.nan
    classes = by_place(shares, "composed_label").argmax(1)
    for rank, share in enumerate(shares):
        if "input" not in share:
            continue
        (y1, y2, x1, x2), (v1, v2, u1, u2) = share["mix.box"][0].tolist(), share["mix.partner_box"][0].tolist()
        mixed = share["composed"].clone()
        if (y2 - y1) * (x2 - x1) == 0 or (v2 - v1) * (u2 - u1) == 0:
            report.near(mixed, share["input"], 0, "a picture with an empty box")
            report.near(share["composed_label"], share["label"], 0, "a label with an empty box")
            continue
        patch = interpolate(share["mix.partner_composed"][:, :, v1:v2, u1:u2], (y2 - y1, x2 - x1), mode="bilinear", align_corners=True)
        mixed[:, :, y1:y2, x1:x2] = patch
        report.near(mixed, share["input"], EXACT, "a pasted picture")
        own, partner = large[rank :: len(shares)], large[share["mix.partner"]]
        scale = own.nan_to_num().abs().max().item()
        report.near(own.nan_to_num(), share["mix.saliency"].nan_to_num(), SALIENCY * scale, "a class activation map")
        a = 1 - own[:, y1:y2, x1:x2].sum((1, 2)) / (own.sum((1, 2)) + 1e-8)
        b = partner[:, v1:v2, u1:u2].sum((1, 2)) / (partner.sum((1, 2)) + 1e-8)
        same = classes[rank :: len(shares)] == classes[share["mix.partner"]]
        a, b = torch.where(same, a + b, a), torch.where(same, a + b, b)
        area = (y2 - y1) * (x2 - x1) / side**2
        weights = torch.stack([a.nan_to_num(1 - area), b.nan_to_num(area)], 1)
        report.near(weights, share["mix.weight"], SALIENCY, "a weight")
        report.near(weighted_labels(share, share["mix.weight"]), share["label"], 1e-6, "a label")


def spectral_residual(pictures):
    gray = F.rgb_to_grayscale(pictures)
    height, width = gray.shape[-2:]
    if height > 128:
        gray = F.resize(gray, [128, 128], antialias=True)
    spectrum = torch.fft.fft2(gray)
    amplitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-10)
    mean = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(amplitude.log(), (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    result = torch.fft.ifft2(spectrum * torch.exp(amplitude.log() - mean) / amplitude).abs()
    result = F.gaussian_blur(result, [7, 7], [3.0, 3.0])
    return (F.resize(result, [height, width], antialias=True) if height > 128 else result)[:, 0]


def greedy_pairs(maps):
    flat = maps.double().flatten(1)
    distances = torch.stack([(flat - row).square().sum(1) for row in flat])
    distances.fill_diagonal_(-torch.inf)
    partner = [0] * len(flat)
    first, place = divmod(int(distances.argmax()), len(flat))
    partner[first], row = place, first
    distances[:, first] = -torch.inf
    for _ in range(len(flat) - 2):
        row, distances[:, place] = place, -torch.inf
        place = int(distances[row].argmax())
        partner[row] = place
    partner[place] = first
    return torch.tensor(partner)


def check_guided(network, shares, method, together, loss_of, report):
    size = by_place(shares, "input").shape[0]
    traced = by_place(shares, "mix.saliency")
    saliency = [None] * size
    for pictures, labels, places in groups_of(shares, together):
        if method == "guided-sr":
            found = spectral_residual(pictures.double())
        else:
            pictures = pictures.clone().requires_grad_(True)
            with torch.enable_grad():
                gradient = without_trace(network, lambda: torch.autograd.grad(loss_of(network(pictures), labels), pictures)[0])
            found = gradient.square().mean(1).sqrt()
        for place, each in zip(places, found):
            saliency[place] = each.double()
    sigma = next(share for share in shares if "input" in share)["mix.sigma"].item()
    saliency = torch.stack([F.gaussian_blur(each[None], [7, 7], [sigma, sigma])[0] for each in saliency])
    saliency = saliency / saliency.sum((1, 2), keepdim=True)
    if method == "guided-sr":
        report.near(saliency, traced, SALIENCY * traced.max().item(), "a saliency map")
    else:
        gap = ((saliency - traced).norm() / traced.norm()).item()
        report.expect(gap <= BY_GRADIENTS, f"saliency maps are off by {gap:.2e} of their norm")
    pairs = by_place(shares, "mix.partner")
    report.expect(torch.equal(greedy_pairs(traced), pairs), "pairs are others than the greedy ones")
    for rank, share in enumerate(shares):
        if "input" not in share:
            continue
        own, partner = traced[rank :: len(shares)].double(), traced[share["mix.partner"]].double()
        mask = own / (own + partner + 1e-12)
        report.near(mask, share["mix.mask"], EXACT, "a mask")
        mask = mask[:, None]
        report.near(mask * share["composed"] + (1 - mask) * share["mix.partner_composed"], share["input"], EXACT, "a mixed picture")
        weights = mask.mean((1, 2, 3))
        report.near(weighted_labels(share, torch.stack([weights, 1 - weights], 1)), share["label"], 1e-5, "a label")


def gradient_maps(network, shares, together, loss_of):
    """[size, H, W] by place: root of the mean square of the loss's gradient over the channels."""
    maps = [None] * by_place(shares, "input").shape[0]
    for pictures, labels, places in groups_of(shares, together):
        pictures = pictures.clone().requires_grad_(True)
        with torch.enable_grad():
            gradient = without_trace(network, lambda: torch.autograd.grad(loss_of(network(pictures), labels), pictures)[0])
        for place, each in zip(places, gradient.square().mean(1).sqrt()):
            maps[place] = each.double()
    return torch.stack(maps)


def to_blocks(pictures, blocks):
    """[n, 3, S, S] -> [n, blocks^2, 3, s, s]"""
    n, channels, side, _ = pictures.shape
    size = side // blocks
    cut = pictures.reshape(n, channels, blocks, size, blocks, size).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(n, blocks * blocks, channels, size, size)


def from_blocks(cut, blocks):
    n, _, channels, size, _ = cut.shape
    return cut.reshape(n, blocks, blocks, channels, size, size).permute(0, 3, 1, 4, 2, 5).reshape(n, channels, blocks * size, blocks * size)


def check_puzzlemix(network, shares, metadata, together, loss_of, report):
    traced = by_place(shares, "mix.saliency").double()
    blocks = next(share for share in shares if "input" in share)["mix.grid"].item()
    maps = gradient_maps(network, shares, together, loss_of)
    pooled = torch.nn.functional.avg_pool2d(maps[:, None], maps.shape[-1] // blocks)[:, 0]
    pooled = pooled / pooled.sum((1, 2), keepdim=True)
    gap = ((pooled - traced).norm() / traced.norm()).item()
    report.expect(gap <= BY_GRADIENTS, f"saliency of blocks is off by {gap:.2e} of its norm")
    steps = settings_of(metadata).get("labels", 3) - 1
    for share in shares:
        if "input" not in share:
            continue
        mask = share["mix.mask"].flatten(1)
        report.near((mask * steps).round(), mask * steps, 1e-6, "a share of a block")
        moved = []
        for pictures, source in ((share["composed"], share["mix.transport"]), (share["mix.partner_composed"], share["mix.partner_transport"])):
            source = source.flatten(1)
            cut = to_blocks(pictures, blocks)
            rows = torch.arange(len(cut))[:, None]
            moved.append(cut[rows, source.clamp(min=0)] * (source >= 0)[:, :, None, None, None])
        weight = mask[:, :, None, None, None]
        report.near(from_blocks(weight * moved[0] + (1 - weight) * moved[1], blocks), share["input"], EXACT, "a mixed picture")
        own = mask.mean(1)
        report.near(weighted_labels(share, torch.stack([own, 1 - own], 1)), share["label"], 1e-6, "a label")


def check_comixup(shares, report):
    batch, labels = by_place(shares, "composed"), by_place(shares, "composed_label")
    for share in shares:
        if "input" not in share:
            continue
        grid = share["mix.blocks"].item()
        report.near(batch, share["mix.batch"], 0, "the batch")
        cut, cells = to_blocks(batch, grid), torch.arange(grid * grid)
        shown = 0.5 * (cut[share["mix.first"], cells] + cut[share["mix.second"], cells])
        report.near(from_blocks(shown, grid), share["input"], EXACT, "a mixed picture")
        size = len(batch)
        counted = sum(torch.nn.functional.one_hot(share[name], size).double().sum(1) for name in ("mix.first", "mix.second")) / (2 * grid * grid)
        report.near(counted, share["mix.assignment"], 1e-6, "a share of an output")
        mixed = share["mix.assignment"] @ labels.clamp(min=0)
        left_out = share["mix.assignment"] @ (labels < 0).to(mixed.dtype) > 0
        report.near(mixed.masked_fill(left_out, -1.0), share["label"], 1e-6, "a label")


def check(network, shares, metadata, loss_of):
    """(how much was compared, [what differs]) of one step; the network stands where the step began. loss_of(output, label)."""
    report, method = Report(), metadata.get("method", "")
    present = [share for share in shares if "input" in share]
    if not present or not was_mixed(present[0]):
        return 0, []
    if method == "comixup" and "mix.assignment" in present[0]:
        check_comixup(shares, report)
        return report.checked, report.wrong
    beside_network = "snapmix", "puzzlemix", "guided-sr", "guided-ap"
    if "mix.partner" not in present[0] or (method in beside_network and "mix.saliency" not in present[0]):
        for share in present:  # saliency was not finite
            report.near(share["composed"], share["input"], 0, "a batch that could not be mixed")
        return report.checked, report.wrong
    composed, labels = by_place(shares, "composed"), by_place(shares, "composed_label")
    for share in present:
        report.near(composed[share["mix.partner"]], share["mix.partner_composed"], 0, "a partner's picture")
        report.near(labels[share["mix.partner"]], share["mix.partner_label"], 0, "a partner's label")
    together = metadata.get("batch_norm") == "global"
    if method in ("mixup", "cutmix", "saliencymix"):
        for share in present:
            check_pixels(share, method, report)
    elif method == "snapmix":
        check_snapmix(network, shares, together, report)
    elif method == "puzzlemix":
        check_puzzlemix(network, shares, metadata, together, loss_of, report)
    else:
        check_guided(network, shares, method, together, loss_of, report)
    return report.checked, report.wrong

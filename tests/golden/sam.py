"""Golden outputs of Segment Anything and MobileSAM, from transformers (SamModel, SamImageProcessor, SamProcessor) and a restatement of TinyViT.

    python sam.py PHOTOS OUT.safetensors OUT.json      (PHOTOS: a folder of pictures; those that the test does not find are passed over)

Weights and inputs are made-up numbers that tests/support/hashed_numbers.h can make as well, so that only the outputs are kept.
Tried with torch 2.11, transformers 5.24, timm 1.0.31, Pillow 13 (float32, CPU)."""
import json
import math
import pathlib
import sys
import tempfile
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamProcessor, SamPromptEncoderConfig, SamVisionConfig
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from made_up import hashed, made_up

torch.set_grad_enabled(False)
torch.set_num_threads(1)
TWIN = "prompt_encoder.shared_embedding.positional_embedding"


def weight_for(index, name, shape):
    """As tests/models/made_up_weights.h has it; batch norms as tests/models/sam_test.cpp."""
    if name.endswith("running_var"):
        return made_up(index, shape, 0.5, 1.5)
    if ("norm" in name and name.endswith("weight")) or name.endswith("bn.weight"):
        return made_up(index, shape, 0.8, 1.2)
    if len(shape) == 1:
        return made_up(index, shape, -0.1, 0.1)
    bound = 1.5 / np.sqrt(np.prod(shape[1:]))
    return made_up(index, shape, -bound, bound)


def state_of(network):
    return {n: t for n, t in network.state_dict().items() if n != TWIN}


def fill(network):
    """Every tensor by its name, numbered in the order of sorted names."""
    state = state_of(network)
    for index, name in enumerate(sorted(state)):
        state[name].copy_(weight_for(index, name, tuple(state[name].shape)))
    return network.eval()


def listing(shapes):
    text = "".join(f"{n} {'x'.join(map(str, shapes[n]))}\n" for n in sorted(shapes))
    return {"tensors": len(shapes), "names": zlib.crc32(text.encode())}


def json_files(part):
    """What save_pretrained writes beside the weights."""
    with tempfile.TemporaryDirectory() as folder:
        part.save_pretrained(folder)
        return {path.name: json.loads(path.read_text()) for path in pathlib.Path(folder).glob("*.json")}


outputs, facts = {}, {"configs": {}}

# --- whole networks -----------------------------------------------------------------------------------------------------------
MODELS = {
    # windows of 3 on a grid of 8, layer 1 global
    "windows": (dict(image_size=64, patch_size=8, hidden_size=24, num_attention_heads=3, num_hidden_layers=3, mlp_dim=40, window_size=3,
                     global_attn_indexes=[1], output_channels=32, num_pos_feats=16),
                dict(hidden_size=32, image_size=64, patch_size=8, mask_input_channels=8),
                dict(hidden_size=32, mlp_dim=40, num_attention_heads=2, iou_head_hidden_dim=24)),
    # a window larger than the grid, other depths everywhere, epsilons that show
    "depths": (dict(image_size=96, patch_size=16, hidden_size=40, num_attention_heads=5, num_hidden_layers=2, window_size=7, mlp_ratio=2.0,
                    global_attn_indexes=[0], output_channels=48, num_pos_feats=24, layer_norm_eps=1e-3),
               dict(hidden_size=48, image_size=96, patch_size=16, layer_norm_eps=1e-3),
               dict(hidden_size=48, mlp_dim=56, num_attention_heads=3, num_hidden_layers=3, attention_downsample_rate=4,
                    num_multimask_outputs=2, iou_head_depth=4, iou_head_hidden_dim=20, layer_norm_eps=1e-3)),
    # without what may be switched off
    "bare": (dict(image_size=80, patch_size=8, hidden_size=16, num_attention_heads=1, num_hidden_layers=2, window_size=5, mlp_dim=24,
                  global_attn_indexes=[1], output_channels=16, num_pos_feats=8, qkv_bias=False, use_abs_pos=False, use_rel_pos=False),
             dict(hidden_size=16, image_size=80, patch_size=8, mask_input_channels=4),
             dict(hidden_size=16, mlp_dim=24, num_attention_heads=1)),
}


def prompts_of(size, grid):
    """Two pictures with three prompts each; corners outside of the picture and on its edges as well."""
    boxes = made_up(9002, (2, 3, 4), -0.1 * size, 0.6 * size)
    boxes[..., 2:] = boxes[..., :2] + made_up(9003, (2, 3, 2), 0, 0.5 * size)
    points = made_up(9004, (2, 3, 4, 2), 0, size)
    labels = torch.tensor([[[1, 0, -1, -10], [0, 0, 1, 1], [-10, -10, 1, -1]], [[1, 1, 1, 1], [0, -1, -10, 0], [1, 0, 1, 0]]])
    masks = made_up(9005, (2, 1, 4 * grid, 4 * grid), -8, 8)
    return boxes, points, labels, masks


def keep(name, result):
    outputs[name + ".pred_masks"], outputs[name + ".iou_scores"] = result.pred_masks, result.iou_scores
    print(name, tuple(result.pred_masks.shape), float(result.pred_masks.abs().max()), float(result.iou_scores.abs().max()))


for name, (vision, prompt, decoder) in MODELS.items():
    config = SamConfig(vision_config=SamVisionConfig(**vision), prompt_encoder_config=SamPromptEncoderConfig(**prompt),
                       mask_decoder_config=SamMaskDecoderConfig(**decoder))
    network = fill(SamModel(config))
    facts["configs"][name] = json_files(config)
    size, grid = vision["image_size"], vision["image_size"] // vision["patch_size"]
    pixels = made_up(9001, (2, 3, size, size), -2, 2)
    boxes, points, labels, masks = prompts_of(size, grid)
    embeddings = network.get_image_embeddings(pixels)
    outputs[f"{name}.image_embeddings"] = embeddings
    run = lambda **given: network(image_embeddings=embeddings, **given)
    keep(f"{name}.boxes", network(pixel_values=pixels, input_boxes=boxes, multimask_output=False))
    if name == "windows":
        keep(f"{name}.boxes_multimask", run(input_boxes=boxes))
    keep(f"{name}.points", run(input_points=points[:, :2, :3], input_labels=labels[:, :2, :3], multimask_output=name != "bare"))
    keep(f"{name}.all", run(input_boxes=boxes, input_points=points, input_labels=labels, input_masks=masks, multimask_output=False))
    if name != "depths":
        keep(f"{name}.nothing", run(multimask_output=False))

# --- Meta's names of the same tensors ---------------------------------------------------------------------------------------------
PARTS = [("vision_encoder.", "image_encoder."), ("patch_embed.projection.", "patch_embed.proj."), ("image_encoder.layers.", "image_encoder.blocks."),
         ("shared_image_embedding.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
         ("point_embed.", "point_embeddings."), ("mask_embed.conv1", "mask_downscaling.0"), ("mask_embed.layer_norm1", "mask_downscaling.1"),
         ("mask_embed.conv2", "mask_downscaling.3"), ("mask_embed.layer_norm2", "mask_downscaling.4"), ("mask_embed.conv3", "mask_downscaling.6"),
         ("neck.conv1", "neck.0"), ("neck.layer_norm1", "neck.1"), ("neck.conv2", "neck.2"), ("neck.layer_norm2", "neck.3"),
         ("layer_norm_final_attn", "norm_final_attn"), ("upscale_conv1", "output_upscaling.0"), ("upscale_layer_norm", "output_upscaling.1"),
         ("upscale_conv2", "output_upscaling.3"), (".layer_norm", ".norm")]


def meta_name(name, iou_depth):
    for ours, theirs in PARTS:
        name = name.replace(ours, theirs)
    for head, depth in (("output_hypernetworks_mlps", 3), ("iou_prediction_head", iou_depth)):
        if head in name:
            if ".layers." in name:
                before, after = name.split(".layers.")
                number, rest = after.split(".")
                name = f"{before}.layers.{int(number) + 1}.{rest}"
            name = name.replace("proj_in", "layers.0").replace("proj_out", f"layers.{depth - 1}")
    return name


network = SamModel(SamConfig(vision_config=SamVisionConfig(**MODELS["windows"][0]), prompt_encoder_config=SamPromptEncoderConfig(**MODELS["windows"][1]),
                             mask_decoder_config=SamMaskDecoderConfig(**MODELS["windows"][2])))
facts["meta_names"] = {n: meta_name(n, 3) for n in sorted(state_of(network))}

# --- MobileSAM: TinyViT restated ----------------------------------------------------------------------------------------------------


def tiny_vit_shapes(dims, depths, heads, windows, expand=4, mlp=4, out=256):
    """Original names without prefix -> shape."""
    shapes = {}

    def normed(name, outer, inner, kernel, groups=1):
        shapes[f"{name}.c.weight"] = (outer, inner // groups, kernel, kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (outer,)

    def pair(name, outer, inner=None):
        shapes[f"{name}.weight"] = (outer,) if inner is None else (outer, inner)
        shapes[f"{name}.bias"] = (outer,)

    normed("patch_embed.seq.0", dims[0] // 2, 3, 3)
    normed("patch_embed.seq.2", dims[0], dims[0] // 2, 3)
    for stage, (width, depth) in enumerate(zip(dims, depths)):
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            if stage == 0:
                normed(f"{at}.conv1", width * expand, width, 1)
                normed(f"{at}.conv2", width * expand, width * expand, 3, width * expand)
                normed(f"{at}.conv3", width, width * expand, 1)
                continue
            pair(f"{at}.attn.norm", width)
            pair(f"{at}.attn.qkv", 3 * width, width)
            pair(f"{at}.attn.proj", width, width)
            shapes[f"{at}.attn.attention_biases"] = (heads[stage], windows[stage] ** 2)
            normed(f"{at}.local_conv", width, width, 3, width)
            pair(f"{at}.mlp.norm", width)
            pair(f"{at}.mlp.fc1", width * mlp, width)
            pair(f"{at}.mlp.fc2", width, width * mlp)
        if stage + 1 < len(dims):
            after = dims[stage + 1]
            normed(f"layers.{stage}.downsample.conv1", after, width, 1)
            normed(f"layers.{stage}.downsample.conv2", after, after, 3, after)
            normed(f"layers.{stage}.downsample.conv3", after, after, 1)
    shapes["neck.0.weight"], shapes["neck.2.weight"] = (out, dims[-1], 1, 1), (out, out, 3, 3)
    for norm in ("neck.1", "neck.3"):
        pair(norm, out)
    return shapes


def tiny_vit(w, x, depths, heads, windows):
    """-> features before the neck [B, C, h, w], and after it."""

    def cbn(name, x, stride=1):
        kernel = w[f"{name}.c.weight"]
        groups = x.shape[1] if kernel.shape[1] == 1 and x.shape[1] > 1 else 1
        x = F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2, 1, groups)
        return F.batch_norm(x, *(w[f"{name}.bn.{p}"] for p in ("running_mean", "running_var", "weight", "bias")), False, 0.0, 1e-5)

    def norm(name, x, eps=1e-5):
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def three(name, x, stride=1):
        return cbn(f"{name}.conv3", F.gelu(cbn(f"{name}.conv2", F.gelu(cbn(f"{name}.conv1", x)), stride)))

    def attention(name, x, heads, side):  # [windows, side * side, C]
        x = linear(f"{name}.qkv", norm(f"{name}.norm", x)).reshape(x.shape[0], side * side, heads, -1)
        q, k, v = (t.transpose(1, 2) for t in x.chunk(3, -1))
        table = w[f"{name}.attention_biases"]
        places = [(r, c) for r in range(side) for c in range(side)]
        bias = torch.stack([torch.stack([table[:, abs(a[0] - b[0]) * side + abs(a[1] - b[1])] for b in places], -1) for a in places], -2)
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(-1)
        return linear(f"{name}.proj", (weights @ v).transpose(1, 2).flatten(2))

    def block(name, x, heads, side):
        b, c, h, wide = x.shape
        rows, columns = -(-h // side), -(-wide // side)
        padded = F.pad(x, (0, columns * side - wide, 0, rows * side - h))
        whole = torch.zeros_like(padded)
        for r in range(rows):
            for s in range(columns):
                cut = padded[:, :, r * side:(r + 1) * side, s * side:(s + 1) * side]
                done = attention(f"{name}.attn", cut.flatten(2).transpose(1, 2), heads, side)
                whole[:, :, r * side:(r + 1) * side, s * side:(s + 1) * side] = done.transpose(1, 2).reshape(cut.shape)
        x = cbn(f"{name}.local_conv", x + whole[:, :, :h, :wide])
        y = x.permute(0, 2, 3, 1)
        y = linear(f"{name}.mlp.fc2", F.gelu(linear(f"{name}.mlp.fc1", norm(f"{name}.mlp.norm", y))))
        return x + y.permute(0, 3, 1, 2)

    x = cbn("patch_embed.seq.2", F.gelu(cbn("patch_embed.seq.0", x, 2)), 2)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            name = f"layers.{stage}.blocks.{i}"
            x = F.gelu(x + three(name, x)) if stage == 0 else block(name, x, heads[stage], windows[stage])
        if stage + 1 < len(depths):
            x = three(f"layers.{stage}.downsample", x, 1 if stage + 2 == len(depths) else 2)
    channels = lambda name, x: norm(name, x.permute(0, 2, 3, 1), 1e-6).permute(0, 3, 1, 2)
    y = channels("neck.1", F.conv2d(x, w["neck.0.weight"]))
    return x, channels("neck.3", F.conv2d(y, w["neck.2.weight"], padding=1)).contiguous()


MOBILE = dict(dims=(8, 16, 24, 40), depths=(1, 2, 3, 1), heads=(1, 2, 3, 5), windows=(1, 5, 6, 4))
shapes = tiny_vit_shapes(**MOBILE, out=32)
tiny = {n: weight_for(20000 + i, n, shapes[n]) for i, n in enumerate(sorted(shapes))}
pixels = made_up(9001, (2, 3, 96, 96), -2, 2)
body, embeddings = tiny_vit(tiny, pixels, MOBILE["depths"], MOBILE["heads"], MOBILE["windows"])
outputs["mobile.image_embeddings"] = embeddings
facts["mobile_shapes"] = {n: list(s) for n, s in sorted(shapes.items())}

# timm's TinyViT has the same blocks; its merges stand before their stage and all halve the size.
from timm.models.tiny_vit import TinyVit

other = TinyVit(embed_dims=MOBILE["dims"], depths=MOBILE["depths"], num_heads=MOBILE["heads"], window_sizes=MOBILE["windows"], drop_path_rate=0.0,
                num_classes=0, global_pool="").eval()
other.stages[3].downsample.conv2.conv.stride = (1, 1)
theirs = {}
for n, t in tiny.items():
    n = n.replace("patch_embed.seq.0", "patch_embed.conv1").replace("patch_embed.seq.2", "patch_embed.conv2")
    for stage in (2, 1, 0):
        n = n.replace(f"layers.{stage}.downsample", f"stages.{stage + 1}.downsample")
    theirs[n.replace("layers.", "stages.").replace(".c.weight", ".conv.weight")] = t
missing = other.load_state_dict({n: t for n, t in theirs.items() if not n.startswith("neck")}, strict=False)
assert not missing.unexpected_keys and all("num_batches" in n or n.startswith("head") for n in missing.missing_keys), missing
difference = (other.forward_features(pixels) - body).abs().max() / body.abs().max()
print("restated TinyViT against timm's", float(difference))
assert difference < 1e-5

# The decoder behind it: transformers' with the epsilon of Meta's code.
_, prompt, decoder = MODELS["windows"]
network = fill(SamModel(SamConfig(vision_config=SamVisionConfig(**{**MODELS["windows"][0], "image_size": 96, "patch_size": 16}),
                                  prompt_encoder_config=SamPromptEncoderConfig(**{**prompt, "image_size": 96, "patch_size": 16}),
                                  mask_decoder_config=SamMaskDecoderConfig(**{**decoder, "num_attention_heads": 8, "hidden_size": 32, "layer_norm_eps": 1e-5}))))
boxes, points, labels, masks = prompts_of(96, 6)
rest = {n: t for n, t in state_of(network).items() if not n.startswith("vision_encoder.")}
for index, n in enumerate(sorted(rest)):
    rest[n].copy_(weight_for(index, n, tuple(rest[n].shape)))
keep("mobile.boxes", network(image_embeddings=embeddings, input_boxes=boxes, multimask_output=False))
facts["mobile_rest"] = {n: [meta_name(n, 3), list(t.shape)] for n, t in sorted(rest.items())}

# --- pictures -------------------------------------------------------------------------------------------------------------------------


def two_passes(image, height, width):
    """Width first, then height: Pillow up to 12. Newer ones choose the order."""
    return image.resize((width, image.height), Image.BILINEAR).resize((width, height), Image.BILINEAR)


processor = SamProcessor(SamImageProcessorPil())
facts["photos"] = {}
for index, path in enumerate(sorted(pathlib.Path(sys.argv[1]).glob("*.*"))):
    if path.suffix not in (".jpg", ".bmp") or "mask" in path.name:
        continue
    image = Image.open(path).convert("RGB")
    given = processor(image, return_tensors="pt", input_boxes=[[[10.25, 20.5, image.width * 0.75, image.height - 1.0]]])
    height, width = given["reshaped_input_sizes"][0].tolist()
    small = two_passes(image, height, width)
    steps = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1) - (given["pixel_values"][0, :, :height, :width] * torch.tensor(
        [0.229, 0.224, 0.225]).view(3, 1, 1) + torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) * 255
    at = [[c, (7 + 97 * c) % height, (11 + 389 * c) % width] for c in (0, 1, 2)]
    logits = made_up(9100 + index, (1, 2, 256, 256), -4, 4)
    soft = processor.post_process_masks([logits], given["original_sizes"], given["reshaped_input_sizes"], binarize=False)[0]
    places = [[m, (y * 131) % image.height, (y * 173) % image.width] for y in range(12) for m in (0, 1)]
    facts["photos"][path.name] = {
        "index": index, "size": [image.height, image.width], "crc32": zlib.crc32(np.asarray(image).tobytes()), "resized": [height, width],
        "small_crc32": zlib.crc32(np.asarray(small).tobytes()), "farthest_step": float(steps.abs().max()),
        "pixels": [[*p, float(given["pixel_values"][0, p[0], p[1], p[2]])] for p in at], "padding": float(given["pixel_values"][0, :, height:, :].abs().sum() +
                                                                                                       given["pixel_values"][0, :, :, width:].abs().sum()),
        "box": given["input_boxes"][0, 0].tolist(), "object_pixels": [(soft[0, m] > 0).sum().item() for m in (0, 1)],
        "logits": [[*p, float(soft[0, p[0], p[1], p[2]])] for p in places]}
    print(path.name, image.size, (width, height), float(steps.abs().max()), facts["photos"][path.name]["object_pixels"])

facts["sizes"] = [[h, w, *processor.image_processor._get_preprocess_shape((h, w), 1024)] for h, w in
                  ((375, 500), (333, 500), (500, 333), (1024, 1024), (1, 1), (1, 2000), (3000, 7), (427, 640), (1067, 1600), (1365, 2048), (683, 1025), (2049, 1))]
facts["boxes"] = [[h, w, *processor._normalize_coordinates(1024, np.array([[3.3, -7.125, 481.9, 320.75]], dtype=np.float32), (h, w), is_bounding_box=True)[0].tolist()]
                  for h, w in ((375, 500), (333, 500), (1500, 2250), (721, 17))]

# --- a picture from beginning to end, through a tiny model --------------------------------------------------------------------------------
vision, prompt, decoder = MODELS["windows"]
network = fill(SamModel(SamConfig(vision_config=SamVisionConfig(**vision), prompt_encoder_config=SamPromptEncoderConfig(**prompt),
                                  mask_decoder_config=SamMaskDecoderConfig(**decoder))))
tiny_processor = SamProcessor(SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}))
facts["tiny_processor"] = json_files(tiny_processor)
facts["tiny_image_processor"] = json_files(tiny_processor.image_processor)
for name, (height, width) in {"wide": (37, 101), "tall": (90, 41)}.items():
    picture = (hashed(9200, height * width * 3) * 256).astype(np.uint8).reshape(height, width, 3)
    boxes = [[[2.0, 3.0, width / 2, height - 4.0], [0.0, 0.0, float(width), float(height)], [width / 3, 5.5, width - 1.25, height / 2]]]
    given = tiny_processor(Image.fromarray(picture), input_boxes=boxes, return_tensors="pt")
    h, w = given["reshaped_input_sizes"][0].tolist()
    small = np.asarray(two_passes(Image.fromarray(picture), h, w)).astype(np.float32) / 255
    exact = torch.zeros(1, 3, 64, 64)
    exact[0, :, :h, :w] = ((torch.from_numpy(small) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])).permute(2, 0, 1)
    assert (exact - given["pixel_values"]).abs().max() < 1.1 / 255 / 0.224
    result = network(pixel_values=exact, input_boxes=given["input_boxes"].float(), multimask_output=True)
    outputs[f"{name}.pixel_values"], outputs[f"{name}.input_boxes"] = exact, given["input_boxes"].float()
    keep(name, result)
    masks = tiny_processor.post_process_masks(result.pred_masks, given["original_sizes"], given["reshaped_input_sizes"])[0]
    outputs[f"{name}.masks"] = masks.to(torch.uint8)
    print(name, (h, w), masks.float().mean((-1, -2)))

# --- full size: names, shapes, counts ---------------------------------------------------------------------------------------------------
facts["full_size"] = {}
with torch.device("meta"):
    for name, vision in {"vit_b": {}, "vit_l": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, mlp_dim=4096, global_attn_indexes=[5, 11, 17, 23]),
                         "vit_h": dict(hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, mlp_dim=5120, global_attn_indexes=[7, 15, 23, 31])}.items():
        network = SamModel(SamConfig(vision_config=SamVisionConfig(**vision)))
        state = {n: tuple(t.shape) for n, t in state_of(network).items()}
        facts["full_size"][name] = {"parameters": sum(math.prod(s) for s in state.values()), **listing(state)}
NECK = {"neck.0.": "neck.conv1.", "neck.1.": "neck.layer_norm1.", "neck.2.": "neck.conv2.", "neck.3.": "neck.layer_norm2."}
full = tiny_vit_shapes((64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7))
state = {n: s for n, s in state.items() if not n.startswith("vision_encoder.")}
for n, shape in full.items():
    for theirs, ours in NECK.items():
        n = n.replace(theirs, ours) if n.startswith("neck") else n
    state["vision_encoder." + n] = shape
facts["full_size"]["mobile"] = {"parameters": sum(math.prod(s) for n, s in state.items() if "running" not in n), **listing(state)}
for name, value in facts["full_size"].items():
    print(name, value)

save_file({n: t.contiguous() for n, t in outputs.items()}, sys.argv[2])
json.dump(facts, open(sys.argv[3], "w"), indent=0)

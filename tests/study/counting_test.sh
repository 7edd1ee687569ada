#!/usr/bin/env bash
# The paper's study files that run today, counted on datasets that are faked by their lists alone: the genuine numbers of classes and
# pictures, every picture one and the same file. (studies.md's line 1, as far as there are rows.)
#   counting_test.sh DEDA SOURCE_DIR WORK_DIR
set -euo pipefail
program=$1; source=$2; work=$3/counting
rm -rf "$work"; mkdir -p "$work"; cd "$work"
trap 'rm -rf "$work"' EXIT   # 38,000 links
cp -r "$source/configs" .
python3 - "$source/configs/models/toy" <<'PYTHON'
import json, os, pathlib, shutil, struct, sys, zlib

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

side = 64  # a PNG; that it is called .jpg does not matter to what looks at lists and first bytes
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) + chunk(
    b"IDAT", zlib.compress((b"\0" + bytes(3 * side)) * side)) + chunk(b"IEND", b"")
picture = pathlib.Path("one.png")
picture.write_bytes(png)

def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(picture, path)

cub = pathlib.Path("data/CUB_200_2011")
lists = {name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")}
number = 0
for split, count in ((1, 5994), (0, 5794)):
    for i in range(count):
        number += 1
        kind = i % 200
        name = f"{kind + 1:03d}.Bird_{kind}/Bird_{number:05d}.jpg"
        put(cub / "images" / name)
        lists["images"].append(f"{number} {name}\n")
        lists["image_class_labels"].append(f"{number} {kind + 1}\n")
        lists["train_test_split"].append(f"{number} {split}\n")
        lists["bounding_boxes"].append(f"{number} 1.0 1.0 50.0 50.0\n")
for name, lines in lists.items():
    (cub / f"{name}.txt").write_text("".join(lines))
# Waterbirds: the same pictures under the same names.
waterbirds = pathlib.Path("data/waterbird_complete95_forest2water2")
rows = ["img_id,img_filename,y,split,place,place_filename\n"]
for line, split in zip(lists["images"], lists["train_test_split"]):
    picture_number, name = line.split()
    put(waterbirds / name)
    half = int(picture_number) // 2
    rows.append(f"{picture_number},{name},{half % 2},{0 if split.split()[1] == '1' else 2},{half // 2 % 2},/a/b/{picture_number}.jpg\n")
(waterbirds / "metadata.csv").write_text("".join(rows))
(cub / "classes.txt").write_text("".join(f"{i + 1} {i + 1:03d}.Bird_{i}\n" for i in range(200)))

aircraft = pathlib.Path("data/fgvc-aircraft-2013b/data")
aircraft.mkdir(parents=True)
(aircraft / "variants.txt").write_text("".join(f"variant {i}\n" for i in range(100)))
number, boxes = 0, []
for split, count in (("trainval", 6667), ("test", 3333)):
    lines = []
    for i in range(count):
        number += 1
        put(aircraft / "images" / f"{number:07d}.jpg")
        lines.append(f"{number:07d} variant {i % 100}\n")
        boxes.append(f"{number:07d} 1 1 50 50\n")
    (aircraft / f"images_variant_{split}.txt").write_text("".join(lines))
(aircraft / "images_box.txt").write_text("".join(boxes))

cars = pathlib.Path("data/stanford_cars")
rows = ["fname,class,x1,y1,x2,y2,split\n"]
for split, count in (("train", 8144), ("test", 8041)):
    for i in range(count):
        name = f"cars_{split}/{i + 1:05d}.jpg"
        put(cars / name)
        rows.append(f"{name},{i % 196 + 1},1,1,50,50,{split}\n")
(cars / "cars.csv").write_text("".join(rows))

weights = pathlib.Path("weights")
shutil.copytree(sys.argv[1], weights / "sd15")
shutil.copytree(sys.argv[1], weights / "instruct-pix2pix")
clip = weights / "clip-vit-base-patch32"
clip.mkdir()
for name in ("config.json", "model.safetensors", "preprocessor_config.json", "vocab.json", "merges.txt"):
    (clip / name).write_text("{}")
extra = weights / "layerdiffuse"
extra.mkdir()
for ours, theirs in (("transparent_encoder", "layer_sd15_vae_transparent_encoder"), ("transparent_decoder", "layer_sd15_vae_transparent_decoder")):
    shutil.copy(weights / "sd15" / f"{ours}.safetensors", extra / f"{theirs}.safetensors")
header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
for name in (extra / "layer_sd15_transparent_attn", weights / "vit_b_16_swag", weights / "resnet50"):
    pathlib.Path(f"{name}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
PYTHON

problems=0
# expect FILE LISTED DISTINCT [WHY]: what `deda study plan` counts.
expect() {
  local study=configs/studies/paper/$1.toml begin=$EPOCHREALTIME said end
  said=$("$program" study plan "$study" 2>&1) || { echo "FAILED: $1: $said"; problems=$((problems + 1)); return 0; }
  end=$EPOCHREALTIME
  said=$(grep '^study ' <<<"$said")
  printf '%s   (%.1f s)\n' "$said" "$(awk -v a="$begin" -v b="$end" 'BEGIN { print b - a }')"
  grep -qE ", $2 runs listed, $3 distinct" <<<"$said" || { echo "FAILED: $1: wanted $2 listed, $3 distinct"; problems=$((problems + 1)); }
  if [ -n "${4:-}" ]; then grep -qF "$4" <<<"$said" || { echo "FAILED: $1: does not say \"$4\""; problems=$((problems + 1)); }; fi
}
cat >configs/studies/paper/all_of_them.toml <<'TOML'
include = ["table2.toml", "table3.toml", "table4.toml", "table8.toml", "figure7.toml", "figure8.toml", "figure9.toml"]
[study]
name = "all_of_them"
output = "runs/paper"
TOML
expect table2 108 108
expect table3 33 33
expect table4 36 36
expect table5 8 8
expect table8 12 12
expect figure7 12 12
# Of each sweep the point where the paper's setting stands is one and the same run, of each dataset.
expect figure8 45 39 "3 of b: p_syn are in a: p_aug, 3 of c: p_mix are in a: p_aug"
expect figure9 7 7
# Vanilla and De-DA with ResNet-18 stand in table 2 already: 6 points of p_aug, 3 of p_syn and p_mix each, 6 of figure 7, 3 of table 8, rows a and g of
# figure 9; its row f is p_mix = 0. Together 24.
expect all_of_them 253 229 "1 of figure 9 are in c: p_mix, 2 of figure 9 are in table 2, 3 of table 8 are in table 2"
exit $((problems > 0))

#!/usr/bin/env bash
# The program itself on the pretended GPU (tests/pretended_device): every stage with device = "cuda", then again with recorded
# graphs. Both runs leave the same bytes, and what the log says is that they ran there.
#   pretended_pipeline_test.sh DEDA PLUGIN_FOLDER SOURCE_FOLDER
set -euo pipefail
deda=$1; plugins=$2; source_folder=$3
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
export DEDA_PLUGIN_DIR=$plugins OMP_NUM_THREADS=1

settings=(--config "$source_folder/tests/device/pipeline.toml" --set "dataset.root=\"$work/toy\"" --set "models.base=\"$source_folder/configs/models/toy\""
  --set 'models.device="cuda"' --set 'train.device="cuda"')
"$deda" toy "${settings[@]}" --out "$work/plain" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

stages() {   # stages RUN [settings]
  local run=$1 stage; shift
  for stage in decouple invert generate train; do
    "$deda" "$stage" "${settings[@]}" "$@" --out "$work/$run" >"$work/$run.$stage.log" 2>&1 || { cat "$work/$run.$stage.log"; exit 1; }
  done
}
expect() {   # expect FILE TEXT
  grep -qF "$2" "$1" || { echo "missing in $1: $2"; cat "$1"; exit 1; }
}

stages plain
stages graphs --set models.captured_graphs=true --set train.captured_graphs=true
for stage in invert generate train; do expect "$work/plain.$stage.log" "on GPU 0 (pretended GPU)"; done
expect "$work/graphs.generate.log" "a step of the UNet is recorded as one graph"
expect "$work/graphs.train.log" "the training step is recorded as one graph"

compared=0
while read -r file; do
  cmp "$work/plain/$file" "$work/graphs/$file"
  compared=$((compared + 1))
done < <(cd "$work/plain" && find invert-* generate-* train-* \( -name '*.safetensors' -o -name '*.h5' -o -name 'history.csv' -o -name 'class-*.csv' \) ! -name 'checkpoint-*')
[ "$compared" -ge 12 ] || { echo "only $compared files were compared"; exit 1; }
echo "$compared files are the same with and without recorded graphs"

# Methods that mix beside the network: on the pretended GPU as on the CPU. Rounding in saliency can make graph cuts choose otherwise, Co-Mixup's one after
# the other, so that losses agree to per cent only; that equal choices give equal pictures is tests/training/block_mixers_test.cpp's.
loss_of() { awk -F, 'NR == 2 { print $3 }' "$work/$1"/train-*/history.csv; }
for method in snapmix puzzlemix comixup guided-sr guided-ap; do
  for device in cpu cuda; do
    "$deda" train "${settings[@]}" --set "train.device=\"$device\"" --set "augment.method=\"$method\"" --set train.epochs=1 --set 'train.milestones=[]' \
      --set train.batch_size=48 --out "$work/$method-$device" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  done
  awk -v a="$(loss_of "$method-cpu")" -v b="$(loss_of "$method-cuda")" -v name="$method" -v share="$(case $method in comixup) echo 0.1 ;; puzzlemix) echo 0.01 ;; *) echo 0.001 ;; esac)" \
    'BEGIN { print name ": loss " a " on the CPU, " b " on the pretended GPU"; exit !(a > 0 && (a - b < share * a) && (b - a < share * a)) }'
done

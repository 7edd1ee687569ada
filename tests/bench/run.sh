#!/usr/bin/env bash
# All benchmarks, each a table of ratios measured in one run. On a busy machine they say so (load average): run them alone.
source "$(dirname "${BASH_SOURCE[0]}")/../../cmake/setup.sh"
deda_setup run
deda_build bench_store bench_compose bench_operations bench_training bench_mixing bench_mixing_solvers bench_eager bench_reducer bench_inversion bench_tuning bench_generation bench_sam bench_clip bench_decouple
deda_mpi_environment
export OMP_NUM_THREADS=1
work=$(mktemp -d "$deda_build_dir/bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
for bench in "$deda_build_dir/tests/bench/bench_compose" "$deda_build_dir/tests/bench/bench_operations" "$deda_build_dir/tests/bench/bench_store $work" "mpirun -n 2 $deda_build_dir/tests/bench/bench_reducer" \
  "$deda_build_dir/tests/bench/bench_training" "mpirun -n 2 $deda_build_dir/tests/bench/bench_training" "$deda_build_dir/tests/bench/bench_mixing_solvers" \
  "$deda_build_dir/tests/bench/bench_mixing mixup" "$deda_build_dir/tests/bench/bench_mixing cutmix" "$deda_build_dir/tests/bench/bench_mixing saliencymix" \
  "$deda_build_dir/tests/bench/bench_mixing guided-sr" "$deda_build_dir/tests/bench/bench_mixing guided-ap" "$deda_build_dir/tests/bench/bench_inversion" "$deda_build_dir/tests/bench/bench_tuning" \
  "$deda_build_dir/tests/bench/bench_generation" "$deda_build_dir/tests/bench/bench_sam b" "$deda_build_dir/tests/bench/bench_sam mobile"; do
  # shellcheck disable=SC2086
  $bench
  echo
done

if python3 -c 'import torch, torchvision' 2>/dev/null; then
  python3 "$deda_root/tests/bench/eager_bench.py" "$deda_build_dir/tests/bench/bench_eager"
else
  echo "against PyTorch eager: not measured, there is no python3 with torch and torchvision"
fi

if python3 -c 'import torch, transformers' 2>/dev/null; then
  python3 "$deda_root/tests/bench/clip_bench.py" "$deda_build_dir/tests/bench/bench_clip"
else
  echo "CLIP against transformers: not measured, there is no python3 with torch and transformers"
fi

data=$deda_root/../shared/data
if [ -d "$data/pets" ] && [ -d "$data/weights/deeplabv3_mnv2_pascal" ]; then
  decouple=("$deda_build_dir/tests/bench/bench_decouple" "$data/weights/deeplabv3_mnv2_pascal" "$data/pets")
  "${decouple[@]}" "$work/alone" 40
  "${decouple[@]}" "$work/beside" 60 2 5 1  # one thread in the network as a device would be, one for all the rest
  mpirun -n 2 "${decouple[@]}" "$work/two" 80
else
  echo "decoupling: not measured, there are no real pictures and weights at $data"
fi

#!/usr/bin/env bash
# Trainings with image-mixing methods, killed and continued: the same bytes of weights and the same history as undisturbed ones. One method on 8-bit
# pixels, one that pairs greedily by the network's gradients, one with graph cuts; the second on two ranks with batch norm over both.
#   mixing_restart_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1; source_dir=$2; work=$3/run-mixing
rm -rf "$work"; mkdir -p "$work"; cd "$work"
problems=0; killed=0
fail() { echo "FAILED: $*"; problems=$((problems + 1)); }
settings=(--config "$source_dir/tests/restart/pipeline.toml" --set "dataset.root=\"$work/toy\"" --set toy.train_per_class=12 --set augment.resize_shorter=36 --set augment.crop=32 --set train.epochs=4 --set "train.milestones=[3]"
          --set train.batch_norm=global --set train.checkpoint_every=1)
timeout 60 "$program" toy "${settings[@]}" >>log 2>&1 || fail toy
weights() { ls "$1"/train-*/last.safetensors; }

check() {  # check METHOD RANKS KEY
  local method=$1 ranks=$2 key=$3 started launcher victim
  local of_method=("${settings[@]}" --set "augment.method=$method" --set "augment.$method.$key=0.75")
  timeout 120 mpirun -n "$ranks" "$program" train "${of_method[@]}" --out "$work/$method" >>log 2>&1 || fail "$method: undisturbed"
  mpirun -n "$ranks" "$program" train "${of_method[@]}" --out "$work/$method-killed" >>log 2>&1 &
  launcher=$!
  # In the middle of an epoch after the first: something is there to continue from, and something is lost.
  for _ in $(seq 3000); do
    [ "$(ls "$work/$method-killed"/train-*/checkpoint-*.safetensors 2>/dev/null | wc -l)" -ge 1 ] && break
    kill -0 $launcher 2>/dev/null || break; sleep 0.01
  done
  sleep 0.05
  victim=$(pgrep -P $launcher -f "$method-killed" | tail -n 1)
  [ -n "$victim" ] && kill -9 "$victim" 2>/dev/null && killed=$((killed + 1))
  started=$SECONDS
  wait $launcher
  [ $((SECONDS - started)) -lt 30 ] || fail "$method: the job outlived its dead rank by more than 30 s"
  timeout 120 mpirun -n "$ranks" "$program" train "${of_method[@]}" --out "$work/$method-killed" >>log 2>&1 || fail "$method: cannot continue"
  cmp "$(weights "$work/$method")" "$(weights "$work/$method-killed")" || fail "$method: other weights than undisturbed"
  cmp "$work/$method"/train-*/history.csv "$work/$method-killed"/train-*/history.csv || fail "$method: another history than undisturbed"
}
check cutmix 1 mix_probability
check guided-sr 2 mix_probability
check comixup 1 clean_weight
[ "$killed" -ge 2 ] || fail "only $killed of 3 trainings were killed while they ran"

[ $problems -eq 0 ] || tail -n 30 log
exit $((problems > 0))

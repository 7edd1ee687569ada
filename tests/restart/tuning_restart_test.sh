#!/usr/bin/env bash
# `deda tune` with the toy model, on whole pictures of the toy dataset: words and LoRA of 1, 2 and 3 ranks are the same numbers, and the same bytes after kill -9 of
# a rank at random moments, when as many ranks go on.
#   tuning_restart_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1; source_dir=$2; work=$3/tuning
rm -rf "$work"; mkdir -p "$work"; cd "$work"
problems=0; killed=0
fail() { echo "FAILED: $*"; problems=$((problems + 1)); }
few=(--config "$source_dir/tests/restart/generation.toml" --set "dataset.root=\"$work/few\"" --set "models.base=\"$source_dir/configs/models/toy\"" --set 'augment.method="diff-mix"'
     --set tune.steps=24 --set tune.batch=6 --set tune.micro_batch=2 --set tune.rank=4 --set tune.resolution=64 --set tune.checkpoint_every=5 --set 'tune.init_word="beetle"' --set tune.report_every=4)
make() {  # make RANKS OUT SUBCOMMAND
  timeout 120 mpirun -n "$1" "$program" "$3" "${few[@]}" --out "$2" >>"$work/log" 2>&1
}
make 1 "$work/few-out" toy || fail "toy"
for ranks in 1 2 3; do
  make $ranks "$work/made$ranks" tune || fail "tune on $ranks ranks"
  # Sums are rounded once, from float64: only where one falls just between two floats may a last digit differ.
  for file in "$work"/made1/tune-*/*.csv; do
    paste -d, "$file" "$work/made$ranks"/tune-*/"$(basename "$file")" | awk -F, -v name="$ranks ranks" '
      NR > 1 { for (i = 1; i <= 3; ++i) { d = $i - $(i + 3); if (d < 0) d = -d; if (d > 1e-5 * ($i + 1e-9)) bad = 1 } } END { exit bad }' || fail "tune on $ranks ranks: another loss curve than one rank alone"
  done
done
started=$SECONDS
make 1 "$work/made1" tune || fail "a finished tuning called again"
[ $((SECONDS - started)) -lt 10 ] || fail "a finished tuning called again took $((SECONDS - started)) s"
for trial in 1 2; do
  out=$work/killed$trial; ranks=$((1 + trial))
  mpirun -n $ranks "$program" tune "${few[@]}" --out "$out" >>"$work/log" 2>&1 &
  launcher=$!
  # From the first checkpoint on, later in the second trial.
  for _ in $(seq 3000); do ls "$out"/tune-*/work/tuning-*.safetensors >/dev/null 2>&1 && break; kill -0 $launcher 2>/dev/null || break; sleep 0.01; done
  sleep "0.$((trial * 2))"
  victim=$(pgrep -P $launcher -f "$out" | tail -n 1)
  [ -n "$victim" ] && kill -9 "$victim" 2>/dev/null && killed=$((killed + 1))
  wait $launcher
  make $ranks "$out" tune || fail "tune, trial $trial: cannot continue"
  diff -rq --exclude='events-*' "$work/made$ranks"/tune-* "$out"/tune-* || fail "tune on $ranks ranks, killed: other bytes than undisturbed"
done
[ "$killed" -ge 1 ] || fail "no trial hit a running rank"

[ $problems -eq 0 ] || tail -n 30 "$work/log"
exit $((problems > 0))

#!/usr/bin/env bash
# The program itself, killed and continued, at several numbers of ranks:
#   stores of `deda decouple` are the same bytes at 1, 2, 3 and 4 ranks, and after kill -9 of a rank at random moments;
#   draws of `deda train` (samples, geometry, labels' areas) are the same at 1, 2 and 4 ranks.
#   pipeline_restart_test.sh PROGRAM SOURCE_DIR WORK_DIR [network]
# With "network" the stores alone, with masks of a network on genuine pictures (77: skipped, where there are none).
set -uo pipefail
program=$1; source_dir=$2; masks=${4:-annotated}; work=$3/run-$masks
rm -rf "$work"; mkdir -p "$work"; cd "$work"
problems=0
fail() { echo "FAILED: $*"; problems=$((problems + 1)); }
settings=(--config "$source_dir/tests/restart/pipeline.toml" --set "dataset.root=\"$work/toy\"")
run() {  # run RANKS OUT ARGS...
  local ranks=$1 out=$2; shift 2
  timeout 60 mpirun -n "$ranks" "$program" "$@" "${settings[@]}" --out "$out" >>"$work/log" 2>&1
}
same_store() { diff -rq --exclude='events-*' "$1/one"/decouple-* "$2"/decouple-* || fail "$3: another store than one rank alone"; }

killed=0
# The store of the settings on one rank and at other numbers, then TRIALS times killed at a moment between start and end, another one each time.
check_stores() {  # check_stores FOLDER TRIALS "RANKS ..."
  local base=$1 trials=$2 numbers=$3 ranks trial out launcher victim started
  run 1 "$base/one" decouple || fail "$base: decouple on one rank"
  for ranks in $numbers; do
    run $ranks "$base/ranks$ranks" decouple || fail "$base: decouple on $ranks ranks"
    same_store "$base" "$base/ranks$ranks" "$base, $ranks ranks"
  done
  for trial in $(seq "$trials"); do
    out=$base/killed$trial
    mpirun -n 2 "$program" decouple "${settings[@]}" --out "$out" >>"$work/log" 2>&1 &
    launcher=$!
    for _ in $(seq 1000); do ls "$out"/decouple-*/segment-*.h5 >/dev/null 2>&1 && break; kill -0 $launcher 2>/dev/null || break; sleep 0.01; done
    sleep "0.0$((trial * 13 % 10))"
    victim=$(pgrep -P $launcher -f "$out" | head -n 1)
    [ -n "$victim" ] && kill -9 "$victim" 2>/dev/null && killed=$((killed + 1))
    started=$SECONDS
    wait $launcher
    [ $((SECONDS - started)) -lt 30 ] || fail "$out: the job outlived its dead rank by more than 30 s"
    run $((1 + trial % 3)) "$out" decouple || fail "$out: cannot continue"
    same_store "$base" "$out" "$out"
  done
}

if [ "$masks" = network ]; then
  data=${DEDA_TEST_DATA:-$source_dir/../shared/data}
  for needed in "$data/pets_fewshot" "$data/weights/deeplabv3_mnv2_pascal"; do
    [ -d "$needed" ] || { echo "skipped: there is no $needed"; exit 77; }
  done
  settings=(--set dataset.layout=pets --set "dataset.root=\"$data/pets_fewshot\"" --set 'decouple.sources=["semantic"]' --set decouple.items_per_segment=6
            --set "decouple.deeplab=\"$data/weights/deeplabv3_mnv2_pascal\"" --set decouple.device=cpu --set run.threads=1)
  check_stores "$work/network" 2 "2 4"
  [ "$killed" -ge 1 ] || fail "only $killed of 2 trials hit a running rank"
  [ $problems -eq 0 ] || tail -n 30 "$work/log"
  exit $((problems > 0))
fi

run 2 "$work/one" toy || fail "toy"
check_stores "$work" 5 "2 3 4"
[ "$killed" -ge 2 ] || fail "only $killed of 5 trials hit a running rank"
for ranks in 1 2 4; do run $ranks "$work/one" train --trace "$work/draws$ranks" --trace-draws 96 || fail "draws on $ranks ranks"; done
for ranks in 2 4; do diff -rq "$work/draws1" "$work/draws$ranks" || fail "draws differ between 1 and $ranks ranks"; done
[ "$(cat "$work"/draws1/* 2>/dev/null | wc -l)" -ge 96 ] || fail "fewer draws than asked for"

[ $problems -eq 0 ] || tail -n 30 "$work/log"
exit $((problems > 0))

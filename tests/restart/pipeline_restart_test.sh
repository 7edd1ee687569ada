#!/usr/bin/env bash
# The program itself, killed and continued, at several numbers of ranks:
#   stores of `deda decouple` are the same bytes at 1, 2, 3 and 4 ranks, and after kill -9 of a rank at random moments;
#   draws of `deda train` (samples, geometry, labels' areas) are the same at 1, 2 and 4 ranks.
#   pipeline_restart_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1; source_dir=$2; work=$3/run
rm -rf "$work"; mkdir -p "$work"; cd "$work"
problems=0
fail() { echo "FAILED: $*"; problems=$((problems + 1)); }
settings=(--config "$source_dir/tests/restart/pipeline.toml" --set "dataset.root=\"$work/toy\"")
run() {  # run RANKS OUT ARGS...
  local ranks=$1 out=$2; shift 2
  timeout 60 mpirun -n "$ranks" "$program" "$@" "${settings[@]}" --out "$out" >>"$work/log" 2>&1
}
same_store() { diff -rq --exclude='events-*' "$work/one"/decouple-* "$1"/decouple-* || fail "$2: another store than one rank alone"; }

run 2 "$work/one" toy || fail "toy"
run 1 "$work/one" decouple || fail "decouple on one rank"
for ranks in 2 3 4; do
  run $ranks "$work/ranks$ranks" decouple || fail "decouple on $ranks ranks"
  same_store "$work/ranks$ranks" "$ranks ranks"
done

killed=0
for trial in 1 2 3 4 5; do
  out=$work/killed$trial
  mpirun -n 2 "$program" decouple "${settings[@]}" --out "$out" >>"$work/log" 2>&1 &
  launcher=$!
  # At a moment between start and end, another one in each trial.
  for _ in $(seq 200); do ls "$out"/decouple-*/segment-*.h5 >/dev/null 2>&1 && break; kill -0 $launcher 2>/dev/null || break; sleep 0.01; done
  sleep "0.0$((trial * 13 % 10))"
  victim=$(pgrep -P $launcher -f "$out" | head -n 1)
  [ -n "$victim" ] && kill -9 "$victim" 2>/dev/null && killed=$((killed + 1))
  started=$SECONDS
  wait $launcher
  [ $((SECONDS - started)) -lt 30 ] || fail "trial $trial: the job outlived its dead rank by more than 30 s"
  run $((1 + trial % 3)) "$out" decouple || fail "trial $trial: cannot continue"
  same_store "$out" "trial $trial"
done
[ "$killed" -ge 2 ] || fail "only $killed of 5 trials hit a running rank"

for ranks in 1 2 4; do run $ranks "$work/one" train --trace "$work/draws$ranks" --trace-draws 96 || fail "draws on $ranks ranks"; done
for ranks in 2 4; do diff -rq "$work/draws1" "$work/draws$ranks" || fail "draws differ between 1 and $ranks ranks"; done
[ "$(cat "$work"/draws1/* 2>/dev/null | wc -l)" -ge 96 ] || fail "fewer draws than asked for"

[ $problems -eq 0 ] || tail -n 30 "$work/log"
exit $((problems > 0))

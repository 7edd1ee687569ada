#!/usr/bin/env bash
# The generative half of the program with the toy model, killed and continued, at several numbers of ranks: identifiers of
# `deda invert` and stores of `deda generate` are the same bytes at 1, 2 and 3 ranks and after kill -9 of a rank at random moments.
#   generation_restart_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1; source_dir=$2; work=$3/generation
rm -rf "$work"; mkdir -p "$work"; cd "$work"
problems=0
fail() { echo "FAILED: $*"; problems=$((problems + 1)); }
few=(--config "$source_dir/tests/restart/generation.toml" --set "dataset.root=\"$work/few\"" --set "models.base=\"$source_dir/configs/models/toy\"")
make() {  # make RANKS OUT SUBCOMMAND
  timeout 120 mpirun -n "$1" "$program" "$3" "${few[@]}" --out "$2" >>"$work/log" 2>&1
}
same_stage() {  # same_stage STAGE OUT WHAT
  diff -rq --exclude='events-*' "$work/made1/$1"-* "$2/$1"-* || fail "$3: other bytes than one rank alone"
}
make 1 "$work/few-out" toy || fail "toy for the generative half"
for ranks in 1 2 3; do
  out=$work/made$ranks
  for stage in decouple invert generate; do make $ranks "$out" $stage || fail "$stage on $ranks ranks"; done
  same_stage invert "$out" "invert on $ranks ranks"
  same_stage generate "$out" "generate on $ranks ranks"
done
started=$SECONDS
make 1 "$work/made1" invert && make 1 "$work/made1" generate || fail "finished stages called again"
[ $((SECONDS - started)) -lt 10 ] || fail "finished stages called again took $((SECONDS - started)) s"
killed=0
for stage in invert generate; do
  for trial in 1 2; do
    out=$work/killed-$stage$trial
    make 1 "$out" decouple || fail "decouple for $stage"
    if [ $stage = generate ]; then make 2 "$out" invert || fail "invert before generate"; fi
    mpirun -n 2 "$program" $stage "${few[@]}" --out "$out" >>"$work/log" 2>&1 &
    launcher=$!
    # From the first sign of work on, later in the second trial.
    for _ in $(seq 600); do ls "$out"/$stage-*/events-*.jsonl >/dev/null 2>&1 && break; kill -0 $launcher 2>/dev/null || break; sleep 0.02; done
    sleep "$((trial - 1)).$((trial * 3))"
    victim=$(pgrep -P $launcher -f "$out" | tail -n 1)
    [ -n "$victim" ] && kill -9 "$victim" 2>/dev/null && killed=$((killed + 1))
    wait $launcher
    make $((1 + trial)) "$out" $stage || fail "$stage, trial $trial: cannot continue"
    same_stage $stage "$out" "$stage, killed in trial $trial"
  done
done
[ "$killed" -ge 2 ] || fail "only $killed of 4 trials of the generative half hit a running rank"

[ $problems -eq 0 ] || tail -n 30 "$work/log"
exit $((problems > 0))

#!/usr/bin/env bash
# Studies on odd file systems, by fake stages: the same folder under two mounts, and a disk that is full while a study runs.
#   mounts_test.sh FAKE_STUDY PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
fake=$1 program=$2 source_dir=$3 work=$4/mounts
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root to mount"
rm -rf "$work" 2>/dev/null; mkdir -p "$work/real" "$work/other" "$work/small"; cd "$work" || exit 1
unshare --mount true 2>/dev/null || skip "this machine does not let us mount"
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; problems=$((problems + 1)); fi; }
times_started() { cat "$1"/*/starts | wc -l; }

# Another mount, in a namespace of its own, as another node has it.
for driver in 1 2; do timeout 100 "$fake" "$work/real/out" local 30 0.2 1 >"log.$driver" 2>&1 & pids[$driver]=$!; done
timeout 100 unshare --mount bash -c "mount --bind '$work/real' '$work/other' && exec '$fake' '$work/other/out' local 30 0.2 1" >log.3 2>&1 & pids[3]=$!
for driver in 1 2 3; do wait "${pids[$driver]}"; check "two mounts: driver $driver ends well" test $? = 0; done
check "two mounts: each item started once" test "$(times_started real/out)" = 30
check "two mounts: the driver behind the second one worked too" grep -q "done  train-" log.3
echo "two mounts: 30 items, $(times_started real/out) starts, $(grep -c 'done  train-' log.1 log.2 log.3 | tr '\n' ' ')"

# A disk that becomes full and is emptied again.
unshare --mount bash -s <<S
set -u
mount -t tmpfs -o size=1m none '$work/small' || exit 77
timeout 100 '$fake' '$work/small/out' local 8 1 2 >'$work/log.full' 2>&1 & driver=\$!
sleep 1.5
dd if=/dev/zero of='$work/small/filler' bs=4k 2>/dev/null
wait \$driver; echo \$? >'$work/full.code'
cat '$work/small'/out/*/results.json 2>/dev/null | wc -l >'$work/full.before'
timeout 60 '$program' study plan --config '$source_dir/configs/demo.toml' --set augment.p_syn=0 --vary augment.p_aug=0,1 --out '$work/small/other' >'$work/log.plan' 2>&1; echo \$? >'$work/plan.code'
rm '$work/small/filler'
timeout 100 '$fake' '$work/small/out' local 8 1 2 >'$work/log.emptied' 2>&1; echo \$? >'$work/emptied.code'
cat '$work/small'/out/*/results.json | wc -l >'$work/full.after'
S
check "full disk: the study ends with an error" test "$(cat full.code)" = 1
check "full disk: it names the file and the reason" grep -q "$work/small/out.*No space left" log.full
check "full disk: planning says so too" grep -q "$work/small/other.*No space left" log.plan
check "full disk: and does not succeed" test "$(cat plan.code)" -ne 0
check "full disk: emptied, the next call finishes" test "$(cat emptied.code)" = 0
check "full disk: nothing that was finished is lost" test "$(cat full.after)" = 8
echo "full disk: $(cat full.before) of 8 items done when it ended; $(cat full.after) after the next call"
if [ "$problems" -gt 0 ]; then tail -n 15 log.*; fi
exit $((problems > 0))

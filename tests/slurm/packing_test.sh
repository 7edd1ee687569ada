#!/usr/bin/env bash
# However a job was asked for, a study uses all of its GPUs at once: eight items of one GPU on two nodes with four pretended GPUs each run at the same
# time, each on a GPU of its own, and no step waits for another. Then: how long a GPU stands idle between two items, and what the driver asks of slurmctld.
#   packing_test.sh FAKE_STUDY WORK_DIR
# DEDA_TEST_ALL=1: six ways of asking instead of two.
set -uo pipefail
# shellcheck disable=SC2034  # for study_test_functions.sh
program=$1; work=$2/packing
# shellcheck source=study_test_functions.sh
source "$(dirname "${BASH_SOURCE[0]}")/study_test_functions.sh"

# The first two differ in all that a step may inherit: the node's GPUs, or a count of them that srun takes as its own request.
forms=("-N2 --gres=gpu:4 --exclusive" "-N2 --gpus-per-node=4 --ntasks-per-node=1 -c8")
if [ "${DEDA_TEST_ALL:-0}" = 1 ]; then
  forms+=("-n8 --gpus-per-task=1" "--ntasks-per-gpu=1 --gpus=8" "-N2 --gpus-per-node=v100:4 -c8" "-N2 --exclusive --mem=0 --gres=gpu:4")
fi

waited() { grep -l "step creation" "$1"/log "$1"/out/study-fake/logs/* 2>/dev/null; }

for number in "${!forms[@]}"; do
  form=${forms[number]} folder=$work/form$number
  job=$(submit "$folder" "$form" 8 4) || { failed "sbatch $form: refused"; continue; }
  wait_until 90 test -e "$folder/ended" || { failed "sbatch $form: did not end"; scancel "$job"; tail -n 20 "$folder/log"; continue; }
  events "$folder" >"$folder/events"
  # The most that ran at one moment is reached where one begins.
  peak=$(awk '{ begin[NR] = $1; end[NR] = $2 }
    END { for (i in begin) { n = 0; for (j in begin) n += (begin[j] <= begin[i] && begin[i] < end[j]); if (n > most) most = n }; print most + 0 }' "$folder/events")
  devices=$(cut -d' ' -f3- "$folder/events" | sort -u | wc -l)
  printf '%-55s %s at once, %s devices of 8, code %s (load %s)\n' "sbatch $form" "$peak" "$devices" "$(cat "$folder/ended")" "$(load)"
  check "sbatch $form: ends with 0" [ "$(cat "$folder/ended")" = 0 ]
  check "sbatch $form: all eight at once" [ "$peak" = 8 ]
  check "sbatch $form: each device once" [ "$devices" = 8 ]
  check "sbatch $form: one GPU each" awk '$4 !~ /^[0-3]$/ { bad = 1 } END { exit bad }' "$folder/events"
  check "sbatch $form: no step waits ($(waited "$folder" | tr '\n' ' '))" [ -z "$(waited "$folder")" ]
done

# Idle times. The slot is the GPU that Slurm gave, so the time holds all between two stages: the driver's look, its ledger, srun, the step's start.
folder=$work/idle
sdiag -r >/dev/null
begin=$(date +%s.%N)
job=$(submit "$folder" "-N2 --gres=gpu:4 --exclusive" 24 2)
if wait_until 120 test -e "$folder/ended"; then
  sdiag >"$folder/sdiag"
  events "$folder" >"$folder/events"
  awk -v load="$(load)" '{ slot = $3 " " $4; if (slot in ended) print $1 - ended[slot]; ended[slot] = $2 }' "$folder/events" | sort -n >"$folder/idle_times"
  median=$(awk '{ t[NR] = $1 } END { print NR ? t[int((NR + 1) / 2)] : "none" }' "$folder/idle_times")
  echo "24 items of 2 s on 8 GPUs: idle between two items $median s in the median of $(wc -l <"$folder/idle_times") (goal: at most 1.0 s), at most $(tail -n 1 "$folder/idle_times") s; load $(load)"
  check "24 items: ends with 0" [ "$(cat "$folder/ended")" = 0 ]
  check "24 items: idle times are there" [ "$(wc -l <"$folder/idle_times")" -ge 12 ]
  # On a machine that is busy with other things the time says nothing about the driver.
  if awk -v load="$(load)" -v cores="$(nproc)" 'BEGIN { exit !(load < cores) }'; then
    check "24 items: idle at most 1.0 s in the median" awk -v m="$median" 'BEGIN { exit !(m <= 1.0) }'
  fi
  # What the controller was asked besides the steps themselves, by all but its own nodes. sbatch of this job is one of them.
  awk '/^Remote Procedure Call statistics by message type/ { on = 1; next } /^Remote Procedure Call statistics by user|^Pending/ { on = 0 }
    on && match($0, /count:[0-9]+/) { print $1, substr($0, RSTART + 6, RLENGTH - 6) }' "$folder/sdiag" >"$folder/calls"
  awk '$1 ~ /STEP|JOB_PACK_ALLOC|HET_JOB_ALLOC/ { steps += $2; next } $1 ~ /SUBMIT|NODE_REGISTRATION|STATS|EPILOG|COMPLETE|PING|PARTITION/ { next } { others += $2; names = names " " $1 ":" $2 }
    END { print steps + 0, others + 0, names }' "$folder/calls" >"$folder/calls_counted"
  read -r steps others names <"$folder/calls_counted"
  took=$(awk -v b="$begin" -v e="$(stat -c %.3Y "$folder/ended")" 'BEGIN { print e - b }')
  echo "calls of slurmctld in $took s: $steps for 24 steps, $others others ($names)"
  check "24 items: at most 4 calls a minute besides steps" awk -v n="$others" -v s="$took" 'BEGIN { m = int(s / 60) + 1; exit !(n <= 4 * m) }'
  # Starts that follow each other at once are kept apart by the launcher.
  starts_per_s=$(cut -d' ' -f1 "$folder/events" | cut -d. -f1 | sort | uniq -c | awk '$1 > most { most = $1 } END { print most }')
  echo "most steps that began in one second: $starts_per_s"
else
  failed "24 items: did not end"; scancel "$job"; tail -n 20 "$folder/log"
fi

if [ "$problems" -ne 0 ]; then echo "--- slurmctld"; tail -n 20 "$cluster/slurmctld.log"; for log in "$work"/*/log; do echo "--- $log"; tail -n 15 "$log"; done; fi
exit $((problems > 0))

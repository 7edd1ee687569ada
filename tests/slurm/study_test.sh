#!/usr/bin/env bash
# slurm/study.sbatch on a real two-node Slurm: it runs all stages, trainings on both nodes at once; told to stop in the middle of them it
# leaves with 75, requeues itself, continues, and ends with the bytes and the tables of a study that nobody disturbed; which are those of the
# same study without Slurm.
#   study_test.sh SOURCE_DIR PROGRAM WORK_DIR
set -uo pipefail
source_dir=$1; program=$2; work=$3/run
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=on_two_nodes.sh
source "$here/on_two_nodes.sh"
export DEDA_HOME=$source_dir DEDA_BIN=$program

state_of() { scontrol -o show job "$1" 2>/dev/null | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p'; }
wait_for() {  # wait_for JOB SECONDS: until it has ended
  local i
  for ((i = 0; i < $2 * 2; ++i)); do
    case $(state_of "$1") in COMPLETED) return 0 ;; FAILED | TIMEOUT | NODE_FAIL) return 1 ;; esac
    sleep 0.5
  done
  return 1
}
submit() {    # submit OUTPUT: prints the job number
  sbatch --parsable -N 2 --ntasks-per-node 1 -t 10 -o "$1.log" "$source_dir/slurm/study.sbatch" --config "$here/study.toml" \
    --name two --set augment.method=deda --seeds 1-2 --set "dataset.root=\"$1/toy\"" --out "$1"
}

# Undisturbed.
quiet=$(submit "$work/quiet") || { echo "sbatch refused"; exit 1; }
check "the undisturbed job completes" wait_for "$quiet" 150
for node in dn1 dn2; do check "a training ran on $node" grep -q "start train-.* on $node" "$work/quiet.log"; done
check "no step waited for another" bash -c "! grep -rq 'step creation' '$work/quiet/study-two/logs'"
check "it wrote its report" test -s "$work/quiet/study-two/report/report.html"

# Told to stop while it trains.
stopped=$(submit "$work/stopped")
for _ in $(seq 300); do
  grep -qs '"name":"epoch"' "$work"/stopped/train-*/events-0.jsonl && break
  sleep 0.2
done
scancel --batch --signal=USR2 "$stopped"
for _ in $(seq 120); do grep -q "requeueing job" "$work/stopped.log" 2>/dev/null && break; sleep 0.5; done
check "it stopped in time and requeued itself" grep -q "stopped in time; requeueing" "$work/stopped.log"
# Slurm holds a requeued job back for two minutes unless told otherwise. Not at once: the nodes refuse a start whose credential
# carries the second in which they revoked the last one ("Job credential revoked"), and the job would fail.
for _ in $(seq 60); do [ "$(state_of "$stopped")" = PENDING ] && break; sleep 0.5; done
sleep 5
for _ in $(seq 60); do
  if [ "$(state_of "$stopped")" = PENDING ] && scontrol update "JobId=$stopped" StartTime=now; then break; fi
  sleep 0.5
done
check "the requeued job completes" wait_for "$stopped" 150
check "its log tells of the second start" grep -q "start 1," "$work/stopped.log"

same_results() {   # same_results OUTPUT: as those of the undisturbed job
  local run
  cmp "$work"/quiet/decouple-*/segment-000000.h5 "$work/$1"/decouple-*/segment-000000.h5 || return 1
  for run in "$work"/quiet/train-*; do
    cmp "$run/history.csv" "$work/$1/${run##*/}/history.csv" && cmp "$run/last.safetensors" "$work/$1/${run##*/}/last.safetensors" || return 1
  done
  cmp "$work/quiet/study-two/report/two.csv" <(sed "s#$work/$1#$work/quiet#g" "$work/$1/study-two/report/two.csv")
}
check "the stopped and continued run ends with the bytes of the undisturbed one" same_results stopped

# Without Slurm.
local_study=(--config "$here/study.toml" --name two --set augment.method=deda --seeds 1-2 --set "dataset.root=\"$work/local/toy\"" --out "$work/local" --cpu)
"$program" study run "${local_study[@]}" --slots 1 >"$work/local.log" 2>&1 && "$program" study report "${local_study[@]}" >>"$work/local.log" 2>&1
check "the same study without Slurm, on one slot: the same bytes" same_results local

if [ "$problems" -ne 0 ]; then
  echo "--- local.log"; tail -n 20 "$work/local.log"
  echo "--- quiet.log"; tail -n 30 "$work/quiet.log"; echo "--- stopped.log"; tail -n 40 "$work/stopped.log"
fi
exit $((problems > 0))

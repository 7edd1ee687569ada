#!/usr/bin/env bash
# slurm/pipeline.sbatch on a real two-node Slurm: it runs all stages over both nodes; told to stop in the middle of the training it
# leaves with 75, requeues itself, continues, and ends with the bytes of a run that nobody disturbed.
#   pipeline_test.sh SOURCE_DIR PROGRAM WORK_DIR
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
  sbatch --parsable -N 2 --ntasks-per-node 1 -t 10 -o "$1.log" "$source_dir/slurm/pipeline.sbatch" "$here/pipeline.toml" \
    --methods deda --seeds 1 --set "dataset.root=\"$1/toy\"" --set "run.output=\"$1\""
}

# Undisturbed.
quiet=$(submit "$work/quiet") || { echo "sbatch refused"; exit 1; }
check "the undisturbed job completes" wait_for "$quiet" 150
check "it used both nodes" grep -q "nodes dn\[1-2\]" "$work/quiet.log"
check "it wrote its report" test -s "$work/quiet/report.html"

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

same_results() {
  cmp "$work"/quiet/decouple-*/segment-000000.h5 "$work"/stopped/decouple-*/segment-000000.h5 &&
    cmp "$work"/quiet/train-*/history.csv "$work"/stopped/train-*/history.csv &&
    cmp "$work"/quiet/train-*/last.safetensors "$work"/stopped/train-*/last.safetensors
}
check "the stopped and continued run ends with the bytes of the undisturbed one" same_results

if [ "$problems" -ne 0 ]; then
  echo "--- quiet.log"; tail -n 30 "$work/quiet.log"; echo "--- stopped.log"; tail -n 40 "$work/stopped.log"
fi
exit $((problems > 0))

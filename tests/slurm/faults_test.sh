#!/usr/bin/env bash
# What becomes of a study's items when something dies, on a real Slurm of two nodes with pretended GPUs:
#   driver killed   its steps stop by themselves, the next driver of the same job goes on
#   srun killed     lost, tried again
#   node lost       runs on the other node go on, its own run again there; done is only what left a result
#   time limit      stops before the end with 75, and no attempt counts as a failure; also where the limit is lowered in mid-run
#   requeued        by somebody else, in mid-run: the job that begins again goes on
#   faults_test.sh FAKE_STUDY WORK_DIR [driver] [srun] [node] [time] [requeue]
# Without names: the first three. DEDA_TEST_ALL=1: all, drivers are killed a hundred times instead of twice, and jobs requeued twenty times instead of once. The seed of the moments is printed;
# DEDA_TEST_SEED sets it.
set -uo pipefail
# shellcheck disable=SC2034  # program: for the functions
program=$1; work=$2/faults; shift 2
all=${DEDA_TEST_ALL:-0}
if [ "$all" = 1 ]; then which=${*:-driver srun node time requeue}; else which=${*:-driver srun node}; fi
# shellcheck source=study_test_functions.sh
source "$(dirname "${BASH_SOURCE[0]}")/study_test_functions.sh"
form="-N2 --gres=gpu:4 --exclusive"

# ended_as FOLDER OUTCOME: how many attempts ended so, by all ledgers.
ended_as() { cat "$1"/out/study-fake/ledger/*.jsonl 2>/dev/null | grep -c "\"outcome\":\"$2\""; }
run_at_least() { [ "$(stages_that_run "$1" | wc -l)" -ge "$2" ]; }
# Done is what has a result; the driver must not say more.
says_what_is_there() { grep -q "^$2 of $2 done" "$1/log" && [ "$(count_of "$1" results.json)" = "$2" ]; }

driver_killed() {   # driver_killed TIMES
  local times=$1 folder=$work/driver round pids process seconds begin late=0 longest=0 seed=${DEDA_TEST_SEED:-$RANDOM} runs=0 items=$((12 + $1 * 4))
  RANDOM=$seed
  # More work than can be done between the kills.
  local job; job=$(submit "$folder" "$form" $items 4)
  for ((round = 1; round <= times; ++round)); do
    wait_until 60 run_at_least "$folder" 1 || break
    sleep "$((RANDOM % 4)).$((RANDOM % 10))"
    [ -e "$folder/ended" ] && break
    pids=$(stages_that_run "$folder")
    # Stages that have run for a second have their signal handler; those must say that they were told to stop.
    local stops_before; stops_before=$(cat "$folder"/out/*/stops 2>/dev/null | wc -l)
    kill -9 "$(cat "$folder/driver.pid")"
    begin=$(date +%s.%N)
    wait_until 15 no_stage_runs "$folder" || { late=$((late + 1)); echo "after kill $round (seed $seed) these run on: $(stages_that_run "$folder" | tr '\n' ' ')"; }
    seconds=$(awk -v a="$begin" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
    longest=$(awk -v a="$longest" -v b="$seconds" 'BEGIN { print (a > b ? a : b) }')
    process=$(wc -w <<<"$pids"); runs=$((runs + process))
    if [ "$process" -ge 4 ] && [ "$(cat "$folder"/out/*/stops 2>/dev/null | wc -l)" -le "$stops_before" ]; then
      failed "driver killed ($round, seed $seed): $process stages ran and none was told to stop"
    fi
    touch "$folder/go"
  done
  wait_until $((120 + times * 10)) test -e "$folder/ended" || { failed "driver killed: the job did not end"; scancel "$job"; }
  echo "driver killed $((round - 1)) times (seed $seed): $runs runs were going on, all gone after at most $longest s; $(ended_as "$folder" stopped) booked as stopped, $(ended_as "$folder" lost) lost, $(ended_as "$folder" failed) failed"
  check "driver killed: no stage runs on for 15 s" [ "$late" = 0 ]
  check "driver killed: as often as was meant" [ "$round" -gt "$times" ]
  check "driver killed: the last one ends with 0" [ "$(cat "$folder/ended" 2>/dev/null)" = 0 ]
  check "driver killed: all done" says_what_is_there "$folder" $items
  check "driver killed: nothing failed" [ "$(ended_as "$folder" failed)" = 0 ]
}

sruns_of() {   # the sruns that the driver of FOLDER has started
  ps -o pid=,comm= --ppid "$(cat "$1/driver.pid")" | awk '$2 == "srun" { print $1 }'
}
srun_killed() {
  local folder=$work/srun job victims
  job=$(submit "$folder" "$form" 12 4)
  wait_until 60 run_at_least "$folder" 8 || failed "srun killed: eight do not run"
  victims=$(sruns_of "$folder" | head -n 2)
  # shellcheck disable=SC2086  # several
  kill -9 $victims
  wait_until 120 test -e "$folder/ended" || { failed "srun killed: the job did not end"; scancel "$job"; }
  echo "$(wc -w <<<"$victims") srun killed: $(ended_as "$folder" lost) lost, $(ended_as "$folder" failed) failed, $(ended_as "$folder" "done") finished"
  check "srun killed: two were there" [ "$(wc -w <<<"$victims")" = 2 ]
  check "srun killed: each is lost" [ "$(ended_as "$folder" lost)" = 2 ]
  check "srun killed: by a signal" grep -q "lost train-.*ended by signal 9; will be tried again" "$folder/log"
  check "srun killed: ends with 0" [ "$(cat "$folder/ended" 2>/dev/null)" = 0 ]
  check "srun killed: all done" says_what_is_there "$folder" 12
}

node_lost() {
  local folder=$work/node job file node first untouched=0 again=0 items=12
  # Steps that wait for cores of the lost node are to be noticed sooner than the usual two minutes.
  job=$(FAKE_STUDY_MOST_WAIT_S=10 submit "$folder" "$form --no-kill" $items 6)
  wait_until 60 run_at_least "$folder" 8 || failed "node lost: eight do not run"
  sleep 1
  grep -l " gn2 " "$folder"/out/*/starts >"$folder/of_gn2"; grep -l " gn1 " "$folder"/out/*/starts >"$folder/of_gn1"
  scontrol update NodeName=gn2 State=DOWN Reason=test
  wait_until 240 test -e "$folder/ended" || { failed "node lost: the job did not end"; scancel "$job"; tail -n 20 "$folder/log"; }
  scontrol update NodeName=gn2 State=RESUME 2>/dev/null || true   # ReturnToService=2 may have been faster
  while read -r file; do [ "$(wc -l <"$file")" = 1 ] && [ ! -e "${file%/*}/stops" ] && untouched=$((untouched + 1)); done <"$folder/of_gn1"
  while read -r file; do
    node=$(tail -n 1 "$file" | cut -d' ' -f3); first=$(wc -l <"$file")
    if [ "$node" = gn1 ] && [ "$first" -ge 2 ]; then again=$((again + 1)); fi
  done <"$folder/of_gn2"
  local hung; hung=$(grep -l "had not begun" "$folder"/out/study-fake/logs/* 2>/dev/null | wc -l)
  echo "node lost: $untouched of $(wc -l <"$folder/of_gn1") runs on gn1 untouched, $again of $(wc -l <"$folder/of_gn2") of gn2 run again on gn1; $(ended_as "$folder" lost) lost, $(ended_as "$folder" stopped) stopped; $hung steps never began"
  check "node lost: four ran on each" [ "$(wc -l <"$folder/of_gn1") $(wc -l <"$folder/of_gn2")" = "4 4" ]
  check "node lost: runs on the other node are untouched" [ "$untouched" = 4 ]
  check "node lost: its runs run again on the other" [ "$again" = 4 ]
  check "node lost: ends with 0" [ "$(cat "$folder/ended" 2>/dev/null)" = 0 ]
  check "node lost: all done" says_what_is_there "$folder" $items
  check "node lost: booked as done once each" [ "$(ended_as "$folder" "done")" = $items ]
}

# Eight items of ten minutes in two: fake_study stops 30 s before the end. Slurm's limits have minutes.
time_limit() {
  stops_in_time "time limit" "$work/time" 2
  # The environment does not tell the end, and the limit is lowered when everything runs already: the driver has to ask.
  before_driver='unset SLURM_JOB_END_TIME' stops_in_time "lowered time limit" "$work/time/lowered" 20 3
}
stops_in_time() {   # stops_in_time WHAT FOLDER MINUTES [LOWERED TO MINUTES]
  local what=$1 folder=$2 minutes=$3 job begin took limit
  limit=$((${4:-$minutes} * 60))
  job=$(submit "$folder" "$form -t $minutes" 8 1200)
  wait_until 60 run_at_least "$folder" 8 || failed "$what: eight do not run"
  begin=$(stat -c %Y "$folder/driver.pid")
  if [ -n "${4:-}" ]; then scontrol update JobId="$job" TimeLimit="$4" || failed "$what: Slurm does not lower it"; fi
  wait_until $((limit + 30)) test -e "$folder/ended" || { failed "$what: the driver did not end in time"; scancel "$job"; }
  took=$(($(date +%s) - begin))
  echo "$what of $limit s: the driver ended after $took s with $(cat "$folder/ended" 2>/dev/null); $(ended_as "$folder" stopped) stopped, $(ended_as "$folder" lost) lost, $(ended_as "$folder" failed) failed"
  check "$what: ends with 75" [ "$(cat "$folder/ended" 2>/dev/null)" = 75 ]
  check "$what: before the end" [ "$took" -lt $((limit - 2)) ]
  check "$what: not long before" [ "$took" -gt $((limit - 60)) ]
  check "$what: each run was told to stop" [ "$(count_of "$folder" stops)" = 8 ]
  check "$what: each is booked as stopped" [ "$(ended_as "$folder" stopped)" = 8 ]
  check "$what: none as a failure" [ "$(ended_as "$folder" lost) $(ended_as "$folder" failed)" = "0 0" ]
}

pending() { scontrol -o show job "$1" 2>/dev/null | grep -q JobState=PENDING; }
requeued() {   # requeued TIMES
  local times=$1 folder=$work/requeue job round items=$((10 + $1 * 5)) seed=${DEDA_TEST_SEED:-$RANDOM} begin longest=0 took late=0 restarts
  RANDOM=$seed
  job=$(submit "$folder" "$form --requeue --open-mode=append" $items 4)
  for ((round = 1; round <= times; ++round)); do
    wait_until 120 run_at_least "$folder" 1 || { failed "requeued ($round, seed $seed): nothing runs"; break; }
    sleep "$((RANDOM % 4)).$((RANDOM % 10))"
    [ -e "$folder/ended" ] && break
    begin=$SECONDS
    scontrol requeue "$job"
    wait_until 60 no_stage_runs "$folder" || { late=$((late + 1)); echo "after requeue $round (seed $seed) these run on: $(stages_that_run "$folder" | tr '\n' ' ')"; }
    took=$((SECONDS - begin)); if [ "$took" -gt "$longest" ]; then longest=$took; fi
    wait_until 60 pending "$job" || failed "requeued ($round): the job does not wait"
    rm -f "$folder/ended"   # the script of the first start may have lived to write it
    # Slurm lets a requeued job wait for two minutes. Not at once: nodes refuse a credential of the second in which they revoked the last one.
    sleep 5
    wait_until 60 scontrol update JobId="$job" StartTime=now 2>/dev/null || failed "requeued ($round): the job cannot be started sooner"
  done
  wait_until $((180 + items * 4)) test -e "$folder/ended" || { failed "requeued: the job did not end"; scancel "$job"; }
  restarts=$(scontrol show job "$job" | grep -o 'Restarts=[0-9]*' | cut -d= -f2)
  echo "requeued $restarts times (seed $seed): no stage ran on for more than $longest s; $(ended_as "$folder" stopped) booked as stopped, $(ended_as "$folder" lost) lost, $(ended_as "$folder" failed) failed"
  check "requeued: as often as was meant" [ "${restarts:-0}" = "$times" ]
  check "requeued: no stage runs on" [ "$late" = 0 ]
  check "requeued: ends with 0" [ "$(cat "$folder/ended" 2>/dev/null)" = 0 ]
  check "requeued: all done" says_what_is_there "$folder" $items
  check "requeued: booked as done once each" [ "$(ended_as "$folder" "done")" = $items ]
  check "requeued: nothing failed" [ "$(ended_as "$folder" failed)" = 0 ]
}

for part in $which; do
  before=$problems
  case $part in
    driver) driver_killed "$([ "$all" = 1 ] && echo 100 || echo 2)" ;;
    srun) srun_killed ;;
    node) node_lost ;;
    time) time_limit ;;
    requeue) requeued "$([ "$all" = 1 ] && echo 20 || echo 1)" ;;
    *) echo "no such part: $part"; exit 2 ;;
  esac
  if [ "$problems" -ne "$before" ]; then echo "--- $work/$part/log"; tail -n 40 "$work/$part/log"; fi
done
if [ "$problems" -ne 0 ]; then echo "--- slurmctld"; tail -n 30 "$cluster/slurmctld.log"; fi
exit $((problems > 0))

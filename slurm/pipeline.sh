# shellcheck shell=bash
# The stages of one configuration in order, with one launcher: shared by slurm/pipeline.sbatch and jobs/demo.sh.
# Needs slurm/env.sh before a stage runs. Every stage is resumable, so the whole pipeline is: run again, it continues; what is done is
# not started.
#   pipeline_run CONFIG "METHODS" "SEEDS" [--set a.b=v ...]
#   pipeline_mark CONFIG "METHODS" "SEEDS" [--set a.b=v ...]   a text that changes with every finished piece of work
# Exit codes: 75, stopped in time (signal or time limit), the same call continues; 76, another run writes a folder, and did so for
# DEDA_HELD_WAIT_S seconds (600).

stop_requested=0
stage_pid=
signal_lead_s=300     # pipeline.sbatch asks for USR2 that long before the end
most_margin_s=300     # as in src/core/stop.h: the program stops that long before the end, at most a quarter of the limit
early_signal_seen=0

# Slurm's signal comes at once where the limit is hardly longer than its lead. The program knows the end and stops by itself.
signal_is_early() {
  [ "$early_signal_seen" = 0 ] && [ -n "${SLURM_JOB_START_TIME:-}" ] && [ -n "${SLURM_JOB_END_TIME:-}" ] || return 1
  local limit=$((SLURM_JOB_END_TIME - SLURM_JOB_START_TIME)) left margin
  left=$((SLURM_JOB_END_TIME - $(date +%s)))
  margin=$((limit / 4 < most_margin_s ? limit / 4 : most_margin_s))
  [ "$limit" -lt $((2 * signal_lead_s)) ] && [ "$left" -gt "$margin" ] || return 1
  early_signal_seen=1
  echo "the time limit of $limit s is short: the signal came $left s before the end, work goes on until $margin s before it (signal again to stop now)" >&2
}

# The scheduler tells the batch shell that time is short; the stage has to know. srun and mpirun pass USR2 on to all ranks.
forward_stop() {   # forward_stop SIGNAL
  if [ "$1" = USR2 ] && signal_is_early; then return 0; fi   # a bare return in a trap takes the status of before
  stop_requested=1
  if [ -n "$stage_pid" ]; then kill -USR2 "$stage_pid" 2>/dev/null || true; fi
}
trap 'forward_stop USR2' USR2
trap 'forward_stop TERM' TERM

pipeline_launch() {  # pipeline_launch SUBCOMMAND ARGS...: one launch on all ranks, waiting through signals
  if [ "$stop_requested" = 1 ]; then return 75; fi
  if [ "${DEDA_DRY_RUN:-0}" = 1 ]; then echo "${DEDA_LAUNCH[*]} $DEDA_BIN $*"; return 0; fi
  local code
  "${DEDA_LAUNCH[@]}" "$DEDA_BIN" "$@" &
  stage_pid=$!
  while :; do
    code=0; wait "$stage_pid" || code=$?
    # A trapped signal interrupts wait with a code above 128 while the stage still runs: wait again.
    if [ "$code" -gt 128 ] && kill -0 "$stage_pid" 2>/dev/null; then continue; fi
    break
  done
  stage_pid=
  # A stage that was told to stop ends with a signal's code where it had no time; what is wrong stays wrong.
  case $code in 0 | 2 | 3 | 76) return "$code" ;; esac
  if [ "$stop_requested" = 1 ]; then return 75; fi
  return "$code"
}

pipeline_stage() {   # the same, and waits for a folder that another run writes (code 76)
  local code waited=0 pause=15 most=${DEDA_HELD_WAIT_S:-600} sleeper
  if [ "$pause" -gt "$most" ]; then pause=$most; fi
  while :; do
    code=0; pipeline_launch "$@" || code=$?
    if [ "$code" -ne 76 ] || [ "$waited" -ge "$most" ]; then return "$code"; fi
    echo "deda $1: another run writes its folder; asking again in $pause s, for at most $((most - waited)) s" >&2
    sleep "$pause" & sleeper=$!
    wait "$sleeper" || kill "$sleeper" 2>/dev/null || true   # a signal ends the wait
    waited=$((waited + pause))
  done
}

# Names, order and what is left to do come from `deda plan`.
pipeline_run() {   # pipeline_run CONFIG "METHODS" "SEEDS" ARGS...
  local config=$1 methods=$2 seeds=$3 commands lines line arguments; shift 3
  commands=$("$DEDA_BIN" plan --config "$config" "$@" --methods "$methods" --seeds "$seeds" --commands) || return $?
  mapfile -t lines <<<"$commands"   # not read while stages run: they would take the rest as their input
  for line in "${lines[@]}"; do
    [ -n "$line" ] || continue
    eval "arguments=($line)"   # quoted for a shell by the program, a line each
    pipeline_stage "${arguments[@]}" || return $?
  done
}

pipeline_mark() {  # pipeline_mark CONFIG "METHODS" "SEEDS" ARGS...; nothing where there is no plan
  local config=$1 methods=$2 seeds=$3; shift 3
  "$DEDA_BIN" plan --config "$config" "$@" --methods "$methods" --seeds "$seeds" --progress 2>/dev/null || true
}

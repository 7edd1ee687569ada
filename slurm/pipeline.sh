# The stages of one configuration in order, with one launcher: shared by slurm/pipeline.sbatch and jobs/demo.sh.
# Needs slurm/env.sh before it. Every stage is resumable, so the whole pipeline is: run again, it continues; what is done is not started.
#   pipeline_run CONFIG "METHODS" "SEEDS" [--set a.b=v ...]
# Exit code 75: stopped in time (signal or time limit); the same call continues.

stop_requested=0
stage_pid=
# The scheduler tells the batch shell that time is short; the stage has to know. srun and mpirun pass USR2 on to all ranks.
forward_stop() { stop_requested=1; if [ -n "$stage_pid" ]; then kill -USR2 "$stage_pid" 2>/dev/null || true; fi; }
trap forward_stop USR2 TERM

pipeline_stage() {  # pipeline_stage SUBCOMMAND ARGS...: one launch on all ranks, waiting through signals
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
  case $code in 0 | 2 | 3) return "$code" ;; esac
  if [ "$stop_requested" = 1 ]; then return 75; fi
  return "$code"
}

# Names, order and what is left to do come from `deda plan`.
pipeline_run() {   # pipeline_run CONFIG "METHODS" "SEEDS" ARGS...
  local config=$1 methods=$2 seeds=$3 commands lines line arguments; shift 3
  commands=$("$DEDA_BIN" plan --config "$config" "$@" --methods "$methods" --seeds "$seeds" --commands) || return $?
  mapfile -t lines <<<"$commands"   # not read while stages run: they would take the rest as their input
  for line in "${lines[@]}"; do
    [ -n "$line" ] || continue
    eval "arguments=($line)"   # quoted for a shell by the program
    pipeline_stage "${arguments[@]}" || return $?
  done
}

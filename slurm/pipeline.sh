# The stages of one configuration in order, with one launcher: shared by slurm/pipeline.sbatch and jobs/demo.sh.
# Needs slurm/env.sh before it. Every stage is resumable, so the whole pipeline is: run again, it continues.
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
  if [ "$stop_requested" = 1 ] && [ "$code" -ne 0 ]; then return 75; fi
  return "$code"
}

pipeline_run() {
  local config=$1 methods=$2 seeds=$3; shift 3
  local layout method seed
  layout=$("$DEDA_BIN" decouple --config "$config" "$@" --print-config | sed -n 's/^layout *= *"\([a-z0-9_]*\)".*/\1/p' | head -n 1)
  if [ "$layout" = toy ]; then pipeline_stage toy --config "$config" "$@" || return $?; fi
  pipeline_stage decouple --config "$config" "$@" || return $?
  # Seeds outside, methods inside: an interrupted comparison has whole pairs.
  for seed in $seeds; do
    for method in $methods; do
      pipeline_stage train --config "$config" "$@" --set "augment.method=$method" --set "run.seed=$seed" || return $?
    done
  done
}

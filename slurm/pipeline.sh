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

# What a method of the list means for `deda train`.
pipeline_method() {
  case $1 in
    plain) echo "augment.method=plain" ;;
    deda-real) echo "augment.method=deda augment.p_syn=0" ;;   # De-DA without synthetic CDPs
    *) echo "augment.method=$1" ;;
  esac
}

# True where the configuration's De-DA draws synthetic CDPs, so that they have to be made first.
pipeline_needs_synthetic() {   # pipeline_needs_synthetic "METHODS" ARGS...
  local methods=" $1 "; shift
  case $methods in *" deda "*) ;; *) return 1 ;; esac
  local share
  share=$("$DEDA_BIN" train "$@" --print-config | sed -n 's/^p_syn *= *\([0-9.e+-]*\).*/\1/p') || return 2
  awk -v share="$share" 'BEGIN { exit !(share > 0) }'
}

pipeline_run() {
  local config=$1 methods=$2 seeds=$3; shift 3
  local layout method seed setting settings
  layout=$("$DEDA_BIN" decouple --config "$config" "$@" --print-config | sed -n 's/^layout *= *"\([a-z0-9_]*\)".*/\1/p' | head -n 1)
  if [ "$layout" = toy ]; then pipeline_stage toy --config "$config" "$@" || return $?; fi
  pipeline_stage decouple --config "$config" "$@" || return $?
  if pipeline_needs_synthetic "$methods" --config "$config" "$@"; then
    pipeline_stage invert --config "$config" "$@" || return $?
    pipeline_stage generate --config "$config" "$@" || return $?
  fi
  # Seeds outside, methods inside: an interrupted comparison has whole pairs.
  for seed in $seeds; do
    for method in $methods; do
      settings=()
      for setting in $(pipeline_method "$method"); do settings+=(--set "$setting"); done
      pipeline_stage train --config "$config" "$@" "${settings[@]}" --set "run.seed=$seed" || return $?
    done
  done
}

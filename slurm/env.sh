# shellcheck shell=bash
# The environment of every deda job, on any site: sourced by the batch scripts before the first stage.
# What differs between sites stands in one short file, slurm/sites/<name>.sh; name yours in DEDA_SITE (default: none).
#
# After this file: DEDA_BIN is the program.
deda_home=${DEDA_HOME:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}

if [ -n "${DEDA_SITE:-}" ]; then
  site_file=$deda_home/slurm/sites/$DEDA_SITE.sh
  if [ ! -r "$site_file" ]; then echo "slurm/env.sh: DEDA_SITE=$DEDA_SITE, but there is no $site_file; copy slurm/sites/example.sh" >&2; exit 2; fi
  # shellcheck source=sites/example.sh
  source "$site_file"
fi

# Open MPI 4.1 loses bytes in collective HDF5 writes over several aggregators unless it locks the file (ompi issue 12718).
export OMPI_MCA_fs_ufs_lock_algorithm=${OMPI_MCA_fs_ufs_lock_algorithm:-3}
# HDF5 file locks fail on some parallel file systems; stores have their own lock. Set it in the site file only if needed:
#   export HDF5_USE_FILE_LOCKING=FALSE
# One owner of the cores: our own threads (run.threads, train.torch_threads); libraries keep to one each.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# srun of Slurm 22.05 and newer does not inherit --cpus-per-task.
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi
# Start and end of the allocation in seconds since 1970; the program stops well before the end. Older Slurms do not export them.
deda_is_time() { [[ ${1:-} =~ ^[1-9][0-9]*$ ]]; }
deda_time_of_job() {   # deda_time_of_job FORMAT: what squeue knows of this job (%S start, %e end); nothing where it is no time
  local text
  text=$(squeue -h -j "$SLURM_JOB_ID" -o "$1" 2>/dev/null) || return 0
  text=${text%%$'\n'*}
  # Not "N/A", "Unknown", or nothing at all: of an empty text `date` makes last midnight.
  [[ $text =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$ ]] || return 0
  date -d "$text" +%s 2>/dev/null || true
}
if [ -n "${SLURM_JOB_ID:-}" ]; then
  deda_is_time "${SLURM_JOB_START_TIME:-}" || SLURM_JOB_START_TIME=$(deda_time_of_job %S)
  deda_is_time "${SLURM_JOB_END_TIME:-}" || SLURM_JOB_END_TIME=$(deda_time_of_job %e)
  export SLURM_JOB_START_TIME SLURM_JOB_END_TIME
  deda_is_time "$SLURM_JOB_START_TIME" || unset SLURM_JOB_START_TIME
  if ! deda_is_time "$SLURM_JOB_END_TIME" || [ "$SLURM_JOB_END_TIME" -le "$(date +%s)" ]; then
    unset SLURM_JOB_END_TIME
    echo "slurm/env.sh: the end of job $SLURM_JOB_ID is not known (neither SLURM_JOB_END_TIME nor squeue tells it): work stops when Slurm's signal asks for it" >&2
  fi
fi
if [ -n "${TMPDIR:-}" ] && [ ! -d "$TMPDIR" ]; then
  echo "slurm/env.sh: TMPDIR=$TMPDIR is no folder; /tmp is used" >&2; unset TMPDIR
fi

export DEDA_BIN=${DEDA_BIN:-$deda_home/build/jobs/deda}
if [ ! -x "$DEDA_BIN" ]; then echo "slurm/env.sh: no program at $DEDA_BIN; build it (bash cmake/setup.sh && cmake --build build) or set DEDA_BIN" >&2; exit 2; fi

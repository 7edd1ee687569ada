#!/usr/bin/env bash
# slurm/study.sbatch and env.sh against a pretended Slurm (squeue, scontrol, srun) and a pretended program: when a job
# requeues itself, when it does not, and what it says. Seconds, no cluster.
#   scripts_test.sh SOURCE_DIR WORK_DIR
set -uo pipefail
source_dir=$1; work=$2/scripts
rm -rf "$work"; mkdir -p "$work/bin"; cd "$work" || exit 1
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; sed 's/^/  | /' log; problems=$((problems + 1)); fi; }
says() { grep -q -- "$1" log; }
silent() { ! grep -q -- "$1" log; }
requeued() { test -e requeued; }
kept() { test ! -e requeued; }
ended() { test "$code" = "$1"; }

# squeue prints what the file `squeue` holds, and fails where there is none.
cat >bin/squeue <<'SH'
#!/bin/sh
case $* in *%e*) cat squeue ;; *) cat squeue.start ;; esac
SH
cat >bin/scontrol <<'SH'
#!/bin/sh
if [ -e scontrol_fails ]; then echo "Requested operation is presently disabled" >&2; exit 1; fi
echo "$*" >requeued
SH
cat >bin/srun <<'SH'
#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
SH
# The program: `study run` does what the file run.does says, `study status --progress` prints the pieces of work that are there.
cat >bin/deda <<'SH'
#!/bin/bash
[ "$1" = study ] || exit 9
what=$2; shift 2
progress=0
for word in "$@"; do [ "$word" != --progress ] || progress=1; done
case $what in
  status) [ "$progress" = 0 ] || cat pieces 2>/dev/null ;;
  report) echo "[report $*]" ;;
  run) echo "[run $* end=${SLURM_JOB_END_TIME:-none} tmp=${TMPDIR:-none}]"; eval "$(cat run.does 2>/dev/null)" ;;
esac
SH
chmod +x bin/*

job() {   # job ENVIRONMENT... -- ARGUMENTS...: one start of the batch job
  local environment=()
  while [ "$1" != -- ]; do environment+=("$1"); shift; done; shift
  rm -f requeued; code=0
  env -i PATH="$work/bin:$PATH" HOME="$work" DEDA_HOME="$source_dir" DEDA_BIN="$work/bin/deda" SLURM_JOB_ID=7 DEDA_REQUEUE_WAIT_S=0 \
    "${environment[@]}" timeout 60 bash "$source_dir/slurm/study.sbatch" "$@" >log 2>&1 || code=$?
}
now() { date +%s; }
iso() { date -d "@$1" +%Y-%m-%dT%H:%M:%S; }

# The end of the job is not known: no end. Said once, work runs.
echo 'echo piece >>pieces' >run.does
for answer in '' N/A Unknown NONE 'slurm_load_jobs error'; do
  echo "$answer" >squeue; echo "$answer" >squeue.start
  job -- one.toml
  check "squeue prints \"$answer\": the work is done" ended 0
  check "squeue prints \"$answer\": no end" says 'end=none'
  check "squeue prints \"$answer\": said once" test "$(grep -c 'the end of job 7 is not known' log)" = 1
done
rm squeue squeue.start
job -- one.toml --seeds 1-3 --set a.b=1
check "squeue fails: the work is done" ended 0
check "squeue fails: no end" says 'end=none'
check "arguments go to the driver" says '^\[run one.toml --seeds 1-3 --set a.b=1'
check "and to the report" says '^\[report one.toml --seeds 1-3 --set a.b=1'
job SLURM_JOB_END_TIME=0 -- one.toml
check "an end of 0 is none" says 'end=none'
job SLURM_JOB_END_TIME=$(($(now) - 60)) -- one.toml
check "an end that is past is none" says 'end=none'
iso $(($(now) + 7200)) >squeue; iso "$(now)" >squeue.start
job -- one.toml
check "an end that squeue knows is passed on" says 'end=1'
check "and nothing is said" silent 'not known'

# 75: requeued where a piece of work was finished in this start, and only there.
echo 'echo piece >>pieces; exit 75' >run.does
job -- one.toml
check "stopped after some work: requeued" requeued
check "with 75" ended 75
check "no report of what is half done" silent '^\[report'
echo 'exit 75' >run.does
job -- one.toml
check "stopped without work: not requeued" kept
check "75 all the same" ended 75
check "and says why" says 'no piece of work was finished in this start'
job SLURM_RESTART_COUNT=20 -- one.toml
check "requeued often enough" says 'already requeued 20 times'
echo 'echo piece >>pieces; exit 75' >run.does
touch scontrol_fails
job -- one.toml
check "scontrol fails: 75" ended 75
check "and a sentence" says 'submit the same command again to continue'
rm scontrol_fails

# Failures, and a driver that is killed.
echo 'exit 1' >run.does
job -- one.toml
check "some items failed: 1" ended 1
check "with a report all the same" says '^\[report'
check "not requeued" kept
echo 'exit 2' >run.does
job -- one.toml
check "a wrong study: 2" ended 2
check "without a report" silent '^\[report'
echo 'echo x >>tries; [ "$(wc -l <tries)" -gt 2 ] || kill -9 $$' >run.does
job -- one.toml
check "a driver that is killed is started again" ended 0
check "and this is said" test "$(grep -c 'started again' log)" = 2
echo 'kill -9 $$' >run.does
job -- one.toml
check "but not for ever" test "$(grep -c '^\[run' log)" = 4
job --
check "no study: usage" says usage
check "2" ended 2

# Slurm's signal in a job that is hardly longer than its lead: work goes on; the second signal counts.
cat >run.does <<'SH'
trap 'echo told to stop; exit 75' USR2
kill -USR2 $PPID; for i in $(seq 20); do sleep 0.05; done
echo piece >>pieces; [ ! -e again ] || { kill -USR2 $PPID; sleep 5 & wait $!; }
SH
short=(SLURM_JOB_START_TIME="$(now)" SLURM_JOB_END_TIME=$(($(now) + 240)))
job "${short[@]}" -- one.toml
check "a short limit: the early signal is passed over" ended 0
check "and it says so" says 'the time limit of 240 s is short'
touch again
job "${short[@]}" -- one.toml
check "the second signal stops" says 'told to stop'
check "requeued" requeued
rm again
job SLURM_JOB_START_TIME="$(now)" SLURM_JOB_END_TIME=$(($(now) + 7200)) -- one.toml
check "a long limit: the first signal stops" says 'told to stop'
echo 'echo piece >>pieces' >run.does

# Things that are missing.
job TMPDIR=$work/nowhere -- one.toml
check "TMPDIR that is no folder: left out" says 'tmp=none'
check "and named" says "TMPDIR=$work/nowhere is no folder"
rm -f requeued; code=0
env -i PATH="$work/bin:$PATH" DEDA_HOME="$source_dir" DEDA_BIN="$work/bin/deda" bash "$source_dir/slurm/study.sbatch" one.toml >log 2>&1 || code=$?
check "no HOME, no USER: works" ended 0
cat >home.sh <<'SH'
source "$1/cmake/setup.sh"; deda_build_dir=/build; deda_cache
SH
env -i PATH="$PATH" bash home.sh "$source_dir" >log 2>&1
check "no HOME: set-up has a folder to keep LibTorch in" says '/'
check "no HOME: nothing is unbound" silent unbound
exit $((problems > 0))

#!/usr/bin/env bash
# slurm/pipeline.sbatch, pipeline.sh and env.sh against a pretended Slurm (squeue, scontrol, srun) and a pretended program: when a job
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
# The program: `plan --commands` prints the lines of CONFIG.stages, `plan --progress` the pieces of work that are there;
# a stage is a shell command, run in place.
cat >bin/deda <<'SH'
#!/bin/bash
stage=$1; shift
config=; progress=0; commands=0
while [ $# -gt 0 ]; do case $1 in --config) config=$2; shift ;; --progress) progress=1 ;; --commands) commands=1 ;; esac; shift; done
case $stage in
  plan) [ -r "$config" ] || exit 3
    [ "$progress" = 0 ] || cat pieces 2>/dev/null; [ "$commands" = 0 ] || while read -r line; do echo "$line --config $config"; done <"$config" ;;
  inspect) exit 0 ;;
  *) echo "[$stage $config end=${SLURM_JOB_END_TIME:-none} tmp=${TMPDIR:-none}]"; eval "$(cat "$stage.does" 2>/dev/null)" ;;
esac
SH
chmod +x bin/*
echo decouple >one.toml; echo train >two.toml; echo other >three.toml

job() {   # job ENVIRONMENT... -- ARGUMENTS...: one start of the batch job
  local environment=()
  while [ "$1" != -- ]; do environment+=("$1"); shift; done; shift
  rm -f requeued; code=0
  env -i PATH="$work/bin:$PATH" HOME="$work" DEDA_HOME="$source_dir" DEDA_BIN="$work/bin/deda" SLURM_JOB_ID=7 DEDA_REQUEUE_WAIT_S=0 \
    DEDA_HELD_WAIT_S=0 "${environment[@]}" timeout 60 bash "$source_dir/slurm/pipeline.sbatch" "$@" >log 2>&1 || code=$?
}
now() { date +%s; }
iso() { date -d "@$1" +%Y-%m-%dT%H:%M:%S; }

# The end of the job is not known: no end. Said once, work runs.
echo 'echo piece >>pieces' >decouple.does
for answer in '' N/A Unknown NONE 'slurm_load_jobs error'; do
  echo "$answer" >squeue; echo "$answer" >squeue.start
  job -- one.toml
  check "squeue prints \"$answer\": the work is done" ended 0
  check "squeue prints \"$answer\": no end" says 'end=none'
  check "squeue prints \"$answer\": said once" test "$(grep -c 'the end of job 7 is not known' log)" = 1
done
rm squeue squeue.start
job -- one.toml
check "squeue fails: the work is done" ended 0
check "squeue fails: no end" says 'end=none'
job SLURM_JOB_END_TIME=0 -- one.toml
check "an end of 0 is none" says 'end=none'
job SLURM_JOB_END_TIME=$(($(now) - 60)) -- one.toml
check "an end that is past is none" says 'end=none'
iso $(($(now) + 7200)) >squeue; iso "$(now)" >squeue.start
job -- one.toml
check "an end that squeue knows is passed on" says 'end=1'
check "and nothing is said" silent 'not known'

# 75: requeued where a piece of work was finished in this start, and only there.
echo 'echo piece >>pieces; exit 75' >decouple.does
job -- one.toml
check "stopped after some work: requeued" requeued
check "with 75" ended 75
echo 'exit 75' >decouple.does
job -- one.toml
check "stopped without work: not requeued" kept
check "75 all the same" ended 75
check "and says why" says 'no piece of work was finished in this start'
job SLURM_RESTART_COUNT=20 -- one.toml
check "requeued often enough" says 'already requeued 20 times'
echo 'echo piece >>pieces; exit 75' >decouple.does
touch scontrol_fails
job -- one.toml
check "scontrol fails: 75" ended 75
check "and a sentence" says 'submit the same command again to continue'
rm scontrol_fails

# Several configurations.
echo 'echo piece >>pieces' >decouple.does; echo 'echo piece >>pieces' >train.does; echo 'exit 3' >other.does
job -- one.toml two.toml --seeds 1
check "two configurations: both ran" test "$(grep -c '^\[' log)" = 2
check "two configurations: done" ended 0
job -- three.toml two.toml
check "one fails, the other runs" says '^\[train two.toml'
check "and the code is the failed one's" ended 3
check "which is named" says 'three.toml: exit code 3'
echo 'echo piece >>pieces; exit 75' >train.does
job -- three.toml two.toml one.toml
check "one stopped: requeued" requeued
check "nothing begins after a stop" silent '^\[decouple'
job -- none.toml two.toml
check "a configuration that is not there: the other still runs" says '^\[train'
job --
check "no configuration: usage" says usage
job -- one.toml --seeds
check "an option without its value: usage" says '--seeds needs a value'
check "2" ended 2

# 76: another run writes the folder.
echo 'exit 76' >train.does
job -- two.toml one.toml
check "held: the other configuration runs" says '^\[decouple one.toml'
check "held: 76" ended 76
check "held: not requeued" kept
echo '[ -e freed ] || { touch freed; exit 76; }' >train.does
job DEDA_HELD_WAIT_S=1 -- two.toml
check "held for a while: waits and goes on" ended 0
check "and says so" says 'another run writes its folder'

# Slurm's signal in a job that is hardly longer than its lead: work goes on; the second signal counts.
cat >train.does <<'SH'
trap 'echo told to stop; exit 75' USR2
kill -USR2 $(ps -o ppid= -p $$); for i in $(seq 20); do sleep 0.05; done
echo piece >>pieces; [ ! -e again ] || { kill -USR2 $(ps -o ppid= -p $$); sleep 5 & wait $!; }
SH
short=(SLURM_JOB_START_TIME="$(now)" SLURM_JOB_END_TIME=$(($(now) + 240)))
job "${short[@]}" -- two.toml
check "a short limit: the early signal is passed over" ended 0
check "and it says so" says 'the time limit of 240 s is short'
touch again
job "${short[@]}" -- two.toml
check "the second signal stops" says 'told to stop'
check "requeued" requeued
rm again
job SLURM_JOB_START_TIME="$(now)" SLURM_JOB_END_TIME=$(($(now) + 7200)) -- two.toml
check "a long limit: the first signal stops" says 'told to stop'

# Things that are missing.
echo 'echo piece >>pieces' >decouple.does
job TMPDIR=$work/nowhere -- one.toml
check "TMPDIR that is no folder: left out" says 'tmp=none'
check "and named" says "TMPDIR=$work/nowhere is no folder"
rm -f requeued; code=0
env -i PATH="$work/bin:$PATH" DEDA_HOME="$source_dir" DEDA_BIN="$work/bin/deda" DEDA_LAUNCHER=none bash "$source_dir/slurm/pipeline.sbatch" one.toml >log 2>&1 || code=$?
check "no HOME, no USER: works" ended 0
cat >home.sh <<'SH'
source "$1/cmake/setup.sh"; deda_build_dir=/build; deda_cache
SH
env -i PATH="$PATH" bash home.sh "$source_dir" >log 2>&1
check "no HOME: set-up has a folder to keep LibTorch in" says '/'
check "no HOME: nothing is unbound" silent unbound
exit $((problems > 0))

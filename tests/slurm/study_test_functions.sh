# shellcheck shell=bash
# What packing_test.sh and faults_test.sh share: a two-node Slurm with pretended GPUs, and jobs whose batch script drives a study of fake stages.
# Needs program (fake_study) and work before it is sourced; leaves problems, check, and the functions below.
: "${program:?}" "${work:?}"
test_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root to make network namespaces"
for tool in slurmctld slurmd munged ip nsenter; do command -v $tool >/dev/null || [ -x "/usr/sbin/$tool" ] || skip "$tool is not installed"; done
ip netns add dedaprobe 2>/dev/null && ip netns del dedaprobe || skip "this machine does not let us make network namespaces"
for number in 1 2 3 4; do [ -c /dev/tty$number ] || skip "there is no /dev/tty$number to stand in for a GPU"; done

export PATH=$PATH:/usr/sbin:/sbin
rm -rf "$work"; mkdir -p "$work"
cluster=$work/cluster
trap 'bash "$test_folder/cluster.sh" stop "$cluster" gpus' EXIT
bash "$test_folder/cluster.sh" start "$cluster" gpus || skip "Slurm did not come up here (its logs are above)"
export SLURM_CONF=$cluster/slurm.conf

problems=0
failed() { echo "FAILED: $*"; problems=$((problems + 1)); }
check() { if ! "${@:2}"; then failed "$1"; fi; }

# wait_until SECONDS COMMAND...: true as soon as the command is. Files are asked where that is possible: what is asked of Slurm would be
# counted as the driver's.
wait_until() {
  local end=$((SECONDS + $1)); shift
  while ! "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# submit FOLDER "SBATCH OPTIONS" ITEMS SECONDS: prints the job's number. The batch script is the driver; killed, it is started again when the file
# `go` is there. `before_driver`: lines of the batch script in front of it. FOLDER/out: the study; FOLDER/driver.pid, FOLDER/log; FOLDER/codes: an exit code per start.
submit() {
  local folder=$1 options=$2
  mkdir -p "$folder"
  cat >"$folder/job.sh" <<JOB
#!/bin/bash
cd "$folder"
${before_driver:-}
while :; do
  "$program" "$folder/out" slurm $3 $4 &
  echo \$! >driver.pid
  wait \$!; code=\$?
  echo \$code >>codes
  [ \$code -eq 137 ] || break
  until [ -e go ]; do sleep 0.1; done
  rm -f go
done
echo \$code >ended
JOB
  # shellcheck disable=SC2086  # several options
  sbatch --parsable -t 30 $options -o "$folder/log" "$folder/job.sh"
}

# Stages of fake_stage.sh below FOLDER that run, as process ids.
stages_that_run() {
  local file process rest
  for file in "$1"/out/*/starts; do
    [ -e "$file" ] || continue
    while read -r process rest; do
      if tr "\0" " " 2>/dev/null <"/proc/$process/cmdline" | grep -q "fake_stage.sh .*$1/"; then echo "$process"; fi
    done <"$file"
  done
}
no_stage_runs() { [ -z "$(stages_that_run "$1")" ]; }

# events FOLDER: a line per stage that has run to its end: begin, end, node, device. An item that was begun several times: its last start.
events() {
  local file
  for file in "$1"/out/*/starts; do
    [ -e "${file%/*}/results.json" ] || continue
    tail -n 1 "$file" | awk -v end="$(stat -c %.3Y "${file%/*}/results.json")" '{ print $2, end, $3, $4 }'
  done | sort -n
}
count_of() { find "$1"/out -mindepth 2 -maxdepth 2 -name "$2" 2>/dev/null | wc -l; }
load() { cut -d' ' -f1 /proc/loadavg; }

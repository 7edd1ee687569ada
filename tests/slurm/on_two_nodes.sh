# shellcheck shell=bash
# Sourced by the tests that need a real Slurm with two nodes, dn1 and dn2: starts it below $work, which is made anew, and stops it at
# the end; leaves with 77 and the reason where this machine cannot. `check WHAT COMMAND...` counts in $problems.
here=${here:?} work=${work:?}
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root to make network namespaces"
for tool in slurmctld slurmd munged ip nsenter; do command -v $tool >/dev/null || [ -x "/usr/sbin/$tool" ] || skip "$tool is not installed"; done
ip netns add dedaprobe 2>/dev/null && ip netns del dedaprobe || skip "this machine does not let us make network namespaces"

export PATH=$PATH:/usr/sbin:/sbin
rm -rf "$work"; mkdir -p "$work"
cluster=$work/cluster
trap 'bash "$here/cluster.sh" stop "$cluster"' EXIT
bash "$here/cluster.sh" start "$cluster" || skip "Slurm did not come up here (its logs are above)"
export SLURM_CONF=$cluster/slurm.conf OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; problems=$((problems + 1)); fi; }

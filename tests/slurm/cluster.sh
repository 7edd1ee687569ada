#!/usr/bin/env bash
# A real two-node Slurm on one machine: two slurmd daemons, each with its own network, host name and mounts, joined by a bridge.
# Needs root and: slurm-wlm munge iproute2.
#   cluster.sh start DIR [gpus]    then: SLURM_CONF=DIR/slurm.conf sbatch ...
#   cluster.sh stop DIR [gpus]
# `gpus`: nodes gn1 and gn2 with 8 CPUs, 8000 MB and four pretended GPUs each (terminals stand in for device files), for tests of packing: Slurm
# hands them out and sets CUDA_VISIBLE_DEVICES as with real ones. Memory is handed out too, and a node that does not answer is lost after 20 s.
# Both kinds have names, addresses and ports of their own: one of each may be up.
# DIR is an absolute folder that this script owns. Daemons are stopped by their process id, nothing else is touched.
set -euo pipefail
action=${1:?start or stop}
dir=${2:?absolute folder}
kind=${3:-plain}
export SLURM_CONF=$dir/slurm.conf
case $kind in
  plain)
    bridge=dedatest0 network=10.78.0 controller_port=17817 node_port=17818 nodes=(dn1 dn2)
    resources="CPUs=2 RealMemory=6000"; selected=CR_Core; more_configuration= ;;
  gpus)
    bridge=dedatest1 network=10.79.0 controller_port=17837 node_port=17838 nodes=(gn1 gn2)
    # Without DefMemPerCPU a job would get all memory of a node, and so would its first step.
    resources="CPUs=8 RealMemory=8000 Gres=gpu:v100:4"; selected=CR_Core_Memory
    more_configuration=$'GresTypes=gpu\nSlurmdTimeout=20\nDefMemPerCPU=900' ;;
  *) echo "the kind of cluster is $kind; it can be gpus, or left out" >&2; exit 2 ;;
esac

stop_cluster() {
  local file node
  for file in "$dir"/slurmd.*.pid "$dir"/slurmctld.pid "$dir"/munged.pid; do
    [ -f "$file" ] && kill "$(cat "$file")" 2>/dev/null
    rm -f "$file"
  done
  sleep 1
  for node in "${nodes[@]}"; do
    ip link del "veth-$node" 2>/dev/null
    ip netns del "$node" 2>/dev/null
  done
  ip link del $bridge 2>/dev/null
  return 0
}

write_configuration() {
  cat >"$SLURM_CONF" <<CONF
ClusterName=$bridge
SlurmctldHost=$(hostname)($network.254)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=$selected
SchedulerType=sched/backfill
MpiDefault=pmix
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
KillWait=15
$more_configuration
NodeName=${nodes[0]} NodeAddr=$network.1 $resources
NodeName=${nodes[1]} NodeAddr=$network.2 $resources
PartitionName=main Nodes=${nodes[0]},${nodes[1]} Default=YES MaxTime=INFINITE State=UP
CONF
  if [ "$kind" = gpus ]; then echo "NodeName=${nodes[0]},${nodes[1]} Name=gpu Type=v100 File=/dev/tty[1-4]" >"$dir/gres.conf"; fi
  # Both nodes share this machine's /tmp: without a folder per node their PMIx servers collide.
  echo "PMIxCliTmpDirBase=$dir/pmix" >"$dir/mpi.conf"
}

start_munge() {
  munge -n >/dev/null 2>&1 && return 0
  mkdir -p /run/munge && chown munge: /run/munge
  if [ ! -s /etc/munge/munge.key ]; then
    dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none
    chown munge: /etc/munge/munge.key && chmod 400 /etc/munge/munge.key
  fi
  runuser -u munge -- munged --force
  cp /run/munge/munged.pid "$dir/munged.pid" 2>/dev/null || true
}

start_cluster() {
  local i node
  (set +e; stop_cluster)
  rm -rf "${dir:?}"/{state,pmix}
  mkdir -p "$dir"/{state,pmix}
  for node in "${nodes[@]}"; do
    rm -rf "$dir/spool.$node" "$dir/pmix.$node"
    mkdir -p "$dir/spool.$node" "$dir/pmix.$node"
  done
  write_configuration
  start_munge
  ip link add $bridge type bridge
  ip addr add $network.254/24 dev $bridge
  ip link set $bridge up
  for i in 1 2; do
    node=${nodes[i - 1]}
    ip netns add "$node"
    ip link add "veth-$node" type veth peer name eth0 netns "$node"
    ip link set "veth-$node" master $bridge up
    ip -n "$node" addr add "$network.$i/24" dev eth0
    ip -n "$node" link set eth0 up
    ip -n "$node" link set lo up
  done
  slurmctld
  for i in 1 2; do
    node=${nodes[i - 1]}
    # `ip netns exec` would remount /sys and hide the cgroups from slurmd; nsenter does not.
    nsenter --net="/run/netns/$node" unshare -m -u sh -c "hostname $node; mount --bind '$dir/pmix.$node' '$dir/pmix' && exec slurmd -N $node"
  done
  for i in $(seq 30); do
    [ "$(sinfo -h -N -o '%T' 2>/dev/null | grep -c idle)" = 2 ] && return 0
    sleep 1
  done
  echo "the two nodes did not come up within 30 s; see $dir/*.log" >&2
  tail -n 5 "$dir"/*.log >&2 || true
  return 1
}

case $action in
  start) start_cluster ;;
  stop) set +e; stop_cluster ;;
  *) echo "start or stop" >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# A real two-node Slurm on one machine: two slurmd daemons, each with its own network, host name and mounts, joined by a bridge.
# Needs root and: slurm-wlm munge iproute2.
#   cluster.sh start DIR    then: SLURM_CONF=DIR/slurm.conf sbatch ...
#   cluster.sh stop DIR
# DIR is an absolute folder that this script owns. Daemons are stopped by their process id, nothing else is touched.
set -euo pipefail
action=${1:?start or stop}
dir=${2:?absolute folder}
export SLURM_CONF=$dir/slurm.conf
bridge=dedatest0
nodes=(dn1 dn2)

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
ClusterName=dedatest
SlurmctldHost=$(hostname)(10.78.0.254)
SlurmctldPort=17817
SlurmdPort=17818
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
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
MpiDefault=pmix
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
KillWait=15
NodeName=dn1 NodeAddr=10.78.0.1 CPUs=2 RealMemory=6000
NodeName=dn2 NodeAddr=10.78.0.2 CPUs=2 RealMemory=6000
PartitionName=main Nodes=dn[1-2] Default=YES MaxTime=INFINITE State=UP
CONF
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
  rm -rf "${dir:?}"/{state,spool.dn1,spool.dn2,pmix,pmix.dn1,pmix.dn2}
  mkdir -p "$dir"/{state,spool.dn1,spool.dn2,pmix,pmix.dn1,pmix.dn2}
  write_configuration
  start_munge
  ip link add $bridge type bridge
  ip addr add 10.78.0.254/24 dev $bridge
  ip link set $bridge up
  for i in 1 2; do
    node=dn$i
    ip netns add "$node"
    ip link add "veth-$node" type veth peer name eth0 netns "$node"
    ip link set "veth-$node" master $bridge up
    ip -n "$node" addr add "10.78.0.$i/24" dev eth0
    ip -n "$node" link set eth0 up
    ip -n "$node" link set lo up
  done
  slurmctld
  for i in 1 2; do
    node=dn$i
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

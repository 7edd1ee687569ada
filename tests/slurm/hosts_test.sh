#!/usr/bin/env bash
# What can go wrong between hosts, on a real two-node Slurm, one rank on each node:
#   the nodes hold different copies of the pictures (one missing, one of another size, one changed in place): an error that names both;
#   the rank on the other node is killed, or stopped, while it works: the job ends soon, with an error that names rank and host, and the
#   same command then finishes with the bytes of an undisturbed run.
#   hosts_test.sh SOURCE_DIR PROGRAM WORK_DIR
set -uo pipefail
source_dir=$1; program=$2; work=$3/hosts
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=on_two_nodes.sh
source "$here/on_two_nodes.sh"
export OMP_NUM_THREADS=1 OMPI_MCA_fs_ufs_lock_algorithm=3 DEDA_CACHE_DIR=$work/cache
data=$work/pets
settings=(--config "$source_dir/tests/slurm/hosts.toml" --set "dataset.root=\"$data\"")
# That Slurm notices a dead task and ends the job would hide whether we do.
on_both() {  # on_both LOG ARGS...: deda on both nodes
  srun -N 2 -n 2 --mpi=pmix --kill-on-bad-exit=0 -t 5 "$program" "${@:2}" >"$work/$1.log" 2>&1
}
has() { grep -qF -- "$2" "$work/$1.log" || { echo "--- no \"$2\" in $1.log:"; tail -n 20 "$work/$1.log"; return 1; }; }

"$program" toy "${settings[@]}" >"$work/toy.log" 2>&1 || { cat "$work/toy.log"; exit 1; }

# --- other pictures on the other node: its own copy is mounted over the folder, as a local disk would be ---
node_mounts=/proc/$(cat "$cluster/slurmd.dn2.pid")/ns/mnt
picture=images/train/00006.png
[ -e "$data/$picture" ] || { echo "the toy dataset has no $picture"; exit 1; }
try_copy() {  # try_copy LOG: with the copy as it is now
  nsenter --mount="$node_mounts" mount --bind "$work/copy" "$data"
  on_both "$1" decouple "${settings[@]}" --out "$work/mixed"
  local code=$?
  nsenter --mount="$node_mounts" umount "$data"
  check "$1: exit code 3, not $code" test $code -eq 3
  check "$1: no result of a mixture" test ! -e "$work"/mixed/decouple-*/segment-000000.h5
  check "$1: names the other node" has "$1" "rank 1 on host dn2: "
  check "$1: names the picture" has "$1" "$picture"
}
cp -r "$data" "$work/copy"
printf 'x' >>"$work/copy/$picture"
try_copy larger
check "larger: names rank 0's node" has larger "for rank 0 on host dn1"
cp "$data/$picture" "$work/copy/$picture"
printf '\0' | dd of="$work/copy/$picture" bs=1 seek=60 conv=notrunc status=none
try_copy changed
rm "$work/copy/$picture"
try_copy missing

# --- a rank of the other node dies, or is stopped ---
on_both quiet decouple "${settings[@]}" --out "$work/quiet" || { tail "$work/quiet.log"; exit 1; }
rank_on_dn2() {
  local pid
  for pid in $(pgrep -f -- "--out $1\$"); do
    if [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$program")" ] && tr '\0' '\n' <"/proc/$pid/environ" | grep -qx SLURMD_NODENAME=dn2; then echo "$pid"; fi
  done
}
disturb() {  # disturb LOG SIGNAL SECONDS
  local out=$work/$1-out launcher victim= started
  DEDA_TIMEOUT_S=4 DEDA_END_GRACE_S=3 on_both "$1" decouple "${settings[@]}" --out "$out" &
  launcher=$!
  for _ in $(seq 200); do ls "$out"/decouple-*/segment-*.h5 >/dev/null 2>&1 && break; sleep 0.05; done
  victim=$(rank_on_dn2 "$out")
  check "$1: a rank works on dn2" test -n "$victim"
  started=$SECONDS
  [ -z "$victim" ] || kill "-$2" "$victim"
  wait $launcher
  local code=$?
  echo "$1: exit code $code after $((SECONDS - started)) s"
  check "$1: fails" test $code -ne 0
  check "$1: ends soon, not after $((SECONDS - started)) s" test $((SECONDS - started)) -le "$3"
  [ -z "$victim" ] || kill -9 "$victim" 2>/dev/null
  on_both "$1.again" decouple "${settings[@]}" --out "$out"
  check "$1: the same command finishes" test $? -eq 0
  check "$1: with the bytes of an undisturbed run" diff -rq --exclude='events-*' "$work"/quiet/decouple-* "$out"/decouple-*
}
disturb killed 9 20
check "killed: says which rank on which host" has killed "rank 1 on host dn2"
disturb stopped STOP 20
check "stopped: says which rank on which host" has stopped "rank 1 on host dn2"
exit $((problems > 0))

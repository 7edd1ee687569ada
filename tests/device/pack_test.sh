#!/usr/bin/env bash
# tests/device/pack.sh makes a pack; it is unpacked in a root of its own that holds the C library, bash, coreutils and a few more
# tools and LibTorch, but no MPI, HDF5, OpenCV or any other library of this machine; and run.sh passes there all that needs no GPU.
#   pack_test.sh SOURCE_DIR WORK_DIR        (environment: DEDA_BUILD_DIR, LIBTORCH_ROOT as cmake/setup.sh has them)
set -uo pipefail
source_dir=$1; work=$2/bare
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root to make a mount namespace and a root folder"
unshare -m true 2>/dev/null || skip "this machine does not let us make mount namespaces"
libtorch=${LIBTORCH_ROOT:-${DEDA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/deda}/libtorch-2.11.0/torch}
[ -e "$libtorch/lib/libtorch_cpu.so" ] || skip "there is no LibTorch at $libtorch"
libtorch=$(cd "$libtorch" && pwd)
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; problems=$((problems + 1)); fi; }

started=$SECONDS
rm -rf "$work"; mkdir -p "$work"
archive=$work/deda-device.tar.xz
DEDA_SKIP_PACKAGES=${DEDA_SKIP_PACKAGES:-0} bash "$source_dir/tests/device/pack.sh" --out "$archive" || { echo "FAILED: pack.sh"; exit 1; }
echo "packed after $((SECONDS - started)) s"
check "the pack has at most 60 MiB" test "$(stat -c %s "$archive")" -le $((60 * 1048576))

# ---- the bare root

root=$work/root
mkdir -p "$root"/{bin,usr/bin,etc,tmp,dev,proc,sys,home,work,packages,lib64}
tools=(bash cat chmod cp cut date dirname basename du env head hostname id ln ls mkdir mktemp mv nproc paste readlink rm sed grep seq sleep sort stat
  tail tar timeout touch tr uname wc xz find)
place() {   # place FILE: at the same path there
  mkdir -p "$root$(dirname "$1")"; [ -e "$root$1" ] || cp -L "$1" "$root$1"
}
for tool in "${tools[@]}"; do
  file=$(type -P "$tool") || skip "$tool is not installed"
  place "$file"
  for library in $(ldd "$file" | grep -o '/[^ ]*\.so[^ ]*'); do place "$library"; done
done
cp -L "$(type -P awk)" "$root/usr/bin/awk"
[ -e "$root/bin/bash" ] || ln -s "$(type -P bash)" "$root/bin/bash"
ln -sf bash "$root/bin/sh"
# The rest of the C library lies beside libc.so.6.
c_library=$(dirname "$(ldd "$(type -P bash)" | grep -o '/[^ ]*/libc\.so[^ ]*')")
for name in libm.so.6 libmvec.so.1 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2 libutil.so.1 libnss_files.so.2; do
  if [ -e "$c_library/$name" ]; then place "$c_library/$name"; fi
done
for library in $(ldd "$root/usr/bin/awk" | grep -o '/[^ ]*\.so[^ ]*'); do place "$library"; done
echo "root:x:0:0:root:/home:/bin/bash" >"$root/etc/passwd"
printf '127.0.0.1 localhost %s\n' "$(hostname)" >"$root/etc/hosts"
for name in libmpi libhdf5 libopencv_core libfmt libstdc++; do
  check "the bare root has no $name" test -z "$(find "$root" -name "$name*")"
done
mv "$archive" "$root/work/"

cat >"$root/work/inside.sh" <<'INSIDE'
cd /work && tar xf deda-device.tar.xz || exit 1
export LIBTORCH_ROOT=/packages/torch HOME=/home TMPDIR=/tmp PATH=/usr/bin:/bin DEDA_LIMIT_FACTOR=5   # other tests may run beside this one
bash deda-device/run.sh --only "$1" --out /work/results
echo $? >/work/code
# The loader itself says what it would load.
for file in deda-device/bin/* deda-device/lib/*.so* deda-device/lib/*/*.so; do
  echo "$file"; /lib64/ld-linux-x86-64.so.2 --list "$file" 2>&1
done >/work/libraries
INSIDE
# shellcheck disable=SC2317  # called through check
# shellcheck disable=SC2016  # for the shell in the namespace
run_inside() {
  timeout -k 10 900 env -i unshare --mount --pid --fork bash -c '
    set -e; root=$1; libtorch=$2
    mount --make-rprivate /
    mount --bind "$libtorch/.." "$root/packages"
    mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"; mount --rbind /sys "$root/sys"
    exec chroot "$root" /bin/bash /work/inside.sh "$3"' _ "$root" "$libtorch" "$1"
}
parts=${DEDA_PACK_TEST_PARTS:-1,2}
check "run.sh could be started in the bare root" run_inside "$parts"
echo "ran there after $((SECONDS - started)) s"

there=$root/work
check "run.sh ends with 0" test "$(cat "$there/code" 2>/dev/null)" = 0
check "part 1 says that there is no GPU" grep -q '^{"part":1,.*"status":"no_gpu"' "$there/results/results.jsonl"
check "part 2 passes on the CPU" grep -q '^{"part":2,.*"status":"passed".*"CPU only; device half: no_gpu' "$there/results/results.jsonl"
check "one line for each part" test "$(wc -l <"$there/results/results.jsonl")" -eq "$(tr , '\n' <<<"$parts" | wc -l)"
check "the table is written" grep -q '^| 2 | resnet50, fp32 |' "$there/results/results.md"
check "the table says that there is no card" grep -q '^- card: none' "$there/results/results.md"
check "no library comes from elsewhere" test "$(grep '=>' "$there/libraries" | grep -v 'not found' | grep -v '=> /work/deda-device/' | grep -c -v -E '=> (/usr)?/lib[^ ]*/(libc|libm|libmvec|libdl|libpthread|librt|libresolv|libutil|ld-linux[^ ]*)\.so')" -eq 0
check "only NVIDIA's libraries are missing" test "$(grep 'not found' "$there/libraries" | grep -c -v -E 'lib(cu|nv|nccl|torch_cuda|c10_cuda)')" -eq 0
check "no path of this machine is inside" test -z "$(grep -rlaF -e "$source_dir" -e "$2/" "$there/deda-device" --exclude-dir=libtorch)"
check "every file has RPATH, none RUNPATH" test "$(find "$there/deda-device/bin" "$there/deda-device/lib" -type f -exec readelf -d {} + | grep -c RUNPATH)" -eq 0

if [ "$problems" -ne 0 ]; then
  tail -n 30 "$there"/results/part-*.log "$there/results/gpu.log" 2>/dev/null
  cat "$there/results/results.md" 2>/dev/null
else
  cat "$there/results/results.md"
  rm -rf "$work"
fi
echo "all: $((SECONDS - started)) s"
exit $((problems > 0))

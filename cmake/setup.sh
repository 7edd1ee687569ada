#!/usr/bin/env bash
# The one set-up step that jobs/demo.sh and tests/run.sh share. Idempotent: what is there is reused, the second run takes seconds.
#   source cmake/setup.sh; deda_setup run|test; deda_build TARGET...
# Reuses a site's own modules and LibTorch. Environment it honours:
#   LIBTORCH_ROOT         a LibTorch of your own (folder with include/ and lib/), 2.7 or newer (README says with which it was tested)
#   DEDA_CACHE            where LibTorch is kept between clones (default ~/.cache/deda; without a home, build/cache)
#   DEDA_SKIP_PACKAGES=1  do not look at Debian packages (the site's modules bring everything)
#   DEDA_BUILD_DIR        build folder (default <clone>/build)
#   DEDA_JOBS             parallel compile jobs (default: cores, at most one per 2 GiB of memory)
set -euo pipefail

deda_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deda_build_dir=${DEDA_BUILD_DIR:-$deda_root/build}
torch_version=2.11.0
# What libtorch_cpu of each wheel loads besides itself (readelf -d), in the versions that the wheel asks for; the other NVIDIA
# packages (4 GB) are for GPUs only. Releases besides the first are there for tests/libtorch_versions.sh.
declare -A torch_companions=(
  [2.11.0]="nvidia-cuda-cupti==13.0.85 nvidia-cuda-runtime==13.0.96"
  [2.7.1]="nvidia-cuda-cupti-cu12==12.6.80 nvidia-cuda-runtime-cu12==12.6.77"
  [2.13.0]="nvidia-cuda-cupti==13.0.85 nvidia-cuda-runtime==13.0.96"
)
packages_run=(g++ cmake ninja-build ccache git ca-certificates python3 python3-pip unzip openmpi-bin libopenmpi-dev libhdf5-openmpi-dev hdf5-tools
  libopencv-dev libfmt-dev libspdlog-dev libtomlplusplus-dev libcli11-dev nlohmann-json3-dev libpugixml-dev libmatio-dev libxxhash-dev
  libjpeg-dev libpng-dev libutf8proc-dev libgtest-dev libgmock-dev libbenchmark-dev)
packages_test=(slurm-wlm munge iproute2 python3-pil python3-numpy)

say() { printf '%s\n' "$*" >&2; }
fail() { say "set-up: $*"; exit 2; }
if [ -n "${TMPDIR:-}" ] && [ ! -d "$TMPDIR" ]; then say "set-up: TMPDIR=$TMPDIR is no folder; /tmp is used"; unset TMPDIR; fi

deda_cache() {      # the folder that clones share; without HOME the one of the account, else one in the build folder
  local home=${HOME:-}
  if [ -z "$home" ]; then home=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6) || home=; fi
  if [ -n "${DEDA_CACHE:-}" ]; then echo "$DEDA_CACHE"
  elif [ -n "${XDG_CACHE_HOME:-}" ]; then echo "$XDG_CACHE_HOME/deda"
  elif [ -d "$home" ]; then echo "$home/.cache/deda"
  else echo "$deda_build_dir/cache"; fi
}

deda_packages() {   # deda_packages NAME...: install what dpkg does not know, or say what to do
  [ "${DEDA_SKIP_PACKAGES:-0}" = 1 ] && return 0
  command -v dpkg-query >/dev/null || return 0   # not Debian: CMake names what is missing
  local missing=() name
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    fail "these packages are missing: ${missing[*]}
  Ask for:  apt-get install ${missing[*]}
  or load your site's modules (a C++20 compiler, CMake 3.24, Ninja, Open MPI, parallel HDF5, OpenCV, fmt, GoogleTest) and set DEDA_SKIP_PACKAGES=1."
  fi
  say "set-up: installing ${missing[*]}"
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } \
    >"$deda_build_dir/packages.log" 2>&1 || { tail -n 20 "$deda_build_dir/packages.log" >&2; fail "apt-get failed; all of its output is in $deda_build_dir/packages.log"; }
}

deda_libtorch_is_complete() {   # deda_libtorch_is_complete FOLDER: where libcupti is, its companions were unpacked
  [ -e "$1/torch/lib/libtorch_cpu.so" ] && compgen -G "$1/nvidia/*/lib/libcupti.so.*" >/dev/null
}

deda_libtorch() {   # deda_libtorch [VERSION]: finds LibTorch or unpacks the wheel of PyPI; exports LIBTORCH_ROOT
  if [ -n "${LIBTORCH_ROOT:-}" ]; then
    [ -e "$LIBTORCH_ROOT/lib/libtorch_cpu.so" ] || fail "LIBTORCH_ROOT=$LIBTORCH_ROOT holds no lib/libtorch_cpu.so"
    export LIBTORCH_ROOT; return 0
  fi
  local version=${1:-$torch_version} cache target companions
  cache=$(deda_cache)
  read -r -a companions <<<"${torch_companions[$version]:-}"
  [ ${#companions[@]} -gt 0 ] || fail "what LibTorch $version loads is not written down yet: see torch_companions in cmake/setup.sh"
  target=$cache/libtorch-$version
  export LIBTORCH_ROOT=$target/torch
  deda_libtorch_is_complete "$target" && return 0
  mkdir -p "$cache" || fail "$cache cannot be made; name a folder for LibTorch in DEDA_CACHE, or one that is there in LIBTORCH_ROOT"
  exec 8>"$cache/lock" || fail "$cache cannot be written; name another folder in DEDA_CACHE"; flock 8                  # two set-ups at once: the second waits and finds it done
  if ! deda_libtorch_is_complete "$target"; then
    say "set-up: fetching LibTorch $version (0.5 to 0.9 GB) into $target"
    local work=$target.partial wheel
    rm -rf "$work" "$target"; mkdir -p "$work/wheels"
    # Wheels for one fixed Python: only headers and libraries are used, whatever Python is installed.
    python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_x86_64 \
      --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
      -d "$work/wheels" "torch==$version" "${companions[@]}" >"$deda_build_dir/libtorch.log" 2>&1 \
      || { tail -n 20 "$deda_build_dir/libtorch.log" >&2; fail "could not fetch LibTorch; set LIBTORCH_ROOT to one that your site has"; }
    for wheel in "$work"/wheels/*.whl; do
      unzip -q -o "$wheel" 'torch/lib/*' 'torch/include/*' 'nvidia/*/lib/*' -d "$work" 2>/dev/null || [ $? -eq 11 ]  # 11: a pattern matched nothing
    done
    rm -rf "$work/wheels" "$work/torch/lib/libtorch_python.so"
    [ -e "$work/torch/lib/libtorch_cpu.so" ] || fail "the torch wheel did not unpack (disk full?): $work"
    mv "$work" "$target"
  fi
  exec 8>&-
}

deda_setup() {      # deda_setup run|test [CMAKE_OPTION...]: packages, LibTorch, configured build folder
  mkdir -p "$deda_build_dir" || fail "$deda_build_dir cannot be made; name a folder in DEDA_BUILD_DIR"
  # ccache wants a home, too.
  if [ -z "${HOME:-}" ] && [ -z "${CCACHE_DIR:-}" ]; then CCACHE_DIR=$(deda_cache)/ccache; export CCACHE_DIR; fi
  deda_packages "${packages_run[@]}"
  if [ "${1:-run}" = test ]; then deda_packages "${packages_test[@]}"; fi
  deda_libtorch
  if [ ! -e "$deda_build_dir/build.ninja" ] || [ "$(cat "$deda_build_dir/.libtorch" 2>/dev/null)" != "$LIBTORCH_ROOT" ]; then
    cmake --preset default -S "$deda_root" -B "$deda_build_dir" -DLIBTORCH_ROOT="$LIBTORCH_ROOT" "${@:2}" >"$deda_build_dir/configure.log" 2>&1 \
      || { tail -n 30 "$deda_build_dir/configure.log" >&2; fail "CMake could not configure; all of its output is in $deda_build_dir/configure.log"; }
    grep -E '^--   |^-- deda ' "$deda_build_dir/configure.log" | sed 's/^-- //' >&2
    printf '%s' "$LIBTORCH_ROOT" >"$deda_build_dir/.libtorch"
  fi
}

deda_compile_jobs() {
  local cores memory_gib
  cores=$(nproc); memory_gib=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  local jobs=$((memory_gib / 2)); [ "$jobs" -lt 1 ] && jobs=1; [ "$jobs" -gt "$cores" ] && jobs=$cores
  echo "${DEDA_JOBS:-$jobs}"
}

deda_build() {      # deda_build [TARGET...]: compile; quiet unless it fails or runs long
  local started=$SECONDS log=$deda_build_dir/build.log targets=()
  [ $# -gt 0 ] && targets=(--target "$@")
  if ! cmake --build "$deda_build_dir" -j "$(deda_compile_jobs)" "${targets[@]}" >"$log" 2>&1; then
    grep -E -A 12 'error:|FAILED:|undefined reference' "$log" | head -n 60 >&2 || true
    fail "the build failed; all of its output is in $log"
  fi
  local took=$((SECONDS - started)); [ "$took" -gt 3 ] && say "build: $took s"
  return 0
}

# Environment for our own mpirun calls on one machine.
deda_mpi_environment() {
  export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none
  if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
}

# Called by name instead of sourced: just set up.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then deda_setup "${1:-run}"; fi

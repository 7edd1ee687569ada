#!/usr/bin/env bash
# Sets everything up, builds, and runs all tests: bash tests/run.sh [ctest options, e.g. -R io -L mpi]
# Order: the main build and its tests, then the broken-input tests under the address and undefined-behaviour sanitizers.
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/setup.sh"
started=$SECONDS
deda_setup test
deda_build
deda_mpi_environment
export OMP_NUM_THREADS=1
cd "$deda_build_dir"
say "set-up and build: $((SECONDS - started)) s"
failed=0
rm -f skipped.xml
ctest --output-on-failure --no-tests=error --output-junit skipped.xml -j "$(env -u OMP_NUM_THREADS nproc)" "$@" || failed=1
if [ -e skipped.xml ]; then python3 "$deda_root/tests/support/list_skipped.py" skipped.xml; fi
if [ $# -eq 0 ]; then
  deda_build_dir=$deda_root/build-asan
  mkdir -p "$deda_build_dir"
  [ -e "$deda_build_dir/build.ninja" ] || cmake --preset asan -S "$deda_root" -B "$deda_build_dir" >"$deda_build_dir/configure.log" 2>&1 \
    || { tail -n 30 "$deda_build_dir/configure.log" >&2; fail "CMake could not configure the sanitizer build"; }
  deda_build test_io_broken_inputs
  cd "$deda_build_dir"
  say "sanitizer build done at $((SECONDS - started)) s"
  ctest --output-on-failure --no-tests=error -R broken_inputs || failed=1
fi
say "all tests: $((SECONDS - started)) s, set-up and build included"
exit $failed

#!/usr/bin/env bash
# Compiles deda against other releases of LibTorch and runs the tests there, without the CUDA plugin:
#   bash tests/libtorch_versions.sh [VERSION...] [-- CTEST_OPTION...]     default: 2.7.1 2.13.0, the two ends of what is promised
# Each release is fetched once (into DEDA_CACHE), is built in a folder of its own (build-libtorch-VERSION, continued when called
# again) and ends in one line; exit code 1 if one failed. An hour each on two cores, 6 GB of disk each.
# Another release: add what its libtorch_cpu loads to torch_companions in cmake/setup.sh. Environment: see there; DEDA_BUILD_DIR and
# LIBTORCH_ROOT are set here.
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/setup.sh"

versions=() ctest_options=()
while [ $# -gt 0 ]; do
  if [ "$1" = -- ]; then ctest_options=("${@:2}"); break; fi
  versions+=("$1"); shift
done
[ ${#versions[@]} -gt 0 ] || versions=(2.7.1 2.13.0)

count() { grep -c -E "$1" "$deda_build_dir/ctest.log" || true; }

test_with() {   # test_with VERSION: one line on stdout; everything else goes into the build folder
  local version=$1 started=$SECONDS status=0 passed skipped failed
  deda_build_dir=$deda_root/build-libtorch-$version
  unset LIBTORCH_ROOT
  mkdir -p "$deda_build_dir"
  deda_libtorch "$version"
  deda_setup test -DDEDA_CUDA=OFF -DDEDA_BENCHMARKS=OFF
  deda_build
  deda_mpi_environment
  (cd "$deda_build_dir" && OMP_NUM_THREADS=1 ctest --output-on-failure --no-tests=error -j "$(nproc)" "${ctest_options[@]}") \
    >"$deda_build_dir/ctest.log" 2>&1 || status=1
  # A line a test, "12/300 Test #3: name ....   Passed    0.41 sec"; all that is neither passed nor skipped has stars before it.
  passed=$(count '^ *[0-9]+/[0-9]+ Test .* Passed +[0-9.]+ sec')
  skipped=$(count '^ *[0-9]+/[0-9]+ Test .*\*\*\*Skipped')
  failed=$(($(count '^ *[0-9]+/[0-9]+ Test .*\*\*\*') - skipped))
  echo "LibTorch $version: $passed passed, $failed failed, $skipped skipped in $((SECONDS - started)) s"
  if [ "$status" -ne 0 ]; then
    sed -n '/^The following tests FAILED/,$p' "$deda_build_dir/ctest.log" >&2
    say "all of the output is in $deda_build_dir/ctest.log"
  fi
  return $status
}

failures=0
for version in "${versions[@]}"; do
  # In a process of its own: what one release exports or fails at does not reach the next.
  set +e; (set -e; test_with "$version"); status=$?; set -e
  if [ $status -eq 2 ]; then echo "LibTorch $version: not tested (see above)"; fi
  if [ $status -ne 0 ]; then failures=$((failures + 1)); fi
done
[ $failures -eq 0 ]

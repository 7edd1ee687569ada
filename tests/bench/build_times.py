#!/usr/bin/env python3
"""How long the project takes to build from nothing, by folder and by file, so that growth is seen.

  python3 tests/bench/build_times.py [--build DIR] [--jobs N] [--source DIR] [--dearest N]

Configures DIR (default: a temporary folder) without ccache, builds the program with its CUDA plugin where a toolkit is,
then the tests, and prints the wall time of both, the processor time of the compilations by folder, and the dearest files.
LIBTORCH_ROOT is taken from the environment, else as cmake/setup.sh finds it. Wall times are those of a quiet machine only
where nothing else runs; processor times hardly depend on that.
"""
import argparse
import collections
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

LOG = "DEDA_BUILD_TIMES"


def as_launcher(command):
    """CMake's compiler launcher: runs the compiler and notes its processor time beside the object's name."""
    code = subprocess.call(command)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = next((command[i + 1] for i, word in enumerate(command[:-1]) if word == "-o"), "?")
    with open(os.environ[LOG], "a") as log:
        log.write(f"{used.ru_utime + used.ru_stime:.2f}\t{used.ru_maxrss // 1024}\t{output}\n")
    return code


def folder_of(target):
    """src/models/CMakeFiles/deda_models.dir/sam/sam.cpp.o -> src/models/sam"""
    before, _, inside = target.partition("/CMakeFiles/")
    parts = inside.split("/")
    return "/".join([before] + parts[1:-1])


def read(log):
    rows = []
    for line in pathlib.Path(log).read_text().splitlines():
        seconds, megabytes, target = line.split("\t")
        rows.append((float(seconds), int(megabytes), target))
    return rows


def table(rows, dearest):
    folders = collections.defaultdict(lambda: [0, 0.0])
    for seconds, _, target in rows:
        folders[folder_of(target)][0] += 1
        folders[folder_of(target)][1] += seconds
    print(f"{'folder':<44} {'files':>6} {'seconds':>9}")
    for folder, (count, seconds) in sorted(folders.items(), key=lambda entry: -entry[1][1]):
        print(f"{folder:<44} {count:>6} {seconds:>9.0f}")
    print(f"{'all':<44} {len(rows):>6} {sum(row[0] for row in rows):>9.0f}   (processor time)")
    print(f"\n{'dearest files':<74} {'seconds':>8} {'MiB':>6}")
    for seconds, megabytes, target in sorted(rows, reverse=True)[:dearest]:
        print(f"{target:<74} {seconds:>8.1f} {megabytes:>6}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="folder to build in; must not exist")
    parser.add_argument("--source", default=str(pathlib.Path(__file__).resolve().parents[2]))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--dearest", type=int, default=25)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        build = pathlib.Path(options.build or f"{temporary}/build").resolve()
        if build.exists():
            sys.exit(f"{build} exists: name a folder that does not")
        build.mkdir(parents=True)
        log = build / "build_times.tsv"
        log.touch()
        environment = dict(os.environ, **{LOG: str(log)}, CCACHE_DISABLE="1")
        subprocess.run(["cmake", "-S", options.source, "-B", str(build), "-G", "Ninja",
                        f"-DCMAKE_CXX_COMPILER_LAUNCHER=python3;{pathlib.Path(__file__).resolve()};--launch"],
                       env=environment, check=True, stdout=subprocess.DEVNULL)
        for name, targets in (("the program", ["deda"]), ("tests and benchmarks", ["all"])):
            before, started = len(read(log)), time.monotonic()
            with open(build / "build.log", "a") as output:
                if subprocess.call(["ninja", "-C", str(build), f"-j{options.jobs}", *targets], env=environment, stdout=output):
                    sys.exit(f"the build failed: see {build}/build.log" if options.build else "the build failed: name --build to keep its log")
            rows = read(log)[before:]
            print(f"\n=== {name}: {time.monotonic() - started:.0f} s on {options.jobs} cores, {len(rows)} files\n")
            table(rows, options.dearest)
            sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--launch":
        sys.exit(as_launcher(sys.argv[2:]))
    main()

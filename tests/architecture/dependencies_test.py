"""Checks that dependencies point down: from the #include lines, from the link lists, and where MPI, HDF5 and Torch may be named.

The order is the design's: jobs -> study -> report -> pipeline -> {decoupling, diffusion, augment, training} -> {mixing, data, models, device} -> io -> comm -> core.
Usage: dependencies_test.py SOURCE_DIR
"""
import pathlib
import re
import sys

ALLOWED = {
    "core": set(),
    "mixing": {"core"},
    "generative": {"io", "comm", "core"},
    "comm": {"core"},
    "comm/c10d": {"comm", "core"},
    "io": {"comm", "core"},
    "data": {"io", "comm", "core"},
    "device": {"comm", "comm/c10d", "core"},
    "models": {"io", "core"},
    "decoupling": {"data", "io", "comm", "core"},
    "decoupling/networks": {"device", "decoupling", "models", "data", "io", "comm", "comm/c10d", "core"},
    "augment": {"mixing", "generative", "data", "io", "comm", "core"},
    "diffusion": {"generative", "device", "models", "data", "io", "comm", "comm/c10d", "core"},
    "training": {"device", "augment", "mixing", "generative", "models", "data", "io", "comm", "comm/c10d", "core"},
    "pipeline": {"decoupling", "diffusion", "augment", "mixing", "generative", "training", "data", "models", "io", "comm", "core"},
    "report": {"pipeline", "decoupling", "diffusion", "augment", "mixing", "generative", "training", "data", "models", "io", "comm", "core"},
    "study": {"pipeline", "report", "decoupling", "diffusion", "augment", "training", "data", "models", "io", "comm", "core"},
}
TORCH_FOLDERS = {"comm/c10d", "device", "decoupling/networks", "models", "diffusion", "training", "study"}
LIBRARIES_INSIDE = ("comm/c10d", "decoupling/networks")  # folders with a library of their own inside another
TARGET_OF = {name.split("/")[-1]: name for name in ALLOWED}  # deda::c10d is the folder comm/c10d
TARGET_OF |= {"model_files": "models", "diffusion_files": "diffusion"}  # their parts that need no Torch

problems = []


def folder_of(path, source):
    return folder_of_include(path.relative_to(source / "src").as_posix())


def folder_of_include(include):
    for inside in LIBRARIES_INSIDE:
        if include.startswith(inside + "/"):
            return inside
    return include.split("/")[0]


def check_includes(source):
    seen = 0
    for path in sorted((source / "src").rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu"} or path.parent == source / "src":
            continue
        here = folder_of(path, source)
        if here not in ALLOWED:
            problems.append(f"{path}: folder {here} is not in the design")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            seen += 1
            kind, include = match.groups()
            where = f"{path.relative_to(source)}:{number}"
            if kind == '"':
                there = folder_of_include(include)
                if there == "jobs":
                    problems.append(f"{where}: src/ must not include jobs/ ({include})")
                elif there in ALLOWED and there != here and there not in ALLOWED[here]:
                    problems.append(f"{where}: {here} must not use {there} ({include})")
            if include == "mpi.h" and here not in {"comm", "comm/c10d", "io"}:
                problems.append(f"{where}: mpi.h belongs in src/comm (and in src/io for parallel HDF5)")
            if include == "mpi.h" and here == "io" and path.suffix == ".h" and "hdf5" not in path.name:
                problems.append(f"{where}: mpi.h must not leak through a header of src/io")
            if include in {"nccl.h"} and here != "comm/c10d":
                problems.append(f"{where}: NCCL belongs in src/comm/c10d")
            if re.match(r"hdf5|H5", include) and here != "io":
                problems.append(f"{where}: HDF5 belongs in src/io")
            if re.match(r"(torch|ATen|c10)/", include) and here not in TORCH_FOLDERS:
                problems.append(f"{where}: Torch belongs in {', '.join(sorted(TORCH_FOLDERS))}")
        if "MPI_COMM_WORLD" in path.read_text() and not path.name.startswith("communicator"):
            problems.append(f"{path.relative_to(source)}: names MPI_COMM_WORLD; only jobs/ and Communicator::world may")
    if seen < 50:
        problems.append(f"only {seen} includes seen: is the source folder right?")


def check_links(source):
    calls = 0
    for path in sorted((source / "src").rglob("CMakeLists.txt")):
        for match in re.finditer(r"deda_add_library\(\s*(\w+)(.*?)\)\s*$", path.read_text(), re.S | re.M):
            calls += 1
            here = TARGET_OF.get(match.group(1))
            if here is None:
                problems.append(f"{path.relative_to(source)}: library {match.group(1)} has no folder in the design")
                continue
            for name in re.findall(r"deda::(\w+)", match.group(2)):
                there = TARGET_OF.get(name)
                if there is None or (there != here and there not in ALLOWED[here]):
                    problems.append(f"{path.relative_to(source)}: {here} must not link deda::{name}")
    if calls < 5:
        problems.append(f"only {calls} libraries seen: is the source folder right?")


def main():
    source = pathlib.Path(sys.argv[1]).resolve()
    check_includes(source)
    check_links(source)
    for folder in ALLOWED:
        if not any((source / "src" / folder).glob("README.md")):
            problems.append(f"src/{folder} has no README.md")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main())

"""What the tests of this folder share: an interpreter with Pillow and numpy, running deda, reading what it left."""
import json, os, re, subprocess, sys, time
from pathlib import Path

SKIPPED = 77
# For mpirun as root on one machine, where the caller says nothing else.
MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
       "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIPPED)


def require_pillow():
    """Goes on under the system's Python where this one lacks Pillow or numpy (python3-pil, python3-numpy of Debian)."""
    try:
        import numpy, PIL  # noqa: F401
        return
    except ImportError:
        pass
    system = "/usr/bin/python3"
    if os.environ.get("DEDA_TEST_OTHER_PYTHON") or not os.path.exists(system):
        skip("no Pillow or no numpy here (Debian: python3-pil, python3-numpy)")
    os.environ["DEDA_TEST_OTHER_PYTHON"] = "1"
    os.execv(system, [system] + sys.argv)


def toml_text(path):
    """A path as a TOML string."""
    text = str(path)
    return '"' + "".join(c if c not in '"\\' and ord(c) >= 32 else f"\\u{ord(c):04X}" for c in text) + '"'


def bytes_of_name(text):
    """The name of a file as a store writes it (src/core/escaped_name.h), as bytes."""
    return re.sub(rb"\\x([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode(errors="surrogateescape"))


class Run:
    """One call of deda (`extra`: environment): exit code (None: it hung and was ended), output, and the store that it made."""

    def __init__(self, program, command, output, settings, ranks=1, timeout=60, cwd=None, user=None, options=(), extra=None):
        arguments = [str(program), command, "--out", str(output)]
        for key, value in settings.items():
            arguments += ["--set", f"{key}={value}"]
        arguments += options
        if ranks > 1:
            arguments = ["mpirun", "-n", str(ranks)] + arguments
        environment = dict(MPI, **os.environ)
        environment.update(OMP_NUM_THREADS="1", DEDA_CACHE_DIR=str(output) + "_cache", **(extra or {}))
        started = time.time()
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=environment,
                                   start_new_session=True, **({"user": user, "group": user} if user is not None else {}))
        try:
            out, err = process.communicate(timeout=timeout)
            self.code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)   # our own process group
            out, err = process.communicate()
            self.code = None
        self.seconds = time.time() - started
        self.out, self.err = out.decode(errors="backslashreplace"), err.decode(errors="backslashreplace")
        self.folders = sorted(Path(output).glob("decouple-*")) if Path(output).is_dir() else []
        self.manifest = self.looks = None
        if len(self.folders) == 1 and (self.folders[0] / "manifest.json").exists():
            self.manifest = json.loads((self.folders[0] / "manifest.json").read_bytes().decode(errors="surrogateescape"))
            self.looks = [json.loads(line) for file in sorted(self.folders[0].glob("looks-*.jsonl"))
                          for line in file.read_bytes().decode(errors="surrogateescape").splitlines()]

    @property
    def complete(self):
        return self.code == 0 and self.manifest is not None and self.manifest["complete"]

    @property
    def outcomes(self):
        return {name: count for name, count in self.manifest["outcomes"].items() if count}

    @property
    def adds_up(self):
        return sum(self.manifest["outcomes"].values()) == self.manifest["items"] == len(self.manifest["sources"])

    @property
    def sources(self):
        return self.manifest["sources"]

    def look(self, source):
        return next(look for look in self.looks if look["source"] == source)

    def box(self, source):
        """Of the only object of a picture, as the mask source saw it; None where there is none."""
        objects = [o for attempt in self.look(source)["attempts"] for o in attempt["objects"]]
        return [round(side) for side in objects[0]["box"]] if len(objects) == 1 else None

    def notes(self):
        return [line.split("warning: ", 1)[1] for line in self.err.splitlines() if "warning: " in line]

    def note_count(self, pattern):
        """The number that a note begins with, summed over notes that match; 0 where there is none."""
        return sum(int(found[1]) for note in self.notes() if (found := re.search(r"(\d+) " + pattern, note)))

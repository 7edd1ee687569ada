#!/usr/bin/env python3
"""Random folders of pictures, as people might have them: layouts, names, suffixes, links, permissions, broken files, masks
of all kinds and sizes. For each, deda decouples it, and every file is accounted for: an item of the store with one outcome,
a mask, or counted in a note; or the whole ends with an error that names the folder. No crash, no hang.
   random_folders.py PROGRAM WORK_DIR [--seed N] [--count N] [--only I] [--keep]
The seed is fixed, so that a failure comes again: --only I --keep makes that folder alone and leaves it there."""
import os, random, re, shutil, socket, stat, struct, subprocess, sys, tempfile, zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import common
from common import Run, toml_text

common.require_pillow()
import io
import numpy as np
from PIL import Image


def option(name, default):
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


program, work = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
# All 500 take minutes with LibTorch, which every start loads: DEDA_TEST_ALL=1, or --count 500.
seed, count, only = option("--seed", 20261127), option("--count", 500 if os.environ.get("DEDA_TEST_ALL") else 160), option("--only", -1)
keep = "--keep" in sys.argv
as_root = os.geteuid() == 0
NOBODY = 65534
# The program's libraries may lie where only root can read.
nobody_can_run = as_root and subprocess.run([str(program), "--version"], user=NOBODY, group=NOBODY, capture_output=True).returncode == 0

# --- what a file may be

READ = (".jpg .jpeg .jpe .jfif .jif .mpo .png .apng .bmp .dib .webp .tif .tiff .gif .ppm .pgm .pbm .pnm").split()
OTHER = ".heic .avif .jp2 .psd .svg .cr2 .tga".split()
CLUTTER = ["@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini", ".DS_Store", ".ipynb_checkpoints", "._x.png", "#recycle"]


def encoded(image, kind):
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def picture_bytes(rng, cache={}):
    """Tiny pictures of every format, some of them broken; few different ones, since encoding takes the time."""
    if not cache:
        y, x = np.mgrid[0:12, 0:16]
        disc = (x - 8) ** 2 + (y - 6) ** 2 < 16
        colours = np.stack([x * 12, y * 16, 90 + 0 * x], 2).astype(np.uint8)
        colours[disc] = (210, 60, 40)
        image = Image.fromarray(colours)
        good = [encoded(image, k) for k in ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")]
        good += [encoded(image.convert("L"), "PPM"), encoded(image.convert("1"), "PPM"), encoded(image.quantize(8), "PNG"),
                 encoded(image.convert("LA"), "PNG"), b"P3\n# by hand\n2 1\n255\n1 2 3 4 5 6\n",
                 b"P5 4 4 4095\n" + bytes(32)]
        header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        bad = [b"", b"<html>404</html>", good[0][:60], good[1][:200], good[2][:100], b"P6\n9 9\n255\nxx", bomb,
               b"\0\0\0\x18ftypheic" + bytes(40), os.urandom(0) + bytes(range(256))]
        cache["good"], cache["bad"] = good, bad
        tall = Image.fromarray(np.zeros((16, 12), np.uint8))
        mask = (disc * 255).astype(np.uint8)
        L = Image.fromarray(mask)
        cache["masks"] = [encoded(L, "PNG"), encoded(Image.fromarray(disc.astype(np.uint8)), "PNG"), encoded(L.convert("1"), "PNG"),
                          encoded(L.convert("RGB"), "PNG"), encoded(L.quantize(2), "PNG"), encoded(L, "JPEG"), encoded(L, "BMP"),
                          encoded(L, "GIF"), encoded(L, "TIFF"), encoded(L, "PPM"),
                          encoded(Image.fromarray((disc * 65535).astype(np.uint16)), "PNG"),
                          encoded(Image.fromarray(np.dstack([colours, mask])), "PNG"), encoded(tall, "PNG"),
                          encoded(Image.fromarray(0 * mask), "PNG"), encoded(Image.fromarray(0 * mask + 255), "PNG"),
                          b"", b"no mask", good[0][:50]]
    return rng.choice(cache["good"] if rng.random() < 0.85 else cache["bad"])


def mask_bytes(rng):
    picture_bytes(rng)
    masks = picture_bytes.__defaults__[0]["masks"]
    return masks[0] if rng.random() < 0.4 else rng.choice(masks)


def name_for(rng, i):
    pool = [b"img_%d" % i, b"IMG%04d" % i, b"%d" % i, b"a b %d" % i, "größe_%d".encode() % i, "北京%d".encode() % i,
            b"#%d hash" % i, b"q\"%d" % i, b"it's %d" % i, b"a.b.%d" % i, b"back\\%d" % i, b"-dash%d" % i, b"$(x)%d" % i,
            b"semi;%d" % i, b"100%%%d" % i, b" lead%d" % i, b"<b>%d&amp;" % i]
    odd = [b"new\nline%d" % i, b"tab\t%d" % i, b"latin\xe9%d" % i, b"\xff\xfe%d" % i, b"x" * 200 + b"%d" % i, b"\x1b[31m%d" % i]
    return rng.choice(odd if rng.random() < 0.06 else pool)


class Maker:
    """One random folder: `root`, and the settings to read it with."""

    def __init__(self, base, number):
        self.rng = random.Random(seed * 1000003 + number)
        self.base = os.fsencode(base)
        self.root = self.base + b"/set"
        self.locked = []          # paths whose permissions were taken
        self.ranks = 2 if number % 12 == 5 else 1
        os.makedirs(self.root)
        self.make()

    def write(self, path, data):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.lexists(path):
            with open(path, "wb") as file:
                file.write(data)

    def suffix(self):
        kind = self.rng.random()
        if kind < 0.7:
            return self.rng.choice((b".png", b".jpg", b".png", b".JPG", b".jpeg"))
        if kind < 0.9:
            return self.rng.choice(READ).encode()
        if kind < 0.95:
            return self.rng.choice(OTHER).encode()
        return self.rng.choice((b".txt", b"", b".xml", b".npy", b".png.part"))

    def class_folder(self, folder, masks, pictures):
        rng = self.rng
        os.makedirs(folder, exist_ok=True)
        for i in range(pictures):
            stem, suffix = name_for(rng, i), self.suffix()
            inside = rng.choice((b"", b"", b"", b"", b"more/", b"more/deep/")) if rng.random() < 0.2 else b""
            self.write(folder + b"/" + inside + stem + suffix, picture_bytes(rng))
            if masks and rng.random() < 0.85:
                self.write(masks + b"/" + inside + stem + rng.choice((b".png", b".png", b".bmp", b".jpg", b".tif", b".pgm")),
                           mask_bytes(rng))
        if rng.random() < 0.25:
            self.oddity(folder)

    def oddity(self, folder):
        rng, i = self.rng, self.rng.randrange(10 ** 6)
        kind = rng.choice("clutter hidden dangling loop filelink folderlink self pipe socket empty locked lockedfile nested".split())
        path = folder + b"/odd%d" % i
        if kind == "clutter":
            name = rng.choice(CLUTTER).encode()
            self.write(folder + b"/" + name + (b"/x.png/SYNOPHOTO.jpg" if b"." not in name[1:] else b""), b"x")
        elif kind == "hidden":
            self.write(folder + rng.choice((b"/.hidden.png", b"/.cache/x.png")), picture_bytes(rng))
        elif kind == "dangling":
            os.symlink(b"/nowhere/x.png", path + b".png")
        elif kind == "loop":
            os.symlink(rng.choice((b".", b"..", self.root) if folder != self.root else (b".", self.root)), path)
        elif kind == "filelink":
            self.write(self.base + b"/real/%d.png" % i, picture_bytes(rng))
            os.symlink(self.base + b"/real/%d.png" % i, path + b".png")
        elif kind == "folderlink":
            for n in range(2):
                self.write(self.base + b"/real%d/%d.png" % (i, n), picture_bytes(rng))
            os.symlink(self.base + b"/real%d" % i, path)
        elif kind == "self":
            os.symlink(path + b".png", path + b".png")
        elif kind == "pipe":
            os.mkfifo(path + b".png")
        elif kind == "socket":
            if len(path) < 90:
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(path + b".jpg")
        elif kind == "empty":
            os.makedirs(path)
        elif kind == "nested":
            self.write(path + b"/a/b/c/x.png", picture_bytes(rng))
        elif kind in ("locked", "lockedfile") and rng.random() < 0.5:
            locked = path + (b"/x.png" if kind == "lockedfile" else b"")
            self.write(path + b"/x.png", picture_bytes(rng))
            self.locked.append(locked)

    def make(self):
        rng = self.rng
        classes = rng.sample([b"cat", b"dog", b"fox", b"bird", b"train", b"masks", b"C# class", "naïve".encode(), b"737-800",
                              b"a=b", b"Images", b"test"], rng.choice((1, 2, 2, 2, 3, 3, 4)))
        if rng.random() < 0.03:
            classes.append(b"latin\xe9")
        masks_at = rng.choice(("beside", "inside", "inside", "unset", "none"))
        layout = rng.choice(("classes", "classes", "classes", "splits", "splits", "wrapped", "images", "split_images", "flat", "empty",
                             "mixed"))
        masks = {"beside": self.base + b"/set_masks", "inside": self.root + b"/" + rng.choice((b"masks", b"Masks", b"seg_masks")),
                 "unset": self.root + b"/masks", "none": None}[masks_at]
        places = [b""]
        if layout in ("splits", "split_images"):
            style = rng.choice((str.lower, str.title, str.upper))
            names = rng.choice((("train", "test"), ("train", "val"), ("train", "valid", "test"), ("training", "testing"), ("train",), ("test",)))
            places = [style(name).encode() for name in names]
        inner = {"wrapped": b"pets_v2", "images": b"images", "split_images": b"images"}.get(layout, b"")
        for place in places:
            for name in classes:
                parts = [part for part in (place, inner, name) if part]
                mask_parts = [part for part in (place, name) if part]
                if layout in ("flat", "empty"):
                    continue
                if layout in ("splits", "split_images") and rng.random() < 0.1:
                    continue
                self.class_folder(b"/".join([self.root] + parts), masks and b"/".join([masks] + mask_parts), rng.choice((1, 2, 3, 5)))
        if layout == "flat" or layout == "mixed":
            self.class_folder(self.root, masks, 4)
        if rng.random() < 0.3:
            self.oddity(self.root)
        if rng.random() < 0.1:
            self.write(self.root + b"/extra/x.png", picture_bytes(rng))
        root_text, mask_text = os.fsdecode(self.root), os.fsdecode(masks) if masks else ""
        if rng.random() < 0.2:
            os.symlink(self.root, self.base + b"/by_link")
            root_text = os.fsdecode(self.base + b"/by_link")
        self.settings = {"dataset.layout": '"folder"', "dataset.root": toml_text(root_text + rng.choice(("", "/", "//"))),
                         "decouple.split": rng.choice(('"all"', '"all"', '"all"', '"train"')),
                         "decouple.max_failed_share": "1.0", "decouple.items_per_segment": rng.choice(("1", "3", "256"))}
        self.masks = None
        if masks_at in ("beside", "inside") and os.path.isdir(masks):
            self.masks = masks
            self.settings["dataset.masks"] = toml_text(mask_text + rng.choice(("", "/")))

    def lock(self, user):
        for folder, folders, files in os.walk(self.base):
            for name in folders + files + [b""]:
                if user is not None:
                    os.lchown(os.path.join(folder, name) if name else folder, user, user)
        for path in self.locked:
            os.chmod(path, 0)

    def unlock(self):
        for path in self.locked:
            os.chmod(path, 0o700)


# --- what is in a folder, by rules of this file's own

def kinds_in(root, passed_over):
    """Pictures (bytes, relative) and numbers of everything else by kind; None for `pictures` where a folder is locked."""
    pictures, numbers = [], dict.fromkeys("clutter hidden other no_picture dead loop special".split(), 0)
    locked = False

    def walk(folder, relative, open_):
        nonlocal locked
        me = os.stat(folder)
        if (me.st_dev, me.st_ino) in open_:
            numbers["loop"] += 1
            return
        if stat.S_IMODE(me.st_mode) == 0:
            locked = True
            return
        for name in sorted(os.listdir(folder)):
            path, inside = folder + b"/" + name, relative + name
            try:
                status = os.stat(path)
            except OSError:
                status = None
            if status and (status.st_dev, status.st_ino) in passed_over:
                continue
            text = name.decode(errors="replace")
            suffix = os.path.splitext(text)[1].lower()
            if text in CLUTTER or text.startswith("._"):
                numbers["clutter"] += 1
            elif text.startswith("."):
                numbers["hidden"] += 1
            elif status is None:
                numbers["dead"] += 1
            elif stat.S_ISDIR(status.st_mode):
                walk(path, inside + b"/", open_ | {(me.st_dev, me.st_ino)})
            elif not stat.S_ISREG(status.st_mode):
                numbers["special"] += 1
            elif suffix in READ:
                pictures.append(inside)
            else:
                numbers["other" if suffix in OTHER else "no_picture"] += 1

    walk(root, b"", frozenset())
    return pictures, numbers, locked


NOTES = {"clutter": r"files? or folders? of file managers", "hidden": r"hidden files? or folders?", "dead": r"links? that leads? nowhere",
         "other": r"pictures? of (a kind|kinds) that (is|are) not read", "no_picture": r"files? that (is no picture|are no pictures) by",
         "loop": r"links? to (a folder|folders) that (it|they) lies? in", "special": r"pipes?, sockets? or devices?"}


def examine(number):
    """Problems of one folder, as text; and how it ended."""
    base = tempfile.mkdtemp(prefix=f"folder{number}-", dir=work)
    problems = []
    try:
        maker = Maker(base, number)
        if as_root and not nobody_can_run:
            maker.locked.clear()   # nothing is closed to root
        user = NOBODY if as_root and maker.locked else None
        os.chmod(base, 0o777)
        maker.lock(user)
        run = Run(program, "decouple", base + "/out", maker.settings, ranks=maker.ranks if user is None else 1, timeout=60, user=user,
                  cwd=base)
        maker.unlock()
        problems = judge(maker, run, base)
        return number, run.code, problems
    finally:
        if not keep:
            shutil.rmtree(base, ignore_errors=True)
        else:
            print("kept:", base)


def judge(maker, run, base):
    problems = []
    last = " | ".join(run.err.splitlines()[-6:])
    if run.code is None:
        return ["hangs: " + last]
    if run.code not in (0, 2, 3):
        return [f"exit code {run.code}: {last}"]
    for line in (run.out + run.err).splitlines():
        if re.search(r"terminate called|Segmentation|Assertion|nlohmann|\[json", line):
            problems.append("a crash or a library's message: " + line)
    if run.code != 0:
        names = [os.fsdecode(maker.root), base, "dataset."]
        if not any(name in run.err for name in names):
            problems.append("refused without naming the folder: " + last)
        return problems
    if not run.complete or not run.adds_up:
        return problems + ["the store is not complete or its outcomes do not add up: " + last]
    passed_over = set()
    if maker.masks:
        status = os.stat(maker.masks)
        passed_over.add((status.st_dev, status.st_ino))
    for path in maker.locked:
        os.chmod(path, 0)
    pictures, numbers, locked = kinds_in(maker.root, passed_over)
    maker.unlock()
    if locked and not any("cannot be read" in note for note in run.notes()):
        problems.append("a locked folder is not told")
    # Pictures: items (of the chosen split), masks found inside, or counted as left out.
    taken = re.search(r"the folder (.*) is taken as the masks", run.err)
    mask_folders = re.findall(r"the folder (.*?) is taken as the masks", run.err)
    as_masks = [p for p in pictures if any(p.startswith(os.fsencode(folder) + b"/") for folder in mask_folders)]
    rest = len(pictures) - len(as_masks)
    told = run.note_count(r"pictures that lie in no class folder") + run.note_count(r"pictures in folders that are no class")
    if maker.settings["decouple.split"] == '"all"':
        if run.manifest["items"] + told != rest:
            problems.append(f"{rest} pictures, but {run.manifest['items']} items and {told} told: {run.notes()}")
        items = {common.bytes_of_name(source) for source in run.sources}
        if not items <= set(pictures):
            problems.append(f"items that are no pictures: {sorted(items - set(pictures))[:3]}")
    for kind, pattern in NOTES.items():
        # Notes on dataset.masks have a beginning of their own.
        found = sum(int(m[1]) for note in run.notes() if note.startswith("left out: ") and (m := re.search(r"(\d+) " + pattern, note)))
        if found != numbers[kind]:
            problems.append(f"{numbers[kind]} x {kind}, but {found} told: {run.notes()}")
    if taken and maker.masks:
        problems.append("masks were taken although dataset.masks names a folder")
    return problems


def main():
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for folder in (work, *work.parents):
        if as_root and not os.stat(folder).st_mode & stat.S_IXOTH:
            print(f"folders without permission are refused as a whole: {folder} is closed to the user nobody")
            break
    if as_root and not nobody_can_run:
        print("folders without permission are not looked at: the user nobody cannot run the program, and root may read everything")
    numbers = [only] if only >= 0 else range(count)
    endings, failed = {}, 0
    with ThreadPoolExecutor(max_workers=max(1, min(2, len(os.sched_getaffinity(0))))) as pool:
        for number, code, problems in pool.map(examine, numbers):
            endings[code] = endings.get(code, 0) + 1
            failed += bool(problems)
            for problem in problems:
                print(f"folder {number} (--seed {seed} --only {number} --keep): {problem}", flush=True)
    print(f"{sum(endings.values())} folders of seed {seed}; ended with", ", ".join(f"{code}: {n}" for code, n in sorted(
        endings.items(), key=str)), f"; {failed} with problems")
    if only < 0 and endings.get(0, 0) < sum(endings.values()) / 3:
        print("fewer than a third were decoupled: the generator makes nothing but faults")
        failed += 1
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Runs deda on the small failing inputs of ../shared/faults (drawn after public reports of users of such programs) and
compares with what is right.
   run_faults.py PROGRAM SOURCE_DIR WORK_DIR [--only NAME]
DEDA_TEST_FAULTS names the folder with make_inputs.py. Every row of `rows` is one input and one expectation. To add one: a
function with the decorator @row."""
import os, shutil, subprocess, sys, tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import common
from common import Run, skip, toml_text

common.require_pillow()
arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
only = next((sys.argv[i + 1] for i, a in enumerate(sys.argv) if a == "--only"), None)
if only in arguments:
    arguments.remove(only)
program, source_dir, work = (Path(a).absolute() for a in arguments[:3])
faults = Path(os.environ.get("DEDA_TEST_FAULTS", source_dir / ".." / "shared" / "faults"))
if not (faults / "make_inputs.py").exists():
    skip(f"no make_inputs.py in {faults} (DEDA_TEST_FAULTS names its folder)")

shutil.rmtree(work, ignore_errors=True)
work.mkdir(parents=True)
inputs = work / "in"
made = subprocess.run([sys.executable, str(faults / "make_inputs.py"), str(inputs)], capture_output=True, text=True)
if made.returncode != 0:
    print(made.stderr)
    sys.exit("make_inputs.py failed")

rows = []
problems = []
name_of_row = ""
runs = 0


def row(name):
    def add(function):
        rows.append((name, function))
        return function
    return add


def check(what, holds, run=None):
    if holds:
        return
    text = f"{name_of_row}: {what}"
    if run is not None:
        text += f"\n    exit code {run.code}" + "".join(f"\n    | {line}" for line in run.err.splitlines()[-12:])
    problems.append(text)


def settings(root, layout="folder", masks=None, **more):
    values = {"dataset.layout": f'"{layout}"', "dataset.root": toml_text(root), "decouple.split": '"all"'}
    if masks is not None:
        values["dataset.masks"] = toml_text(masks)
    values.update({key.replace("__", "."): value for key, value in more.items()})
    return values


def decouple(root, **options):
    global runs
    runs += 1
    run_options = {key: options.pop(key) for key in ("ranks", "cwd", "timeout", "options", "output", "extra") if key in options}
    output = run_options.pop("output", work / f"out{runs}")
    run = Run(program, "decouple", output, settings(root, **options), **run_options)
    check("neither done nor refused", run.code in (0, 2, 3), run)
    if run.code == 0:
        check("outcomes do not add up", run.complete and run.adds_up, run)
    return run


def plan(root, **options):
    global runs
    runs += 1
    return Run(program, "plan", work / f"out{runs}", settings(root, **options), options=("--for", "decouple"))


def check_classes(run, classes, pictures=None):
    check(f"classes are {run.manifest and run.manifest['class_names']}, not {classes}",
          run.manifest is not None and run.manifest["class_names"] == classes, run)
    if pictures is not None and run.manifest is not None:
        check(f"{run.manifest['items']} pictures, not {pictures}", run.manifest["items"] == pictures, run)


def check_told(run, *texts):
    for text in texts:
        check(f"nothing tells \"{text}\"", text in run.err, run)


def check_refused(run, *texts):
    check("is not refused", run.code in (2, 3), run)
    check_told(run, *texts)


def check_boxes(run, sources, box):
    for source in sources:
        found = run.box(source)
        check(f"{source}: the mask's box is {found}, not {box}", found == box, run)


def copied(name, to=None):
    target = work / (to or f"copy{len(list(work.iterdir()))}")
    shutil.copytree(inputs / name, target, symlinks=True)
    return target


# --- f01: masks inside the root

@row("f01 masks inside the root")
def _():
    root = copied("litter", "set")
    for entry in list(root.iterdir()):
        if entry.name not in ("cat", "dog"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(inputs / "litter_masks", root / "masks")
    (work / "by_link").symlink_to(root)
    for where, masks, cwd in ((root, f"{root}/masks/", None), (root, "set/masks", work), ("set", root / "masks", work),
                              (work / "by_link", root / "masks", None), (root, work / "by_link" / "masks", None),
                              ("set/", "set/masks/", work)):
        run = decouple(where, masks=masks, cwd=cwd)
        check_classes(run, ["cat", "dog"], 6)
        check("a mask became a picture", run.manifest and not any("masks" in s for s in run.sources), run)
        check("masks are not used", run.manifest and run.outcomes == {"done": 6}, run)
    run = decouple(root)
    check_classes(run, ["cat", "dog"], 6)
    check_told(run, "the folder masks is taken as the masks")


# --- f02: folders around the classes

@row("f02 images beside masks")
def _():
    run = decouple(inputs / "images_beside_masks")
    check_classes(run, ["cat", "dog"], 6)
    check("masks are not used", run.manifest and run.outcomes == {"done": 6}, run)
    check_told(run, "the folders in images are taken as the classes")


@row("f02 wrapped")
def _():
    run = decouple(inputs / "wrapped")
    check_classes(run, ["cat", "dog"], 6)
    check_told(run, "the folders in pets_v2 are taken as the classes")


@row("f02 one class and none")
def _():
    root = work / "one"
    shutil.copytree(inputs / "litter" / "cat", root / "images", ignore=lambda *_: ["@eaDir", ".ipynb_checkpoints"])
    check_refused(decouple(root), "has one class only, images", "it holds images/")
    check_refused(Run(program, "plan", work / "one_out", settings(inputs / "maskkinds")), "has one class only")
    (work / "nothing" / "cat").mkdir(parents=True)
    check_refused(decouple(work / "nothing"), "holds no picture in a class folder", "cat/")


# --- f05, f06: links, suffixes, permissions

@row("f05 linked class folders")
def _():
    run = decouple(inputs / "linked", masks=inputs / "linked_masks", ranks=2)
    check_classes(run, ["cat", "dog", "fox"], 8)
    check("linked folders give no parts", run.manifest and run.outcomes == {"done": 8}, run)


@row("f05 links to files, dangling links and loops")
def _():
    root = copied("linkedfiles")
    (root / "dog" / "up").symlink_to(root)
    run = decouple(root, masks=inputs / "linkedfiles_masks")
    check_classes(run, ["cat", "dog"], 7)
    check_told(run, "1 link that leads nowhere: cat/dangling.png", "1 link to a folder that it lies in: dog/up/")


@row("f05 suffixes")
def _():
    run = decouple(inputs / "suffixes", masks=inputs / "suffixes_masks")
    check_classes(run, ["cat", "dog", "fox"], 4 + 4 * 3)
    check("a readable kind is not read", run.manifest and run.outcomes.get("unreadable") is None, run)
    check("12 pictures of a fox share their mask", run.manifest and run.outcomes.get("done") == 4 + 4, run)
    check_told(run, "6 pictures of kinds that are not read", "fox/x0.avif")
    check("plan tells it too", "6 pictures of kinds that are not read" in
          plan(inputs / "suffixes", masks=inputs / "suffixes_masks").err)


@row("f06 a class folder that may not be read")
def _():
    root = copied("litter", "unreadable")
    os.chmod(work, 0o755)
    os.chmod(root / "dog", 0)
    nobody = 65534 if os.geteuid() == 0 else None
    output = Path(tempfile.mkdtemp(prefix="deda-faults-"))
    os.chmod(output, 0o777)
    run = Run(program, "decouple", output / "out", settings(root), user=nobody)
    os.chmod(root / "dog", 0o755)
    if "unreadable/dog" not in run.err and ("Permission denied" in run.err or run.code in (126, 127)):
        print("not looked at: another user cannot reach this folder or the program:", run.err.strip()[-200:])
    else:
        check_refused(run, "unreadable/dog: cannot be read", "ermission denied")
    shutil.rmtree(output)


@row("f06 a listing that fails in the middle")
def _():
    library = os.environ.get("DEDA_TEST_LISTING_LIBRARY")
    if not library:
        print("not looked at: DEDA_TEST_LISTING_LIBRARY names no library to preload")
        return
    root = copied("litter", "torn")
    run = decouple(root, extra={"LD_PRELOAD": library, "DEDA_FAULT_LISTING": "/torn/dog"})
    check_refused(run, "torn/dog: cannot be read", "nput/output error")


# --- f07, f08, f09: masks, orientation, names

FULL_BOX = [20, 10, 58, 48]


@row("f07 masks of every kind")
def _():
    run = decouple(inputs / "maskkinds", masks=inputs / "maskkinds_masks")
    whole = ("l255 l1 onebit rgb u16_65535 u16_1 u16_256 jpeg jpeg_q30 webp_lossy palette_white_first palette_voc "
             "palette_black_bg_7 rgba_alpha_black rgba_alpha_white rgba_cutout gif bmp1 onebit_tif tif_l255_fax two a.b.c").split()
    check_boxes(run, [f"cat/{name}.png" for name in whole], FULL_BOX)
    areas = {name: run.look(f"cat/{name}.png").get("hole_share") for name in whole}
    reference = areas["l255"]
    for name in whole:
        check(f"{name}: the hole covers {areas[name]} instead of {reference}",
              areas[name] is not None and abs(areas[name] - reference) < 0.03, run)
    check_told(run, "masks fit no picture by name and folder: cat/img_7.png, cat/named_mask.png")


@row("f08 EXIF")
def _():
    run = decouple(inputs / "kinds", masks=inputs / "kinds_masks")
    check_boxes(run, ["cat/exif6.jpg", "cat/exif_png6.png", "cat/exif_webp6.webp", "cat/exif9.jpg"], FULL_BOX)


@row("f09 names of any bytes")
def _():
    run = decouple(inputs / "names", masks=inputs / "names_masks", ranks=2)
    check("not every picture gives parts", run.manifest and set(run.outcomes) == {"done"}, run)
    check("a name was replaced", run.manifest and not any("\ufffd" in source for source in run.sources), run)


# --- f10: a mask corrected in place

@row("f10 a mask corrected in place")
def _():
    from PIL import Image
    root, masks = work / "corrected", work / "corrected_masks"
    for name in ("cat", "dog"):
        shutil.copytree(inputs / "litter" / name, root / name, ignore=lambda *_: ["@eaDir", ".ipynb_checkpoints"])
        (masks / name).mkdir(parents=True)
        for file in (inputs / "litter_masks" / name).glob("*.png"):
            Image.open(file).save(masks / name / (file.stem + ".bmp"))
    output = work / "corrected_out"
    first = decouple(root, masks=masks, output=output)
    mask = masks / "cat" / "ok0.bmp"
    times, size = mask.stat(), mask.stat().st_size
    mirrored = Image.open(mask).transpose(Image.FLIP_LEFT_RIGHT)
    mirrored.save(mask)
    os.utime(mask, ns=(times.st_atime_ns, times.st_mtime_ns))
    check("the input is not as it should be", mask.stat().st_size == size)
    Run(program, "decouple", output, settings(root, masks=masks))
    check("the corrected mask made no other store", len(list(output.glob("decouple-*"))) == 2, first)


# --- f12: exclusions

@row("f12 excluded pictures of any name")
def _():
    root, masks = copied("names", "odd"), work / "odd_masks"
    shutil.copytree(inputs / "names_masks", masks)
    for folder in (root, masks):
        for path in (folder / "cat").iterdir():
            if b"latin1" in os.fsencode(path.name):
                path.unlink()
    # A first source without result makes every picture doubtful, so that the review's list has them all.
    doubtful = {"decouple__sources": '["box_grabcut", "annotated"]', "masks": masks}
    run = decouple(root, output=work / "odd_out", options=("--review", str(work / "review.html")), **doubtful)
    pictures = sum(1 for path in root.rglob("*.png") if "..hidden" not in path.parts)
    check("not every picture gives parts", run.manifest and run.outcomes == {"done": pictures}, run)
    lines = (work / "review.exclude.txt").read_text().splitlines()
    begin = lines.index("") + 1   # behind the explanation
    check(f"{len(lines) - begin} lines for {pictures} pictures", len(lines) - begin == pictures, run)
    (work / "list.txt").write_text("".join(line[1:] + "\n" for line in lines[begin:] if "cat/" in line))
    run = decouple(root, output=work / "odd_out2", decouple__exclude=toml_text(work / "list.txt"), **doubtful)
    cats = sum(1 for path in (root / "cat").iterdir())
    check(f"{run.manifest and run.outcomes} instead of {cats} excluded", run.manifest and run.outcomes.get("rejected") == cats,
          run)
    (work / "plain.txt").write_text("# by hand\ncat/#1 hash.png\ncat/ok0.png # small\n")
    run = decouple(root, masks=masks, output=work / "odd_out3", decouple__exclude=toml_text(work / "plain.txt"))
    check("plain lines do not work", run.manifest and run.outcomes.get("rejected") == 2, run)


# --- f13: splits

@row("f13 split names in any case")
def _():
    for name, pictures in (("Case", 10), ("imagenet", 12)):
        run = decouple(inputs / name, masks=inputs / name / "masks")
        check_classes(run, ["cat", "dog"], pictures)
        check("masks are not used", run.manifest and run.outcomes == {"done": pictures}, run)


@row("f13 a class called train")
def _():
    run = decouple(inputs / "train_is_a_class", masks=inputs / "train_is_a_class_masks")
    check_classes(run, ["bus", "car", "train"], 9)
    check_told(run, "train is taken as a class")


# --- f16: Pascal VOC of other programs

def voc_with(lines):
    root = copied("voc")
    (root / "ImageSets/Main/train.txt").write_text("".join(line + "\n" for line in lines))
    return root


@row("f16 VOC annotations of other programs")
def _():
    good = "ok float difficult_only unspecified parts outside twoboxes utf16".split()
    run = decouple(inputs / "voc", layout="voc2012")
    check("not all are read", run.manifest and run.manifest["items"] == len(good), run)
    check("parts are missing", run.manifest and run.outcomes == {"done": len(good)}, run)
    check_told(run, "several boxes, of which the first counts", "twoboxes.xml:1",
               "1 pictures: an annotated box reaches outside of the picture")
    run = decouple(voc_with(["space", "upper"]), layout="voc2012")
    check("\" cat \" and \"Cat\" are not read", run.manifest and run.manifest["items"] == 2, run)
    check_told(run, "\"Cat\" read as \"cat\"")


@row("f16 VOC faults are named, all at once")
def _():
    run = decouple(voc_with("ok nobox polygon swapped noobject own_class".split()), layout="voc2012")
    check_refused(run, "nobox.xml:1: has an object without bndbox", "polygon.xml:1: has an object without bndbox and with a "
                  "polygon of 1 corners", "swapped.xml:1: has a box without pixels", "noobject.xml: lists no object",
                  "own_class.xml:1: names the unknown class \"beetle\"")


@row("f16 VOC polygons are read")
def _():
    root = voc_with(["labelme", "roboflow"])
    shapes = {"labelme": "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((20, 11), (58, 11), (58, 48), (20, 48))),
              "roboflow": "<x1>20</x1><y1>11</y1><x2>58</x2><y2>30</y2><x3>40</x3><y3>48</y3>"}
    for name, points in shapes.items():
        shutil.copy(root / "JPEGImages/ok.jpg", root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(
            f"<annotation>\n<object><name>cat</name><polygon>{points}</polygon></object></annotation>")
    run = decouple(root, layout="voc2012", decouple__sources='["box_grabcut"]')
    for name in shapes:
        check(f"{name} has no box", run.manifest and all(a["objects"] for a in run.look(f"JPEGImages/{name}.jpg")["attempts"]),
              run)


# --- other layouts

@row("CUB through Windows")
def _():
    for name in ("cub", "cub_backslash"):
        run = decouple(inputs / name, layout="cub")
        check_classes(run, ["Black footed Albatross", "Laysan Albatross"], 6)
        check("masks are not used", run.manifest and run.outcomes == {"done": 6}, run)
    check_told(run, "backslashes")


@row("cars.csv of a spreadsheet")
def _():
    check_refused(decouple(inputs / "cars", layout="cars"), "cars.csv:4: has a box without pixels")
    root = copied("cars")
    text = (root / "cars.csv").read_text().replace("58,48,19,10", "19,10,58,48")
    (root / "cars.csv").write_text(text, newline="")
    run = decouple(root, layout="cars", decouple__sources='["box_grabcut"]')
    check_classes(run, ['Acura "TL", 2012', "BMW M3"], 4)
    check_told(run, "reaches outside of the picture")
    (root / "cars.csv").write_text(text.split("\n", 1)[1], newline="")
    check_refused(decouple(root, layout="cars"), "cars.csv:1: does not begin with the line")


@row("waterbirds metadata of pandas")
def _():
    run = decouple(inputs / "waterbirds", layout="waterbirds")
    check("not all are read", run.manifest and run.manifest["items"] == 8, run)


# --- small ones

@row("litter of file managers is told")
def _():
    run = decouple(inputs / "litter", masks=inputs / "litter_masks")
    check_classes(run, ["cat", "dog"], 6)
    check_told(run, "8 files or folders of file managers and archives: .DS_Store, __MACOSX/",
               "2 files that are no pictures by their suffix: README.md, labels.csv",
               "without a picture that is read, so no class: empty_class")


@row("classes of the test alone, of one picture, flat tests")
def _():
    run = decouple(inputs / "testonly", masks=inputs / "testonly/masks")
    check_told(run, "1 of 3 classes have no training picture, so nothing learns them: fox")
    run = decouple(inputs / "single", masks=inputs / "single_masks")
    check_told(run, "1 of 3 classes have one picture")
    root = work / "flat"
    shutil.copytree(inputs / "litter" / "cat", root / "train/cat", ignore=lambda *_: ["@eaDir", ".ipynb_checkpoints"])
    shutil.copytree(inputs / "litter" / "dog", root / "train/dog")
    (root / "test").mkdir()
    for i in range(40):
        shutil.copy(inputs / "litter/cat/ok0.png", root / "test" / f"{i}.png")
    run = decouple(root, decouple__sources='["box_grabcut"]')
    check_told(run, "left out: 40 pictures that lie in no class folder")
    check("one warning a picture", len(run.notes()) <= 4, run)


@row("pictures of every kind have one outcome each")
def _():
    for name in ("kinds", "sizes"):
        run = decouple(inputs / name, masks=inputs / f"{name}_masks", ranks=2, timeout=120)
        files = sum(1 for path in (inputs / name).rglob("*") if path.is_file())
        check(f"{name}: {files} files, {run.manifest and run.manifest['items']} items",
              run.manifest and run.manifest["items"] == files, run)


for name, function in rows:
    if only and only not in name:
        continue
    name_of_row, before = name, len(problems)
    try:
        function()
    except Exception as error:  # a store that is not there, a picture without a look: the row fails
        problems.append(f"{name}: {type(error).__name__}: {error}")
    print(f"{'ok     ' if len(problems) == before else 'FAILED '} {name}", flush=True)
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)

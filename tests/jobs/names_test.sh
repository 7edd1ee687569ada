#!/usr/bin/env bash
# Names that are not UTF-8, and names with every character that shells, TOML, JSON and lists give a meaning to: class folders, pictures,
# the dataset's folder, the working folder and the output. All stages (decouple, invert, generate, train), plan, inspect, evaluate and the
# scripts work on them; results hold the very bytes, escaped as src/core/escaped_name.h says.
#   names_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1 source_dir=$2 top=$3/names
rm -rf "$top"; mkdir -p "$top"; cd "$top" || exit 1
export DEDA_CACHE_DIR=$top/cache PYTHONIOENCODING=utf-8
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; problems=$((problems + 1)); fi; }
run() { "$program" "$@" >log 2>errors || { echo "FAILED: deda $*"; cat log errors; problems=$((problems + 1)); }; }

# A data set of two classes with masks, in a folder of any name.
cat >"$top/draw.py" <<'PY'
import os, struct, sys, zlib
def png(path, pixel):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(40)) for y in range(40))
    def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
inside = lambda x, y: 10 <= x < 30 and 8 <= y < 32
root = os.fsencode(sys.argv[1])
names = [b"caf\xe9", b"a \"b\" \\c $d #e", b"\\xE9", b"line\nbreak", b"plain"]
for c, name in enumerate(names):
    for i in range(4):
        picture = b"%d-\xff\xfe.png" % i if i % 2 else b"%d '\t;&.png" % i
        png(root + b"/pictures/" + name + b"/" + picture, lambda x, y: (200, 40 * c, 30 * i) if inside(x, y) else (x * 3, y * 3, 90))
        png(root + b"/masks/" + name + b"/" + picture, lambda x, y: (255,) * 3 if inside(x, y) else (0,) * 3)
PY
# What a store says against what is on disk: the bytes of every name, and that each picture is in it once.
cat >"$top/compare.py" <<'PY'
import glob, json, os, re, sys
root, store = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2])
def decode(text):
    return re.sub(rb"\\x([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode())
with open(store + b"/manifest.json", "rb") as file: manifest = json.loads(file.read().decode("utf-8"))
found = sorted(os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names)
assert sorted(map(decode, manifest["sources"])) == found, (manifest["sources"], found)
assert sorted(map(decode, manifest["class_names"])) == sorted(os.listdir(root)), manifest["class_names"]
assert manifest["complete"] and manifest["outcomes"]["done"] == len(found) == 20, manifest["outcomes"]
for file in glob.glob(store + b"/*.json*") + glob.glob(store + b"/*.jsonl"):
    open(file, encoding="utf-8").read()
PY

place=$'work \xe9 "q" \\ $x\n#1'   # the folder in which all of it happens
mkdir -- "$place" && cd -- "$place" || exit 1
data=$'-d\xe9 \'t\''
python3 "$top/draw.py" "$data"
out=$'out \xe9 "x"'
config=(--config "$source_dir/configs/demo_pictures.toml" --set dataset.layout=folder --set "dataset.root=$PWD/$data/pictures" --set "dataset.masks=$PWD/$data/masks"
  --set dataset.test_share=0.25 --set augment.method=deda --set augment.p_syn=0 --set decouple.split=all)
base=("${config[@]}"); config+=(--out "$out")

run decouple "${config[@]}"
store=$(find "$out" -name 'decouple-*' | head -n 1)
check "decouple: the store has the bytes of all names" python3 "$top/compare.py" "$PWD/$data/pictures" "$store"
run plan "${config[@]}" --json
check "plan --json is JSON and UTF-8" python3 -c 'import json, os, re, sys
plan = json.loads(open("log", "rb").read().decode("utf-8"))
node = [n for n in plan["nodes"] if n["stage"] == "decouple"][0]
folder = re.sub(rb"\\x([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), node["folder"].encode())
assert os.path.isdir(folder), node["folder"]
assert node["state"] == "done", node'
run plan "${config[@]}"
check "plan is UTF-8 and shows the names escaped" grep -q 'out \\xE9 "x"/train-' log
run plan "${config[@]}" --commands
check "plan --commands: a line for each stage" test "$(grep -c . log)" = 1
eval "arguments=($(grep '^train' log))"
check "plan --commands: the very arguments" test "${arguments[4]} ${arguments[6]}" = "dataset.layout=folder dataset.root=$PWD/$data/pictures"
run decouple "${config[@]}"
check "again: nothing to do" grep -q 'already done' errors
mpirun -n 2 "$program" decouple "${base[@]}" --set decouple.sources=box_grabcut,annotated --out two >log 2>&1 || { cat log; problems=$((problems + 1)); }
check "two ranks: the store has the bytes of all names" python3 "$top/compare.py" "$PWD/$data/pictures" two/decouple-*
run inspect "$out" --data "$data/pictures" --report "$out/r.html" --sheet $'sheet \xe9.png'
check "inspect: the sheet is there" test -s $'sheet \xe9.png'
check "inspect: the page is UTF-8" python3 -c 'import sys; open(sys.argv[1], encoding="utf-8").read()' "$out/r.html"
run decouple "${config[@]}" --review "$out/review.html"
check "review: the page is UTF-8" python3 -c 'import sys; open(sys.argv[1], encoding="utf-8").read()' "$out/review.html"

# The generative half and training, as small as they go: identifiers and synthetic CDPs of every class, a classifier of both kinds.
cat >"$top/results.py" <<'PY'
import glob, json, os, re, sys
root, out = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2])
def decode(text):
    return re.sub(rb"\\x([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode())
def one(pattern):
    found = glob.glob(glob.escape(out) + b"/" + pattern)
    assert len(found) == 1, (pattern, found)
    with open(found[0], "rb") as file: return json.loads(file.read().decode("utf-8"))
classes = sorted(os.listdir(root))
learnt = one(b"invert-*/identifiers.json")["classes"]
assert sorted(decode(c["class"]) for c in learnt) == classes, learnt
real, synthetic = one(b"decouple-*/manifest.json"), one(b"generate-*/manifest.json")
assert sorted(map(decode, synthetic["class_names"])) == classes, synthetic["class_names"]
# Flat rectangles after three steps: some edits lose their object, which is recorded.
assert set(synthetic["sources"]) <= set(real["sources"]), synthetic["sources"]
assert synthetic["outcomes"]["done"] >= 5 and synthetic["outcomes"]["failed"] == 0, synthetic["outcomes"]
results = one(b"train-*/results.json")
assert results["finished"] and not results.get("failure"), results
for folder, _, names in os.walk(out):
    for name in names:
        if name.rsplit(b".", 1)[-1] not in (b"json", b"jsonl", b"csv", b"html"): continue
        with open(os.path.join(folder, name), encoding="utf-8") as file: text = file.read()
        if name.endswith(b".jsonl"): [json.loads(line) for line in text.splitlines()]
PY
whole=("${base[@]}" --out "$out" --set augment.p_syn=0.5 --set "models.base=$source_dir/configs/models/toy" --set diffusion.init_word=beetle --set invert.steps=2 --set invert.batch=2
  --set generate.copies=1 --set generate.steps=3 --set generate.guidance=1 --set generate.decoder_votes=1 --set augment.resize_shorter=36 --set augment.crop=33
  --set train.epochs=1 --set train.batch_size=5 --set 'train.milestones=[]')
for stage in invert generate train; do
  mpirun -n 2 "$program" $stage "${whole[@]}" >log 2>&1 || { echo "FAILED: $stage on two ranks"; cat log; problems=$((problems + 1)); }
done
check "invert, generate, train: results have the bytes of all names" python3 "$top/results.py" "$PWD/$data/pictures" "$out"
run plan "${whole[@]}" --commands
check "plan: all stages are done" test ! -s log
run train "${whole[@]}"
check "train again: nothing to do" grep -q 'already' errors
run evaluate "${whole[@]}" --split test
synthetic=("$out"/generate-*)
run evaluate "${whole[@]}" --cdps "${synthetic[0]}"
run evaluate "${whole[@]}" --masks "$store"
run inspect "$out" --data "$data/pictures" --report "$out/all.html"
check "inspect of all stages: the page is UTF-8" python3 -c 'import sys; open(sys.argv[1], encoding="utf-8").read()' "$out/all.html"

# A printed configuration reads back to the same folders.
"$program" decouple "${config[@]}" --print-config >printed.toml 2>log
run plan --config printed.toml --json --for decouple
check "print-config reads back to the same plan" grep -q '"state": "done"' log

# Pictures left out by the name that they have and by the name that results show.
printf '%s\n' $'caf\xe9/1-\xff\xfe.png' 'caf\xE9/3-\xFF\xFE.png' >exclude.txt
run decouple "${config[@]}" --set decouple.exclude=exclude.txt
check "excluded by bytes and by escaped name" grep -q '^all  *20' log
check "two are left out" test "$(grep -c 'exclu' log)" -ge 2

# A group whose umask is 002 can continue what one of it began.
(umask 002; "$program" decouple "${base[@]}" --out group >log 2>&1)
check "all files and folders are the group's" test -z "$(find group ! -perm -g+w -print -quit)" -a -e group/decouple-*/segment-000000.h5
(umask 077; "$program" decouple "${base[@]}" --out alone >log 2>&1)
check "a umask of 077 keeps all of it private" test -z "$(find alone -perm /g+rwx,o+rwx -print -quit)" -a -e alone/decouple-*/segment-000000.h5

# Without HOME, USER, a TMPDIR, or a place for the cache.
for variables in "-u HOME -u USER -u DEDA_CACHE_DIR -u XDG_CACHE_HOME" "TMPDIR=$top/free/temporary" "-u DEDA_CACHE_DIR HOME=$top/free/home" "DEDA_CACHE_DIR=/proc/nowhere"; do
  # shellcheck disable=SC2086
  env $variables "$program" plan "${config[@]}" >log 2>errors
  check "env $variables: deda plan works" test "$?" = 0
done
env -u HOME -u DEDA_CACHE_DIR -u XDG_CACHE_HOME "$program" plan "${config[@]}" --set dataset.root="$data/pictures" >log 2>errors
check "no HOME: says which variable to set" grep -q 'name a folder in DEDA_CACHE_DIR' errors

# An error shows names so that they can be read.
"$program" decouple "${config[@]}" --set dataset.root=$'/nowhere/\xe9' >log 2>&1
check "errors show the escape" grep -q '/nowhere/\\xE9' log
exit $((problems > 0))

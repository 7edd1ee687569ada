#!/usr/bin/env bash
# What jobs/demo.sh makes of its arguments: folders of any name, relative ones, ones that are not there; and it works without HOME, USER and
# TMPDIR. The set-up finds a build that is there; the program is the real one, with one epoch of training.
#   demo_arguments_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1 source_dir=$2 work=$3/demo_arguments
rm -rf "$work"; mkdir -p "$work"/{bin,build/jobs,torch/lib,place}; cd "$work/place" || exit 1
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; sed 's/^/  | /' "$work/log"; problems=$((problems + 1)); fi; }
says() { grep -qF -- "$1" "$work/log"; }

printf '#!/bin/sh\nexit 0\n' >"$work/bin/cmake"; chmod +x "$work/bin/cmake"
touch "$work/torch/lib/libtorch_cpu.so" "$work/build/build.ninja"; printf '%s' "$work/torch" >"$work/build/.libtorch"
cat >"$work/build/jobs/deda" <<SH
#!/bin/bash
case \$1 in inspect) exit 0 ;; esac
exec "$program" "\$@"
SH
chmod +x "$work/build/jobs/deda"
demo() {   # demo ARGUMENTS...
  code=0
  env -u HOME -u USER -u XDG_CACHE_HOME TMPDIR=$work/nowhere PATH="$work/bin:$PATH" DEDA_BUILD_DIR="$work/build" LIBTORCH_ROOT="$work/torch" \
    DEDA_SKIP_PACKAGES=1 DEDA_CACHE_DIR="$work/cache" bash "$source_dir/jobs/demo.sh" --ranks 1 --set train.epochs=1 --set train.milestones=1 --set augment.crop=32 --set augment.resize_shorter=32 "$@" >"$work/log" 2>&1 || code=$?
}
cat >"$work/draw.py" <<'PY'
import os, struct, sys, zlib
def png(path, colour):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    rows = b"".join(b"\0" + b"".join(bytes(colour if 10 <= x < 30 and 8 <= y < 32 else (0, 0, 0)) for x in range(40)) for y in range(40))
    def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
root = os.fsencode(sys.argv[1])
for c in range(2):
    for i in range(4):
        png(root + b"/class %d/%d.png" % (c, i), (200, 100 * c, 30 * i))
        png(root + b"/masks/class %d/%d.png" % (c, i), (255,) * 3)
PY
number=0
for name in -x - 'a "b"' 'back\slash' '\xE9' 'blank s' '$HOME' "it's" '#1' '[a]' 'a,b' '~' $'new\nline\n' $'caf\xe9' 2024 'a=b' '%s' '*'; do
  python3 "$work/draw.py" "./$name"
  number=$((number + 1))
  demo --data "$name" --out "out$number" --methods deda-real --seeds 1
  check "--data $name: works" test "$code" = 0
  check "--data $name: all pictures" grep -qs 'decoupling 6 pictures' "out$number"/study-pictures/logs/decouple-*.log
  check "--data $name: is decoupled" compgen -G "out$number/decouple-*/manifest.json" >/dev/null
  check "--data $name: trains" compgen -G "out$number/train-*/last.safetensors" >/dev/null
done
mkdir inner && cd inner || exit 1
demo --data ../-x --masks ../-x/masks --out '-o "p"' --methods deda-real --seeds 1
check "a relative folder, and an output that begins with -" compgen -G './-o "p"/decouple-*/manifest.json' >/dev/null
demo --data=../-x --out=eq --methods=deda-real --seeds=1
check "--data=DIR" compgen -G 'eq/decouple-*/manifest.json' >/dev/null
demo --data nowhere
check "a folder that is not there: named" says 'nowhere is not a folder'
check "a folder that is not there: 2" test "$code" = 2
demo --data ../-x --masks nowhere
check "masks that are not there: named" says 'there is no folder of masks at'
check "TMPDIR that is no folder: named" says "TMPDIR=$work/nowhere is no folder"
check "nothing is unbound" bash -c "! grep -q unbound '$work/log'"
exit $((problems > 0))

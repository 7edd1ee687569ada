#!/usr/bin/env bash
# The main job, from nothing to a comparison: sets up, builds, and runs the study configs/studies/demo.toml: draws the toy dataset,
# decouples it, learns identifiers, makes synthetic CDPs, trains plain, De-DA with real CDPs alone and De-DA, reports.
#   bash jobs/demo.sh                        the embedded toy dataset
#   bash jobs/demo.sh --data DIR             your pictures: an Oxford-IIIT Pet folder, or any image folder with masks
#   ... [--masks DIR]                        the masks of an image folder (default DIR/masks)
#   ... [--source NAME]                      another source of masks (semantic, box_sam, text_box_sam, box_grabcut; its networks by --set)
#   ... [--seeds "1 2 3"] [--methods "plain deda-real deda"] [--out DIR] [--ranks N] [--set a.b=v ...]
# Everything is resumable: stop it, call it again, it continues. Finished stages take a second.
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/setup.sh"

data=; masks=; mask_source=; seeds="1 2 3"; methods=; output=; settings=()
absolute() {   # absolute PATH: into $absolute, whatever bytes are in the name ($(...) alone would drop newlines at its end)
  case $1 in /*) absolute=$1 ;; *) absolute=$PWD/$1 ;; esac
  if [ -d "$absolute" ]; then absolute=$(cd "$absolute" && pwd && printf x); absolute=${absolute%$'\nx'}; fi
}
# set_path KEY PATH: an absolute path needs no quotes of TOML, the program takes it as it is but for \xHH (src/core/escaped_name.h)
set_path() { settings+=(--set "$1=${2//\\x/\\x5Cx}"); }
while [ $# -gt 0 ]; do
  case $1 in
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    --masks) masks=${2:?--masks needs a folder}; shift 2 ;;
    --source) mask_source=${2:?--source needs a name}; shift 2 ;;
    --seeds) seeds=${2:?--seeds needs a list}; shift 2 ;;
    --methods) methods=${2:?--methods needs a list}; shift 2 ;;
    --out) output=${2:?--out needs a folder}; shift 2 ;;
    --ranks) export DEDA_RANKS=${2:?--ranks needs a number}; shift 2 ;;
    --set) settings+=(--set "${2:?--set needs key=value}"); shift 2 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) fail "unknown argument $1 (bash jobs/demo.sh --help)" ;;
  esac
done

config=$deda_root/configs/demo.toml; study=$deda_root/configs/studies/demo.toml
if [ -n "$data" ]; then
  absolute "$data"; data=$absolute
  [ -d "$data" ] || fail "--data $data is not a folder"
  config=$deda_root/configs/demo_pictures.toml; study=$deda_root/configs/studies/demo_pictures.toml
  if [ -d "$data/annotations/trimaps" ]; then
    settings+=(--set dataset.layout=pets)
  else
    absolute "${masks:-$data/masks}"; masks=$absolute
    [ -d "$masks" ] || [ -n "$mask_source" ] || fail "$data has no annotations/trimaps (Oxford-IIIT Pet) and there is no folder of masks at $masks; name it with --masks"
    settings+=(--set dataset.layout=folder)
    if [ -d "$masks" ]; then set_path dataset.masks "$masks"; fi
  fi
  set_path dataset.root "$data"
  # No diffusion model of real pictures comes with the program: name one with --set models.base=... and ask for "deda".
  methods=${methods:-plain deda-real}
  output=${output:-$deda_root/runs/pictures-${data##*/}}
else
  methods=${methods:-plain deda-real deda}
  output=${output:-$deda_root/runs/demo}
  absolute "$output"; output=$absolute
  set_path dataset.root "$output/toy"; set_path models.base "$deda_root/configs/models/toy"
fi
absolute "$output"; output=$absolute
if [ -n "$mask_source" ]; then settings+=(--set "decouple.sources=[\"$mask_source\"]"); fi
settings+=(--out "$output")

started=$SECONDS
deda_setup run
deda_build deda
say "set-up and build: $((SECONDS - started)) s"
deda_mpi_environment
program=$deda_build_dir/jobs/deda
arguments=("$study" --only "method=${methods// /,}" --seeds "$seeds" --program "$program" "${settings[@]}")
if [ -n "${DEDA_RANKS:-}" ]; then arguments+=(--ranks "$DEDA_RANKS"); fi

started=$SECONDS
code=0
"$program" study run "${arguments[@]}" & driver=$!
# A terminal's interrupt and the like reach the driver, which lets its runs save.
trap 'kill -USR2 "$driver" 2>/dev/null || true' INT TERM USR2
while :; do
  code=0; wait "$driver" || code=$?
  if [ "$code" -gt 128 ] && kill -0 "$driver" 2>/dev/null; then continue; fi
  break
done
trap - INT TERM USR2
if [ "$code" -eq 75 ]; then say "stopped in time; call the same command to continue"; exit 75; fi
[ "$code" -eq 0 ] || exit "$code"
"$program" inspect --config "$config" "${settings[@]}" --data "${data:-$output/toy}"
"$program" study report "${arguments[@]}"
say "demo: $((SECONDS - started)) s"

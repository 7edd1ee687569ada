#!/usr/bin/env bash
# Checks and measures deda on this machine's GPU, from an unpacked pack (made by tests/device/pack.sh):
#   bash deda-device/run.sh                      all parts in order of worth, at most 11 minutes
#   ... [--only 1,3]     these parts
#   ... [--out DIR]      results (default: results-DATE-TIME beside this file)
#   ... [--libtorch DIR] LibTorch (default: $LIBTORCH_ROOT, else the torch of python3)
# Each part runs under its own time limit and adds one line to DIR/results.jsonl; DIR/results.md is the table of all.
# A part that fails or is cut says so and the rest goes on. Exit code 0: nothing failed.
set -uo pipefail
script=${BASH_SOURCE[0]}
pack=$(cd "$(dirname "$script")" && pwd)

# Seconds; their sum is at most 660. DEDA_LIMIT_FACTOR multiplies them, for machines that have other work too.
declare -A limits=([1]=20 [2]=45 [3]=95 [4]=70 [5]=110 [6]=50 [7]=65 [8]=25 [9]=180)
declare -A names=([1]="machine: plugin, GPUs, NCCL" [2]="networks against the CPU" [3]="whole pipeline, twice, against the CPU, killed and continued"
  [4]="training speed" [5]="diffusion speed" [6]="SAM and GroundingDINO speed" [7]="pets: De-DA against plain" [8]="two GPUs" [9]="every classifier in every precision, every image-mixing method")
order=(1 2 3 9 4 5 6 7 8)
for part in "${order[@]}"; do
  limits[$part]=$(awk -v limit="${limits[$part]}" -v factor="${DEDA_LIMIT_FACTOR:-1}" 'BEGIN { printf "%d", limit * factor }')
done

say() { printf '%s\n' "$*" >&2; }
wrong() { say "run.sh: $*"; exit 2; }

only=; out=; libtorch=; inner=
while [ $# -gt 0 ]; do
  case $1 in
    --only) only=${2:?--only needs parts, as 1,2}; shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --libtorch) libtorch=${2:?--libtorch needs a folder}; shift 2 ;;
    --part) inner=${2:?}; shift 2 ;;   # internal: one part, started by ourselves under its time limit
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$script"; exit 0 ;;
    *) wrong "unknown argument $1 (bash run.sh --help)" ;;
  esac
done

# shellcheck source=environment.sh
source "$pack/environment.sh"

# ---- inside of a part: figures on standard output, everything else on standard error

reason() { printf '%s' "$*" >"$DEDA_PART_FILES.reason"; }
figure() { printf '{"figure": "%s", "value": %s, "unit": "%s"}\n' "$1" "$2" "${3:-}"; }                        # figure NAME JSON [UNIT]
verdict() { printf '{"figure": "%s", "value": "%s", "goal": "%s", "passed": %s}\n' "$1" "$2" "$3" "$4"; }      # verdict NAME TEXT GOAL true|false
has_gpu() { [ "$DEDA_GPU" = yes ]; }
need_gpu() { if ! has_gpu; then reason "$DEDA_NO_GPU"; exit 3; fi; }
skip() { reason "$*"; exit 77; }
problems=0
check() {  # check NAME GOAL COMMAND...: a verdict from an exit code; what it prints goes to the log
  local name=$1 goal=$2; shift 2
  if "$@" >&2; then verdict "$name" yes "$goal" true; else verdict "$name" NO "$goal" false; problems=$((problems + 1)); fi
}
finish() { if [ "$problems" -ne 0 ]; then reason "$problems checks failed, see the table and part-$inner.log"; exit 1; fi; exit 0; }

part_1() {
  local code=0
  deda doctor --out "$work" >&2 || code=$?
  verdict "deda doctor" "exit code $code" "exit code 0" "$([ "$code" -eq 0 ] && echo true || echo false)"
  if [ "$code" -ne 0 ]; then problems=$((problems + 1)); fi
  check "mpirun -n 2 deda doctor" "both ranks start" mpirun -n 2 deda doctor --out "$work"
  if ! has_gpu; then
    [ "$problems" -eq 0 ] || finish
    need_gpu
  fi
  device_check nccl || problems=$((problems + 1))
  finish
}

part_2() {
  local deeplab=() device=cpu
  [ -d "$pack/networks/deeplab" ] && deeplab=(--deeplab "$pack/networks/deeplab")
  has_gpu && device=cuda
  device_check networks --golden "$pack/networks" --toy "$pack/configs/models/toy" --work "$work/weights" --record "$pack/record/networks" \
    --device "$device" "${deeplab[@]}" || problems=$((problems + 1))
  # The program itself on one of them.
  local forward=(deda forward vae_encoder "$pack/configs/models/toy" --in "$pack/networks/vae_encoder.safetensors" --device "$device")
  check "deda forward vae_encoder" "exit code 0" "${forward[@]}" --out "$work/vae_encoder.safetensors"
  check "deda forward vae_encoder, compared" "relative error at most 5e-5" \
    device_check compare "$work/vae_encoder.safetensors" "$pack/record/networks/vae_encoder.safetensors" --limit 5e-5
  if has_gpu; then
    check "deda forward --tf32" "exit code 0" "${forward[@]}" --tf32 --out "$work/tf32.safetensors"
  else
    figure "device half" '"no_gpu"'
    reason "CPU only; device half: no_gpu ($DEDA_NO_GPU)"
  fi
  finish
}

# shellcheck disable=SC2317  # called through check
stage_command() {   # stage_command RUN DEVICE STAGE: in `command`
  command=(deda "$3" --config "$pack/pipeline.toml" --set "dataset.root=\"$work/toy\"" --set "models.base=\"$pack/configs/models/toy\""
    --set "models.device=\"$2\"" --set "train.device=\"$2\"" --out "$work/$1")
}

# One run of the small pipeline: stages RUN DEVICE STAGE...
# shellcheck disable=SC2317  # called through check
stages() {
  local run=$1 device=$2 stage command; shift 2
  for stage in "$@"; do
    stage_command "$run" "$device" "$stage"
    "${command[@]}" || return 1
  done
}

# shellcheck disable=SC2317  # called through check
same_stage() {   # same_stage STAGE A B
  local folder status=0
  for folder in "$work/$2/$1"-*; do
    if [ "$1" = train ]; then
      device_check same "$folder/history.csv" "$work/$3/${folder##*/}/history.csv" || status=1
      device_check same "$folder/last.safetensors" "$work/$3/${folder##*/}/last.safetensors" || status=1
    else
      device_check same "$folder" "$work/$3/${folder##*/}" || status=1
    fi
  done
  return "$status"
}

# Starts a stage, kills it with -9 once PATTERN (its first finished piece) is there, and starts it again. Counts in `killed`.
# shellcheck disable=SC2317  # called through check
kill_and_continue() {  # kill_and_continue RUN DEVICE STAGE PATTERN
  local pattern=$work/$1/$4 command process
  stage_command "$1" "$2" "$3"
  "${command[@]}" & process=$!
  while ! compgen -G "$pattern" >/dev/null && kill -0 "$process" 2>/dev/null; do sleep 0.01; done
  if kill -9 "$process" 2>/dev/null; then killed=$((killed + 1)); fi
  wait "$process"
  stages "$1" "$2" "$3"
}

part_3() {
  local device=cpu stage started=$SECONDS killed=0
  has_gpu && device=cuda
  check "deda toy" "exit code 0" stages first "$device" toy
  check "decouple, invert, generate, train on $device" "exit code 0" stages first "$device" decouple invert generate train
  figure "seconds of the first run" $((SECONDS - started)) s
  [ "$problems" -eq 0 ] || finish
  device_check close "$pack/record/pipeline.json" "$work/first" || problems=$((problems + 1))
  check "the same again" "exit code 0" stages second "$device" decouple invert generate train
  for stage in decouple invert generate train; do check "$stage twice" "equal bytes" same_stage "$stage" first second; done
  check "for the killed run" "exit code 0" stages killed "$device" decouple
  check "invert, killed and continued" "exit code 0" kill_and_continue killed "$device" invert "invert-*/work/unit-*.safetensors"
  check "generate, killed and continued" "exit code 0" kill_and_continue killed "$device" generate "generate-*/segment-*.h5"
  check "train, killed and continued" "exit code 0" kill_and_continue killed "$device" train "train-*/checkpoint-*.safetensors"
  verdict "killed while they ran" "$killed of 3" "at least 1" "$([ "$killed" -ge 1 ] && echo true || echo false)"
  [ "$killed" -ge 1 ] || problems=$((problems + 1))
  for stage in invert generate train; do check "$stage after kill -9" "equal bytes" same_stage "$stage" first killed; done
  if ! has_gpu; then
    figure "device half" '"no_gpu"'
    reason "CPU only; device half: no_gpu ($DEDA_NO_GPU)"
  fi
  finish
}

# Ours, then the same by the Python programs that people use today.
kib_for_model=$((6 * 1024 * 1024))
seconds_to_end=4   # of a part's limit: for stopping the peers and for what is done after them
part_figures() {  # part_figures SUBCOMMAND
  [ -x "$pack/bin/device_figures" ] || skip "bin/device_figures is not in this pack"
  need_gpu
  # Ours begins no further figure after half of the time; the peers get what is left, and are stopped where a
  # figure of theirs (compiling takes long) does not end in it: the part itself is then not cut.
  local limit=${limits[$inner]} peer=$pack/peers/$1.py left code=0 temporary=${TMPDIR:-/tmp}
  # The diffusion model that is made for it (2.2 GB) is written and synced: in memory that costs nothing.
  if [ -w /dev/shm ] && [ "$(df -k --output=avail /dev/shm | tail -n 1)" -ge $kib_for_model ]; then temporary=/dev/shm; fi
  TMPDIR=$temporary device_figures "$1" --seconds $((limit / 2)) || problems=$((problems + 1))
  left=$((limit - SECONDS - seconds_to_end))
  if [ ! -e "$peer" ]; then
    figure "peers" "\"peers/$1.py is not in this pack\""
  elif ! python3 -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' 2>/dev/null; then
    figure "peers" '"not measured: there is no python3 with torch"'
  elif [ $left -le 0 ]; then
    figure "peers" '"not measured: ours took all of the time"'
  else
    timeout -k 1 $left python3 "$peer" --seconds $left || code=$?
    case $code in
      0) ;;
      124 | 137) figure "peers" "\"stopped after $left s; what they had not measured by then is missing\"" ;;
      *) figure "peers" "\"peers/$1.py failed, see part-$inner.log\"" ;;
    esac
  fi
  finish
}

part_7() {
  [ -d "$pack/pets" ] || skip "no pictures in this pack (pack.sh --pets DIR)"
  need_gpu
  local started=$SECONDS longest=0 seed method before
  local settings=(--config "$pack/pets.toml" --set "dataset.root=\"$pack/pets\"" --out "$work/pets")
  check "deda decouple" "exit code 0" deda decouple "${settings[@]}"
  [ "$problems" -eq 0 ] || finish
  for seed in 1 2 3; do
    # A pair of runs is begun only where both fit into the time.
    if [ $((SECONDS - started + 2 * longest + 5)) -gt "${limits[7]}" ]; then reason "seeds up to $((seed - 1)): the time was up"; break; fi
    for method in plain deda; do
      before=$SECONDS
      check "train $method, seed $seed" "exit code 0" deda train "${settings[@]}" --set "augment.method=\"$method\"" --set "run.seed=$seed"
      [ $((SECONDS - before)) -gt "$longest" ] && longest=$((SECONDS - before))
    done
  done
  device_check accuracies "$work/pets" || problems=$((problems + 1))
  finish
}

part_8() {
  need_gpu
  [ "$DEDA_GPUS" -ge 2 ] || skip "this machine has $DEDA_GPUS GPU"
  mpirun -n 2 device_check nccl || problems=$((problems + 1))
  [ -x "$pack/bin/device_figures" ] || { figure "data-parallel step" '"bin/device_figures is not in this pack"'; finish; }
  mpirun -n 2 device_figures parallel || problems=$((problems + 1))
  finish
}

# logged FILE COMMAND...: what it says also goes to a file
# shellcheck disable=SC2317  # called through check
logged() { local file=$1 code=0; shift; "$@" >"$file" 2>&1 || code=$?; cat "$file"; return "$code"; }

# Six steps of every classifier in every precision, and with every image-mixing method: pack.sh runs the same on the CPU for the record.
# shellcheck disable=SC2154  # lists of environment.sh
part_9() {
  need_gpu
  local name kind settings
  # six_steps NAME KIND SETTING...: in the folder NAME-KIND, held against the record of NAME
  six_steps() {
    local name=$1 kind=$2; shift 2
    check "$name, $kind" "exit code 0" logged "$work/$name-$kind.log" train_six_steps "$work/toy" "$work/$name-$kind" --set 'train.device="cuda"' "$@" || return 0
    device_check close "$pack/record/$name.json" "$work/$name-$kind" --name "$name, $kind: " ${DEDA_LOSS_TOLERANCE:+--loss "$DEDA_LOSS_TOLERANCE"} || problems=$((problems + 1))
  }
  # One step of all pictures: after the first, rounding may make graph cuts choose otherwise. Co-Mixup's, made one after the other, do so in the first
  # already: of it only that it trains, and twice alike.
  one_step() {
    local tolerance=; if [ "$1" = comixup ]; then tolerance=0.15; fi
    DEDA_LOSS_TOLERANCE=$tolerance six_steps "$@" --set train.batch_size=48
  }
  same_weights() {  # same_weights NAME KIND OTHER_KIND
    check "$1, $2 and $3" "equal bytes" device_check same "$(echo "$work/$1-$2"/train-*/last.safetensors)" "$(echo "$work/$1-$3"/train-*/last.safetensors)"
  }
  check "deda toy" "exit code 0" deda toy --config "$pack/pipeline.toml" --set "dataset.root=\"$work/toy\"" --out "$work/toy-run"
  [ "$problems" -eq 0 ] || finish
  for name in "${classifiers[@]}"; do
    # With the usual first loss scale the first steps of so short a run would be skipped.
    for kind in fp32 bf16 fp16 fp16-graphs fp16-again; do
      settings=(--set "train.network=\"$name\"" --set "train.precision=\"${kind%%-*}\"" --set train.loss_scale=1024)
      if [ $kind = fp16-graphs ]; then settings+=(--set train.captured_graphs=true); fi
      six_steps "$name" "$kind" "${settings[@]}"
    done
    same_weights "$name" fp16 fp16-again
    check "$name, fp16-graphs" "recorded as a graph" grep -q "recorded as one graph" "$work/$name-fp16-graphs.log"
  done
  for name in "${mixing_methods[@]}"; do
    for kind in bf16 bf16-again; do
      one_step "$name" $kind --set "augment.method=\"$name\"" --set 'train.precision="bf16"'
    done
    same_weights "$name" bf16 bf16-again
  done
  finish
}

if [ -n "$inner" ]; then
  work=$DEDA_PART_FILES.work
  rm -rf "$work"; mkdir -p "$work"; cd "$work" || exit 1
  case $inner in
    1) part_1 ;; 2) part_2 ;; 3) part_3 ;; 4) part_figures training ;; 5) part_figures diffusion ;; 6) part_figures segmenters ;;
    7) part_7 ;; 8) part_8 ;; 9) part_9 ;; *) wrong "there is no part $inner" ;;
  esac
fi

# ---- the whole

find_libtorch() {
  local place=${libtorch:-${LIBTORCH_ROOT:-}}
  if [ -z "$place" ] && command -v python3 >/dev/null; then
    # Without importing it: that alone takes seconds.
    place=$(python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null)
  fi
  [ -n "$place" ] || wrong "no LibTorch: set LIBTORCH_ROOT (folder with lib/libtorch_cpu.so), or have a python3 with torch"
  [ -e "$place/lib/libtorch_cpu.so" ] || wrong "there is no lib/libtorch_cpu.so in $place"
  place=$(cd "$place" && pwd)
  # Every program of the pack looks for LibTorch at this one place.
  ln -sfn "$place" "$pack/libtorch" || wrong "$pack cannot be written to: unpack it to where it can"
  libtorch=$place
}

libtorch_version() {
  local version='' header=$libtorch/include/torch/headeronly/version.h
  if [ -r "$libtorch/version.py" ]; then
    version=$(sed -n "s/^__version__ *= *'\([^']*\)'.*/\1/p" "$libtorch/version.py" | head -n 1)
  elif [ -r "$libtorch/build-version" ]; then
    version=$(cat "$libtorch/build-version")
  elif [ -r "$header" ]; then
    version=$(awk '/define TORCH_VERSION_(MAJOR|MINOR|PATCH) / { text = text dot $3; dot = "." } END { print text }' "$header")
  fi
  echo "${version:-of unknown version} in $libtorch"
}

card() {
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | sed 's/^\([^,]*\), \([^,]*\), \(.*\)$/\1, driver \2, \3/' | paste -s -d ';' | sed 's/;/; /g'
  fi
}

write_table() {
  {
    echo "# deda on a device"
    echo
    local cards; cards=$(card)
    if [ -z "$cards" ]; then
      if [ $DEDA_GPU = yes ]; then cards="named by part 1 (there is no nvidia-smi)"; else cards="none ($DEDA_NO_GPU)"; fi
    fi
    echo "- card: $cards"
    echo "- date: $(date -u '+%Y-%m-%d %H:%M UTC'), $(uname -sr), $(env -u OMP_NUM_THREADS nproc) cores"
    echo "- LibTorch: $(libtorch_version)"
    [ -r "$pack/PACK.txt" ] && sed 's/^/- /' "$pack/PACK.txt"
    device_check table "$out/results.jsonl"
  } >"$out/results.md"
}

find_libtorch
out=${out:-$pack/results-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$out" || wrong "cannot make $out"
out=$(cd "$out" && pwd)
: >"$out/results.jsonl"

DEDA_NO_GPU=; DEDA_GPU=yes; DEDA_GPUS=0; code=0
answer=$(device_check gpu 2>"$out/gpu.log") || code=$?
case $code in
  0) DEDA_GPUS=${answer%% *} ;;
  3) DEDA_GPU=no; DEDA_NO_GPU=$answer ;;
  *) cat "$out/gpu.log" >&2; wrong "the programs of this pack do not start with $libtorch: exit code $code, see $out/gpu.log" ;;
esac
export DEDA_GPU DEDA_NO_GPU DEDA_GPUS
# The pipeline on a CPU: four minutes of processor time.
if [ $DEDA_GPU = no ]; then limits[3]=$((limits[3] * 3)); fi

failed=0
for part in "${order[@]}"; do
  case ",${only:-$(IFS=,; echo "${order[*]}")}," in *,$part,*) ;; *) continue ;; esac
  export DEDA_PART_FILES=$out/part-$part
  rm -f "$DEDA_PART_FILES.reason"
  started=$(date +%s.%N); code=0
  timeout -k 5 "${limits[$part]}" bash "$script" --part "$part" >"$DEDA_PART_FILES.figures" 2>"$DEDA_PART_FILES.log" || code=$?
  seconds=$(awk -v a="$started" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
  why=$(cat "$DEDA_PART_FILES.reason" 2>/dev/null)
  case $code in
    0) status=passed ;;
    3) status=no_gpu ;;
    77) status=skipped ;;
    124 | 137) status="cut"; why="cut after ${limits[$part]} s; ${why:-figures up to then}" ;;
    *) status=failed; why=${why:-exit code $code, see part-$part.log} ;;
  esac
  case $status in failed | cut) failed=1 ;; esac
  device_check part --part "$part" --name "${names[$part]}" --status $status --seconds "$seconds" --reason "$why" \
    --figures "$DEDA_PART_FILES.figures" >>"$out/results.jsonl"
  say "part $part, ${names[$part]}: $status, $seconds s${why:+ ($why)}"
  rm -rf "$DEDA_PART_FILES.work"
  write_table
done
say "$out/results.md"
exit $failed

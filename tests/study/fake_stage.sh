#!/usr/bin/env bash
# Stands in for `deda` where a test looks at the driver alone: `fake_stage.sh STAGE FOLDER SECONDS [HOW]` leaves what a finished
# stage leaves. HOW: ok; slow_stop (saves its place on USR2 and ends with 75); fail_N (ends with code N); lie (code 0, nothing made);
# once_N (ends with code N the first time); die (kills itself).
stage=$1 folder=$2 seconds=$3 how=${4:-ok}
mkdir -p "$folder"
echo "$BASHPID $(date +%s.%N) $(hostname) ${CUDA_VISIBLE_DEVICES:--}" >>"$folder/starts"
stopped() { echo stopped >>"$folder/stops"; exit 75; }
trap stopped USR2
case $how in
  fail_*) echo "deda: error: this stage fails on purpose" >&2; exit "${how#fail_}" ;;
  once_*) if [ ! -e "$folder/tried" ]; then touch "$folder/tried"; echo "deda: error: the first try fails" >&2; exit "${how#once_}"; fi ;;
  lie) exit 0 ;;
  die) kill -9 $$ ;;
esac
# What is done already is not done again: tenths of a second in the file `place`.
place=$(cat "$folder/place" 2>/dev/null || echo 0)
tenths=$(awk "BEGIN { print int($seconds * 10) }")
while [ "$place" -lt "$tenths" ]; do
  sleep 0.1 & wait $!
  place=$((place + 1)); { echo "$place" >"$folder/place.new" && mv "$folder/place.new" "$folder/place"; } || exit 1
done
case $stage in
  train)
    echo weights >"$folder/last.safetensors" || exit 1
    echo '{"finished": true, "failure": "", "epochs": 1, "epochs_done": 1}' >"$folder/results.new" || exit 1
    mv "$folder/results.new" "$folder/results.json" ;;
  # Half of it first, for an instant: a driver that looks at it then must not take it for damage while its maker lives.
  invert) printf '{' >"$folder/identifiers.json"; sleep 0.03; echo '{"classes": []}' >"$folder/identifiers.json" ;;
esac

#!/usr/bin/env bash
# Figure 9 module by module, end to end on the smallest toy dataset: all seven rows of configs/studies/paper/modules.toml run through one
# study, the studies of figures 7 and 9 are accepted, every sample's draws are what analysis/replay_draws.py draws again, and each row does
# what its modules say.
#   modules_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1 source_dir=$2 work=$3/modules
rm -rf "$work"; mkdir -p "$work"; cd "$work" || exit 1
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; sed 's/^/  | /' log | tail -n 20; problems=$((problems + 1)); fi; }
deda() { code=0; timeout 500 "$program" "$@" >log 2>errors || code=$?; cat errors >>log; }

cat >study.toml <<T
include = ["$source_dir/configs/studies/paper/modules.toml"]
[study]
name = "modules"
base = ["$source_dir/tests/pipeline/tiny.toml"]
set = { "models.base" = "$source_dir/configs/models/toy", "dataset.root" = "$work/toy", "augment.edge_sigma" = 0.5 }
seeds = "1-3"
[[grid]]
axes = ["module"]
[[table]]
title = "Modules"
rows = "module"
columns = []
baseline = "a"
T
deda study run study.toml --cpu --out out
check "the seven rows run over three seeds" test "$code" = 0
deda study report study.toml --cpu --out out
check "the report has them all" test "$(tail -n +2 out/study-modules/report/modules.csv | grep -c .)" = 7

# The settings of each row, and what its draws have to be.
settings() {
  case $1 in
    b) echo p_aug=1 p_syn=0.25 real_cdps=untouched cip=own placement=in_place p_mix=0 ;;
    c) echo p_aug=1 p_syn=0.25 real_cdps=untouched cip=own p_mix=0 ;;
    d) echo p_syn=0 placement=in_place p_mix=0 ;;
    e) echo p_syn=0 p_mix=0 ;;
    f) echo p_mix=0 ;;
    g) echo p_mix=0.5 ;;
  esac
}
cat >rules.py <<'PY'
import json, sys
row, lines = sys.argv[1], [json.loads(line) for line in open(sys.argv[2])]
made = [line for line in lines if line["augmented"]]
assert len(lines) == 18 and made, (row, len(lines), len(made))
for line in made:
    if row in "bc":
        assert line["version"] > 0 and line["cip"] == line["index"], line
    else:
        assert line["cip"] != line["index"], line
    if row in "de":
        assert line["version"] == 0, line
    if row in "bd":
        assert line["angle1"] == 0 and line["flip1"] == 0, line
    assert row == "g" or line["mix"] == -1, line
assert row != "g" or any(line["mix"] >= 0 for line in made)
PY
base=(--config "$source_dir/tests/pipeline/tiny.toml" --set "models.base=\"$source_dir/configs/models/toy\"" --set "dataset.root=\"$work/toy\"" --out out --set augment.edge_sigma=0.5)
for row in b c d e f g; do
  arguments=() replayed=()
  for setting in $(settings $row); do arguments+=(--set "augment.$setting"); done
  for setting in $(settings $row); do case $setting in cip=* | real_cdps=*) ;; *) replayed+=(--set "$setting") ;; esac; done
  deda train "${base[@]}" "${arguments[@]}" --trace "draws-$row" --trace-draws 100
  check "row $row: draws are written" test "$code" = 0
  python3 "$source_dir/analysis/replay_draws.py" "draws-$row/draws.jsonl" --seed 1 --set crop=33 "${replayed[@]}" >log 2>&1
  check "row $row: its draws replay" test $? = 0
  python3 rules.py $row "draws-$row/draws.jsonl" >log 2>&1
  check "row $row: it does what its modules say" test $? = 0
done

# A wrong rule is noticed.
python3 "$source_dir/analysis/replay_draws.py" draws-g/draws.jsonl --seed 2 --set crop=33 >log 2>&1
check "draws of another seed do not replay" test $? = 1

# Configurations name files from the project's folder.
cd "$source_dir" || exit 1
timeout 300 "$program" study plan configs/studies/figure9_toy.toml --cpu --out "$work/plan" >"$work/log" 2>&1
check "figure9_toy is planned" grep -q '21 runs listed, 21 distinct' "$work/log"
for study in figure7 figure9; do  # their datasets and weights are not here: nothing but them is missing
  timeout 300 "$program" study plan configs/studies/paper/$study.toml --cpu --out "$work/plan" >"$work/log" 2>&1
  check "$study: nothing is wrong but data that is not here" test -z "$(grep ' runs: ' "$work/log" | grep -vE 'is no folder|there is no model folder')"
  rows=$(test $study = figure9 && echo 'Aircraft, resnet18, [a-g], seed 1' || echo 'De-DA, without, Aircraft, seed 1')
  check "$study: its rows are known" grep -qE "$rows|runs listed" "$work/log"
done
cd "$work" || exit 1
exit $((problems > 0))

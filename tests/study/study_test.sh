#!/usr/bin/env bash
# The real program on a small study of the toy dataset: planned, run on one slot, on two, by three drivers at once, by exported commands;
# equal bytes each time; faults in a study file; cells that are missing.
#   study_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1 source_dir=$2 work=$3/study
rm -rf "$work"; mkdir -p "$work"; cd "$work" || exit 1
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; sed 's/^/  | /' log | tail -n 40; problems=$((problems + 1)); fi; }
says() { grep -qF -- "$1" log; }
deda() { code=0; timeout 200 "$program" "$@" >log 2>&1 || code=$?; }

cat >base.toml <<'T'
[toy]
classes = 3
train_per_class = 8
test_per_class = 4
size = 40
[augment]
resize_shorter = 40
crop = 32
[train]
epochs = 2
batch_size = 8
milestones = [1]
T
cat >small.toml <<'T'
[study]
name = "small"
base = ["base.toml"]
set = { "augment.p_syn" = 0.0 }
seeds = "1-2"
[axis.method]
plain = { "augment.method" = "plain" }
deda = { "augment.method" = "deda" }
[[grid]]
axes = ["method"]
[[grid]]
name = "sweep"
fix = { method = "deda" }
vary = { "augment.p_aug" = [0.0, 0.5, 1.0] }
seeds = [1]
[[table]]
title = "Small"
grids = ["small"]
rows = "method"
columns = ["group"]
baseline = "plain"
[[figure]]
title = "Sweep"
grids = ["sweep"]
x = "augment.p_aug"
T
study=(small.toml --set dataset.root=toy --cpu)

# Planned: 7 cells, p_aug 0 is plain of seed 1 and p_aug 0.5 the default of seed 1: 5 runs.
deda study plan "${study[@]}" --out one
check "the plan works" test "$code" = 0
check "it counts equal runs once" says '7 runs listed, 5 distinct'
check "nothing was started" test "$(ls one)" = study-small
deda study run "${study[@]}" --out one --slots 1
check "one slot: all done" test "$code" = 0
planned=$(python3 -c 'import json,os; print("\n".join(sorted(os.path.basename(n["folder"]) for n in json.load(open("one/study-small/plan.json"))["plan"]["nodes"])))')
made=$( (ls -d one/train-* one/decouple-*; echo toy) | sed 's#.*/##' | sort)
check "every folder that was made stood in the plan" test "$planned" = "$made"
deda study plan "${study[@]}" --out one
check "afterwards nothing is left" bash -c "grep -q '^train  *5  *5  *0' log"
deda study run "${study[@]}" --out one --slots 1
check "a second call starts nothing" bash -c "! grep -q ' start ' log"
deda study report "${study[@]}" --out one --strict
check "the report is complete" test "$code" = 0
check "and has a page" test -s one/study-small/report/report.html
check "and says that these are not the paper's numbers" says "not the paper's numbers"

tables_equal() {   # tables_equal OUTPUT: all files that hold numbers, but for the folder's name
  local file
  for file in small.csv small-seeds.csv small.tex sweep.csv; do
    cmp <(sed "s#$1/##g" "$1/study-small/report/$file") <(sed 's#one/##g' "one/study-small/report/$file") || return 1
  done
}
deda study run "${study[@]}" --out two --slots 2
check "two slots: all done" test "$code" = 0
deda study report "${study[@]}" --out two
check "two slots: the same tables" tables_equal two

for driver in 1 2 3; do timeout 200 "$program" study run "${study[@]}" --out three --slots 1 >"log.$driver" 2>&1 & pids[$driver]=$!; done
for driver in 1 2 3; do wait "${pids[$driver]}"; check "driver $driver of three ends well" test $? = 0; done
cat log.1 log.2 log.3 >log
check "three drivers: each item started once" test "$(grep -c ' start ' log)" = 6   # the toy dataset is there
deda study report "${study[@]}" --out three
check "three drivers: the same tables" tables_equal three

"$program" study plan "${study[@]}" --out four --program "$program" --export commands >commands 2>log
bash -e commands >log 2>&1; check "exported commands run" test $? = 0
deda study plan "${study[@]}" --out four
deda study report "${study[@]}" --out four
check "exported commands: the same tables" tables_equal four
"$program" study run "${study[@]}" --out four --launcher print >printed 2>log
check "the launcher print: nothing is left" grep -q '^# study small: 0 of 7 items' printed
"$program" study run "${study[@]}" --out five --ranks 2 --launcher print >printed 2>log
check "the launcher print: commands with the study's ranks" test "$(grep -c '^mpirun -n 2 .*train' printed)" = 5
check "the launcher print: starts nothing" test ! -e five/claims
"$program" study plan "${study[@]}" --out four --export snakemake >Snakefile 2>log
check "a Snakefile has a rule per item" test "$(grep -c '^rule ' Snakefile)" = 8

# Another study in the same output shares what is equal; one of the same name and other cells is refused.
deda study run --config base.toml --set augment.p_syn=0 --set augment.method=deda --set dataset.root=toy --vary augment.p_aug=0,0.5 --seeds 1 --out one --cpu --name other
check "a second study has nothing to do" bash -c "! grep -q ' start ' log"
deda study run --config base.toml --set augment.p_syn=0 --set dataset.root=toy --vary train.epochs=1,3 --out one --cpu --name other
check "another study under the same name: refused" test "$code" = 2
check "and told" says 'items that this study does not have'

# Times before anything has run, from short runs; they leave no results behind.
deda study plan "${study[@]}" --out six --set train.epochs=9 --set train.warmup_epochs=8 --set train.evaluate_first=9 --set train.last_batch=drop --measure
check "measuring works, with a recipe that a short training could not follow" test "$code" = 0
check "times are from short runs" says 'measured by short runs'
check "each kind was measured twice, at two sizes" python3 -c 'import json; k=json.load(open("six/study-small/measured.json"))["kinds"]; assert len(k) == 3 and all(v["unit_s"] > 0 and v["start_s"] >= 0 for v in k.values()), k'
check "short runs leave no results" bash -c '! ls -d six/study-small/measure/train-* 2>/dev/null'
deda study plan "${study[@]}" --out six --set train.epochs=9 --set train.warmup_epochs=8 --set train.evaluate_first=9 --set train.last_batch=drop --measure
check "what is known is not measured again" says 'nothing to measure'
# A store that a setting names is somebody's: measuring with it must leave it alone.
cp -r "$(ls -d one/decouple-* | head -n 1)" store_of_mine; find store_of_mine -type f | sort >before
deda study plan --config base.toml --set augment.method=deda --set augment.p_syn=0 --set dataset.root=toy --set train.store=store_of_mine --seeds 1 --out eight --cpu --measure
check "a named store is left alone by short runs" cmp before <(find store_of_mine -type f | sort)
python3 - <<'P'
import json, os
os.makedirs("seven/study-small", exist_ok=True)
plan = json.load(open("one/study-small/plan.json")); plan["schema"] = "deda-study-plan-9"
json.dump(plan, open("seven/study-small/plan.json", "w"))
P
deda study status "${study[@]}" --out seven
check "a plan of another version: an error that says so" says 'deda-study-plan-9'
check "and no success" test "$code" -ne 0
deda study run "${study[@]}" --out seven
check "it is not overwritten" grep -q 'deda-study-plan-9' seven/study-small/plan.json

# A cell that is missing.
rm -r one/train-*/ ; mkdir one/keep
deda study report "${study[@]}" --out one --strict
check "holes: exit code 1 with --strict" test "$code" = 1
deda study report "${study[@]}" --out one
check "holes: 0 without" test "$code" = 0
check "holes are counted" says '0 of 2 cells'
deda study status "${study[@]}" --out one --json
check "status is JSON" python3 -c 'import json; assert json.load(open("log"))["done"] == 2'

# Twelve faults, one call.
mkdir -p wrong; cat >wrong/loop.toml <<'T'
include = ["study.toml"]
T
cat >wrong/study.toml <<'T'
include = ["loop.toml"]
[study]
name = "wrong"
base = ["../base.toml", "missing.toml"]
seeds = [1, 2, 1]
[axis.method]
plain = { "augment.method" = "plain" }
typo = { "augment.metod" = "deda" }
bad = { "train.epochs" = -3 }
[[grid]]
name = "a"
axes = ["methd"]
[[grid]]
name = "b"
axes = ["method"]
vary = { "augment.p_aug" = [] }
exclude = [{ network = "x" }]
[[grid]]
name = "b"
axes = ["method"]
[[table]]
title = "T"
grids = ["b"]
rows = "method"
columns = ["dataset"]
baseline = "plane"
T
deda study run wrong/study.toml --out wrong/out
check "faults of the file: exit code 2" test "$code" = 2
for text in 'loop.toml:1: the file includes itself' 'study.toml:4: there is no file' 'study.toml:5: seed 1 stands twice' 'unknown axis "methd"' \
  'varies over no value' 'no axis "network" to exclude by' 'a second grid "b"' 'asks for "dataset"' 'baseline "plane"'; do
  check "told at once: $text" says "$text"
done
cat >wrong/study.toml <<'T'
[study]
name = "wrong"
base = ["../base.toml"]
[axis.method]
plain = { "augment.method" = "plain" }
typo = { "augment.metod" = "deda" }
bad = { "train.epochs" = -3 }
weights = { "train.weights" = "nowhere.pth" }
[[grid]]
axes = ["method"]
exclude = [{ method = "never" }]
T
deda study run wrong/study.toml --out wrong/out --set dataset.root=toy
check "faults of configurations: an error" test "$code" -gt 1
for text in 'study.toml:6: augment.metod: unknown key' 'study.toml:7: train.epochs' 'nowhere.pth' 'matches no point' '[1 run: typo, seed 1]'; do
  check "told at once: $text" says "$text"
done
check "nothing was started" test ! -e wrong/out/claims
mkdir closed; chmod 555 closed
if [ "$(id -u)" -ne 0 ]; then
  deda study run "${study[@]}" --out closed/x
  check "a folder that may not be written: told" says 'closed'
fi
deda study run "${study[@]}" --out /proc/nothing
check "an output that cannot be made: an error that names it" says '/proc/nothing'
check "and no success" test "$code" -ne 0
deda study status nowhere.toml
check "a study that is not there" says 'nowhere.toml'
exit $((problems > 0))

#!/usr/bin/env bash
# What `deda plan` says before anything has run against what the program then does: every folder that it names is made and no
# other; other data, other exclusions and other settings make other folders; equal experiments share theirs.
#   folders_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1; source_dir=$2; work=$3/run
rm -rf "$work"; mkdir -p "$work"; cd "$work" || exit 1
export DEDA_CACHE_DIR=$work/cache
config=(--config "$source_dir/tests/pipeline/tiny.toml" --set "dataset.root=\"$work/toy\"" --set "models.base=\"$source_dir/configs/models/toy\"")
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; problems=$((problems + 1)); fi; }
plan() { "$program" plan "${config[@]}" "$@"; }
# STAGE FOLDER STATE of every node
nodes() { plan --json "$@" | python3 -c 'import json, sys
for node in json.load(sys.stdin)["nodes"]: print(node["stage"], node["folder"], node["state"])'; }
folder_of() { nodes "${@:2}" | awk -v stage="$1" '$1 == stage { print $2 }' | tail -n 1; }
run() {  # run RANKS PLAN_ARGUMENTS...: everything that the plan has left to do
  local ranks=$1 lines line arguments; shift
  mapfile -t lines < <(plan --commands "$@")
  for line in "${lines[@]}"; do
    [ -n "$line" ] || continue
    eval "arguments=($line)"
    mpirun -n "$ranks" "$program" "${arguments[@]}" >>"$work/log" 2>&1 || { echo "FAILED: deda $line"; tail -n 5 "$work/log"; problems=$((problems + 1)); }
  done
}
made() { find "$1" -maxdepth 1 -name '*-????????????????' -type d | sort; }
named() { nodes "$@" | awk '$1 != "toy" { print $2 }' | sort -u; }

# On an empty folder.
out=$work/first
named --out "$out" --methods "plain deda-real deda" >planned
check "nothing is there before" test ! -e "$out"
run 2 --out "$out" --methods "plain deda-real deda"
made "$out" >found
check "every planned folder was made, and no other" diff planned found
check "all is done" test "$(nodes --out "$out" --methods 'plain deda-real deda' | awk '$3 != "done"' | wc -l)" -eq 0
check "nothing is left to do" test -z "$(plan --out "$out" --methods 'plain deda-real deda' --commands)"

# Other ranks: the same folders, the same numbers.
named --out "$work/alone" --methods plain >planned
run 1 --out "$work/alone" --methods plain
made "$work/alone" >found
check "the same folders on one rank" diff planned found
check "named alike" test "$(basename "$(folder_of train --out "$work/alone" --methods plain)")" = "$(basename "$(folder_of train --out "$out" --methods plain)")"

# Equal experiments: p_aug = 0 is plain, strength = 0 is De-DA with real CDPs alone.
check "p_aug = 0 is plain training" test "$(folder_of train --out "$out" --set augment.p_aug=0)" = "$(folder_of train --out "$out" --methods plain)"
check "strength = 0 has no copies" test "$(folder_of train --out "$out" --set diffusion.strength=0)" = "$(folder_of train --out "$out" --methods deda-real)"

for equal in "augment.p_aug=0 plain" "diffusion.strength=0 deda-real"; do
  setting=${equal% *} method=${equal#* }
  run 2 --out "$work/$setting" --set "$setting"
  check "$setting: the numbers of $method" cmp -s "$(folder_of train --out "$work/$setting" --set "$setting")/history.csv" "$(folder_of train --out "$out" --methods "$method")/history.csv"
done
check "checkpoints of finished runs are gone" test -z "$(find "$out" -name 'checkpoint-*')"

# The first two of four copies are those of a store of two.
drawn=(--set augment.p_aug=1 --set augment.p_syn=1)
two=(--out "$work/two" "${drawn[@]}" --set generate.copies=2)
of_four=(--out "$work/four" "${drawn[@]}" --set generate.copies=2 --set generate.store_copies=4)
four=(--out "$work/four" "${drawn[@]}" --set generate.copies=4)
run 2 "${two[@]}"; run 2 "${of_four[@]}"; run 2 "${four[@]}"
check "one store of four" test "$(folder_of generate "${of_four[@]}")" = "$(folder_of generate "${four[@]}")"
check "and another of two" test "$(basename "$(folder_of generate "${two[@]}")")" != "$(basename "$(folder_of generate "${four[@]}")")"
check "the same training on two of it" test "$(basename "$(folder_of train "${two[@]}")")" = "$(basename "$(folder_of train "${of_four[@]}")")"
check "with the same numbers" cmp -s "$(folder_of train "${two[@]}")/history.csv" "$(folder_of train "${of_four[@]}")/history.csv"
check "which are others with all four" bash -c "! cmp -s '$(folder_of train "${four[@]}")/history.csv' '$(folder_of train "${of_four[@]}")/history.csv'"

# A third of each class's six training pictures held out: of identifiers, copies and training, not of the parts.
held=(--out "$work/held" --set train.held_out=0.34)
named "${held[@]}" >planned
run 2 "${held[@]}"
made "$work/held" >found
check "held out: every planned folder, and no other" diff planned found
check "all parts are there" test "$(basename "$(folder_of decouple "${held[@]}")")" = "$(basename "$(folder_of decouple --out "$out" --methods deda-real)")"
check "seeds share what is made without the held-out pictures" test "$(folder_of generate "${held[@]}")" = "$(folder_of generate "${held[@]}" --set run.seed=2)"
check "four of six CDPs a class are learnt from, twelve pictures have copies, six are evaluated" python3 - "$(folder_of invert "${held[@]}")" "$(folder_of generate "${held[@]}")" "$(folder_of train "${held[@]}")" <<'CHECK'
import json, sys
invert, generate, train = sys.argv[1:]
read = lambda path: json.load(open(path))
assert [record["cdps"] for record in read(invert + "/identifiers.json")["classes"]] == [4, 4, 4]
sources = read(generate + "/manifest.json")["sources"]
assert len(sources) == 12, sources
held_out = read(train + "/results.json")["held_out"]
assert held_out["images"] == 6 and held_out["share"] == 0.34, held_out
assert open(train + "/history.csv").readline().endswith(",held_out_accuracy\n")
CHECK
"$program" train "${config[@]}" "${held[@]}" >again.txt 2>&1
check "called again it has finished, and tells both accuracies" bash -c "grep -q 'finished already' again.txt && grep -Eq '^held out of training .* 6\$' again.txt"
"$program" evaluate "${config[@]}" "${held[@]}" --weights last --split held_out >evaluated.txt 2>&1
check "deda evaluate finds the same pictures" grep -Eq '^all .* 6$' evaluated.txt

# Exclusions: another store, trained anew, both in the report.
echo "images/train/00000.png" >exclude.txt
excluded=(--set 'augment.p_syn=0' --set "decouple.exclude=\"$work/exclude.txt\"")
before=$(folder_of train --out "$out" --methods deda-real); after=$(folder_of train --out "$out" "${excluded[@]}")
check "an exclusion makes another training" test "$before" != "$after"
cp "$before/history.csv" before.csv
run 2 --out "$out" "${excluded[@]}"
check "it was trained anew" test -s "$after/history.csv"
check "what was there is untouched" cmp -s "$before/history.csv" before.csv
check "its numbers are of other data" bash -c "! cmp -s '$before/history.csv' '$after/history.csv'"
"$program" inspect "${config[@]}" --out "$out" >report.txt 2>&1
check "the report tells the two apart by what differs" grep -Eq '^method .*exclude' report.txt
check "the page is there" test -s "$out/report.html"

"$program" plan "${config[@]}" --out "$out" "${excluded[@]}" --why "$before" >why.txt 2>&1
check "deda plan --why names the need that differs" grep -Eq '^  need +decouple ' why.txt
"$program" plan "${config[@]}" --out "$out" "${excluded[@]}" --why "$(folder_of decouple --out "$out" --methods deda-real)" >why.txt 2>&1
check "and the list that differs" grep -Eq '^  content +decouple.exclude +there -,' why.txt

# Few-shot, and a store that a setting names.
few=(--set 'augment.p_syn=0' --set dataset.images_per_class=3)
named --out "$work/few" "${few[@]}" >planned
run 2 --out "$work/few" "${few[@]}"
made "$work/few" >found
check "few-shot: every planned folder, and no other" diff planned found
store=(--set 'augment.p_syn=0' --set "train.store=\"$(folder_of decouple --out "$out" --methods deda-real)\"")
nodes --out "$work/named" "${store[@]}" | awk '$1 == "train" { print $2 }' >planned
run 2 --out "$work/named" "${store[@]}"
made "$work/named" >found
check "with a named store: only the training's folder" diff planned found
check "the same store under a name is the same training" cmp -s "$before/history.csv" "$(cat planned)/history.csv"

# A mask corrected in place: another store; the old folders stay.
store_before=$(folder_of decouple --out "$out" --methods deda-real)
cp toy/masks/train/00002.png toy/masks/train/00001.png
check "a corrected mask makes another store" test "$(folder_of decouple --out "$out" --methods deda-real)" != "$store_before"
check "and another training" test "$(nodes --out "$out" --methods deda-real | awk '$1 == "train" { print $3 }')" = missing
check "but not of plain training" test "$(nodes --out "$out" --methods plain | awk '$1 == "train" { print $3 }')" = done

# Folders of an earlier version: named, never used.
mkdir -p "$out/train-0000000000000001"; echo '{"finished": true, "identity": "x"}' >"$out/train-0000000000000001/results.json"
check "an earlier version's folder is named" grep -q "made by an earlier version, not used: .*train-0000000000000001" <(plan --out "$out" --methods plain)
exit $((problems > 0))

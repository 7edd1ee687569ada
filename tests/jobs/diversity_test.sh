#!/usr/bin/env bash
# `deda diversity` end to end on the smallest toy dataset: which pairs are compared, that its files agree with each other, that ranks,
# probabilities of augmentation and repetition change nothing, and what is refused.
#   diversity_test.sh PROGRAM SOURCE_DIR WORK_DIR
set -uo pipefail
program=$1 source_dir=$2 work=$3/diversity
rm -rf "$work"; mkdir -p "$work"; cd "$work" || exit 1
problems=0
check() { if ! "${@:2}"; then echo "FAILED: $1"; sed 's/^/  | /' log | tail -n 20; problems=$((problems + 1)); fi; }
base=(--config "$source_dir/tests/pipeline/tiny.toml" --set "models.base=\"$source_dir/configs/models/toy\"" --set "dataset.root=\"$work/toy\"" --out out)
deda() { code=0; timeout 300 "$program" "$1" "${base[@]}" "${@:2}" >log 2>errors || code=$?; cat errors >>log; }
keep() { mkdir -p "$1" && mv out/diversity.csv out/diversity-pairs.csv out/diversity.svg "$1"; }

deda toy
check "the toy dataset is drawn" test $code = 0
deda diversity --methods deda-real
check "without a store it is a matter of data" test $code = 3
check "and the store is asked for" grep -q 'there is no store of parts' log
deda decouple
check "pictures are decoupled" test $code = 0
deda diversity --methods deda
check "without synthetic CDPs it is a matter of data" test $code = 3
check "and they are asked for" grep -q 'there is no store of synthetic CDPs' log
deda diversity --methods plain,cutmix,deda-real
check "methods without pairs are a wrong command line" test $code = 2
check "plain is named" grep -q 'plain does not combine' log
check "cutmix is named" grep -q 'cutmix does not combine' log
deda diversity --methods deda-real --dry-run --pairs 40
check "a dry run tells what it would do" grep -q 'would compare 40 pairs of 18 pictures for each of 1 methods, at 33 x 33 pixels' log
check "and leaves nothing" test ! -e out/diversity.csv

deda invert
check "identifiers are learnt" test $code = 0
deda generate
check "synthetic CDPs are made" test $code = 0
deda diversity --methods deda,deda-real --without-mix --pairs 40 --versions 3
check "methods are compared" test $code = 0
check "a table says so" grep -qE 'deda-real without mix +40 +0 .*dB' log
check "the picture is there" grep -q '<svg xmlns' out/diversity.svg
keep first

cat >files.py <<'PY'
import collections, csv, math, statistics, sys
folder = sys.argv[1]
summary = list(csv.DictReader(open(f"{folder}/diversity.csv")))
assert list(summary[0]) == "method,dataset,pairs,psnr_mean,psnr_deviation,ssim_mean,within_source_psnr,identical".split(","), list(summary[0])
pairs = collections.defaultdict(list)
for row in csv.DictReader(open(f"{folder}/diversity-pairs.csv")):
    pairs[row["method"]].append(row)
names = ["deda", "deda without mix", "deda-real", "deda-real without mix"]
assert [row["method"] for row in summary] == names == list(pairs)
sources = [[(row["source"], row["version"]) for row in pairs[name]] for name in names]
assert all(each == sources[0] for each in sources), "methods were compared on different sources"
# 18 pictures, each twice and four of them once more.
assert len(set(sources[0])) == 40 and len({source for source, _ in sources[0]}) == 18
assert collections.Counter(version for _, version in sources[0]) == {"0": 18, "1": 18, "2": 4}
for row in summary:
    psnr, ssim = ([float(pair[key]) for pair in pairs[row["method"]]] for key in ("psnr", "ssim"))
    # Six digits behind the point are kept.
    assert math.isclose(statistics.mean(psnr), float(row["psnr_mean"]), abs_tol=2e-6), row
    assert math.isclose(statistics.stdev(psnr), float(row["psnr_deviation"]), abs_tol=2e-6), row
    assert math.isclose(statistics.mean(ssim), float(row["ssim_mean"]), abs_tol=2e-6), row
    assert row["pairs"] == "40" and row["identical"] == "0" and row["dataset"] == "toy beetles", row
    # Backgrounds are others: as far as two photographs are from each other, or a little nearer.
    assert all(4 < value < 30 for value in psnr) and 4 < float(row["within_source_psnr"]) < 30, row
assert len({row["psnr_mean"] for row in summary}) == 4, "methods do not differ"
PY
python3 files.py first >log 2>&1
check "the files agree with each other" test $? = 0
deda diversity --methods deda,deda-real --without-mix --pairs 40 --versions 3 --set augment.p_aug=0.1 --set augment.anchor=random
keep again
check "how often training augments changes nothing" diff -r first again
code=0; timeout 300 mpirun -n 2 "$program" diversity "${base[@]}" --methods deda,deda-real --without-mix --pairs 40 --versions 3 >log 2>&1 || code=$?
keep two
check "two ranks give the same bytes" diff -r first two
deda diversity --methods deda,deda-real --without-mix --pairs 40 --versions 3 --seed 7
keep other
check "another seed gives other pairs" test "$(cmp -s first/diversity-pairs.csv other/diversity-pairs.csv; echo $?)" = 1

deda diversity --methods deda --set augment.real_cdps=untouched --set augment.p_syn=0.3 --pairs 20 --versions 0
check "samples that stay natural are passed over" test "$code:$(tail -n +2 out/diversity-pairs.csv | wc -l)" = 0:20
check "no versions were compared" grep -qE '^deda,toy beetles,20,[0-9.]+,[0-9.]+,[-0-9.]+,,0$' out/diversity.csv
deda diversity --pairs 0
check "no pairs are refused" test $code = 2
exit $((problems > 0))

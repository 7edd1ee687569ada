// Tables of a study: numbers beside the paper's, differences that are told and that are refused, holes with
// their reasons, and bytes that do not depend on the order in which runs ended.
#include "study/result_table.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <random>

#include "core/error.h"
#include "study/made_up_runs.h"
#include "study/table_csv.h"
#include "study/table_latex.h"
#include "study/table_text.h"
#include "support/temporary_folder.h"

namespace deda::study {
namespace {

using test::axis;
using test::done_run;
using test::runs_of_grid;
using test::study_of_axes;
using test::unfinish;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const Study methods_on_datasets =
    study_of_axes({axis("method", {"Vanilla", "Mixup", "De-DA"}), axis("dataset", {"CUB", "Car"})});

TableLayout layout(const std::string& baseline = "Vanilla", Value value = Value::last) {
  TableLayout made;
  made.title = "Table 2";
  made.rows = {"method"};
  made.columns = {"dataset"};
  made.value = value;
  made.baseline = baseline;
  made.average = true;
  return made;
}

// De-DA 10 points above Vanilla, Mixup level with it; seeds differ by some tenths.
double made_up_last(const Labels& labels, std::int64_t seed) {
  const double base = labels.at("dataset") == "CUB" ? 70 : 85;
  const double method = labels.at("method") == "De-DA" ? 10 : 0;
  const double noise = 0.1 * static_cast<double>((seed * 7 + static_cast<std::int64_t>(method)) % 5);
  // A little above Vanilla in the mean on CUB, a little below on Car.
  if (labels.at("method") == "Mixup") return base + (base == 70 ? 0.45 : 0.35) - noise;
  return base + method + noise;
}

std::vector<CellRun> made_up_runs(const std::vector<std::int64_t>& seeds) {
  return runs_of_grid(methods_on_datasets, seeds, made_up_last);
}

CellRun& find(std::vector<CellRun>& runs, const std::string& method, const std::string& dataset,
              std::int64_t seed) {
  return *std::find_if(runs.begin(), runs.end(), [&](const CellRun& run) {
    return run.labels.at("method") == method && run.labels.at("dataset") == dataset && run.seed == seed;
  });
}

std::string all_bytes(const ResultTable& table) {
  return to_text(table) + to_csv(table) + seeds_to_csv(table) + to_latex(table);
}

std::string notes_of(const ResultTable& table) {
  std::string text;
  for (const std::string& note : table.notes) text += note + '\n';
  return text;
}

TEST(ResultTable, SaysWhatItsNumbersAre) {
  auto runs = made_up_runs({1, 2, 3});
  EXPECT_EQ(lay_out(methods_on_datasets, layout(), runs).score, "top-1 accuracy");
  for (auto& run : runs) {
    run.results->objective = "multi_label";
    run.results->further = {"mAP"};
  }
  EXPECT_EQ(lay_out(methods_on_datasets, layout(), runs).score, "exact match");
  auto metric = layout();
  metric.group = "mAP";
  EXPECT_EQ(lay_out(methods_on_datasets, metric, runs).score, "mAP");
  runs.front().results->objective = "single_label";
  EXPECT_EQ(lay_out(methods_on_datasets, layout(), runs).score, "top-1 accuracy or exact match");
}

TEST(ResultTable, GivesMeansIntervalsDifferencesAndFindings) {
  const ResultTable table = lay_out(methods_on_datasets, layout(), made_up_runs({1, 2, 3, 4, 5}));
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_THAT(table.columns, ElementsAre(ElementsAre("CUB"), ElementsAre("Car")));
  EXPECT_EQ(progress_of(table), "6 of 6 cells");
  const ResultRow &vanilla = table.rows[0], &mixup = table.rows[1], &deda = table.rows[2];
  EXPECT_TRUE(vanilla.is_baseline);
  EXPECT_FALSE(vanilla.cells[0].to_baseline.has_value());
  ASSERT_TRUE(deda.cells[0].to_baseline.has_value());
  EXPECT_EQ(deda.cells[0].to_baseline->finding, Finding::better);
  EXPECT_NEAR(deda.cells[0].to_baseline->paired.difference.mean, 10, 1e-9);
  EXPECT_GT(mixup.cells[0].to_baseline->paired.difference.mean, 0);
  EXPECT_EQ(mixup.cells[0].to_baseline->finding, Finding::not_told_apart);
  EXPECT_LT(mixup.cells[1].to_baseline->paired.difference.mean, 0);
  EXPECT_EQ(mixup.cells[1].to_baseline->finding, Finding::not_told_apart);
  EXPECT_NEAR(deda.average.ours.mean, (deda.cells[0].cell.ours.mean + deda.cells[1].cell.ours.mean) / 2,
              1e-12);
  ASSERT_TRUE(deda.over_columns.has_value());
  EXPECT_EQ(deda.over_columns->probability_of_improvement, 1.0);
  const std::string text = to_text(table);
  EXPECT_THAT(text, AllOf(HasSubstr("better"), HasSubstr("not told apart"), HasSubstr("±"),
                          HasSubstr("De-DA against Vanilla over all columns: +10.00 points")));
  EXPECT_THAT(table.holes, IsEmpty());
}

TEST(ResultTable, HolmsCorrectionIsTakenOverTheRowsOfAColumn) {
  const ResultTable table = lay_out(methods_on_datasets, layout(), made_up_runs({1, 2, 3, 4, 5}));
  const auto &mixup = *table.rows[1].cells[0].to_baseline, &deda = *table.rows[2].cells[0].to_baseline;
  EXPECT_THAT(*deda.p, testing::DoubleNear(2 * *deda.paired.p, 1e-12)) << "the smaller of two";
  EXPECT_NEAR(*mixup.p, *mixup.paired.p, 1e-12) << "the larger of two";
}

TEST(ResultTable, OneSeedHasNoIntervalButALowerLimitOfItsError) {
  const ResultTable table = lay_out(methods_on_datasets, layout(), made_up_runs({1}));
  const SeedCell& cell = table.rows[0].cells[0].cell;
  EXPECT_FALSE(cell.ours.interval.has_value());
  ASSERT_TRUE(cell.least_error.has_value());
  EXPECT_NEAR(*cell.least_error, binomial_standard_error(cell.ours.mean, test::made_up_images), 1e-12);
  const std::string text = to_text(table);
  EXPECT_THAT(text, AllOf(Not(HasSubstr("±")), HasSubstr("lower limit"), HasSubstr("70.20 (0.65)")));
  EXPECT_EQ(table.rows[2].cells[0].to_baseline->finding, Finding::none);
  EXPECT_THAT(text, AllOf(Not(HasSubstr("better")), HasSubstr("none is told apart from chance")));
}

TEST(ResultTable, TwoSeedsAreACountAndNoInterval) {
  const ResultTable table = lay_out(methods_on_datasets, layout(), made_up_runs({1, 2}));
  EXPECT_FALSE(table.rows[0].cells[0].cell.ours.interval.has_value());
  EXPECT_FALSE(table.rows[0].cells[0].cell.least_error.has_value());
  EXPECT_FALSE(table.rows[2].cells[0].to_baseline->p.has_value());
  EXPECT_THAT(to_text(table), AllOf(HasSubstr("n = 2: no interval"), Not(HasSubstr("±"))));
}

TEST(ResultTable, UnequalSeedsAreNotComparedAndNotAveraged) {
  auto runs = made_up_runs({1, 2, 3});
  runs.erase(std::remove_if(runs.begin(), runs.end(),
                            [](const CellRun& run) {
                              return run.labels.at("method") == "De-DA" &&
                                     run.labels.at("dataset") == "CUB" && run.seed == 3;
                            }),
             runs.end());
  const ResultTable table = lay_out(methods_on_datasets, layout(), runs);
  const ResultRow& deda = table.rows[2];
  EXPECT_EQ(deda.cells[0].cell.state, CellState::done) << "its grid wanted two seeds";
  EXPECT_FALSE(deda.cells[0].to_baseline.has_value());
  EXPECT_TRUE(deda.cells[1].to_baseline.has_value());
  EXPECT_EQ(deda.average.ours.n, 0u);
  EXPECT_FALSE(deda.over_columns.has_value());
  EXPECT_THAT(table.notes, Contains("De-DA/CUB: no difference to Vanilla: seeds 1, 2 against seeds 1, 2, 3 "
                                    "of Vanilla."));
  EXPECT_THAT(notes_of(table), HasSubstr("De-DA: no average: the columns have unequal seeds"));
}

TEST(ResultTable, TheBestOfUnequallyManyEvaluationsIsNotCompared) {
  auto runs = made_up_runs({1, 2, 3});
  find(runs, "De-DA", "CUB", 2).results->history.pop_back();
  const ResultTable best = lay_out(methods_on_datasets, layout("Vanilla", Value::best), runs);
  EXPECT_FALSE(best.rows[2].cells[0].to_baseline.has_value());
  EXPECT_TRUE(best.rows[1].cells[0].to_baseline.has_value());
  EXPECT_THAT(notes_of(best), HasSubstr("the best of unequally many evaluations (3, 4 against 4)"));
  const ResultTable last = lay_out(methods_on_datasets, layout("Vanilla", Value::last), runs);
  EXPECT_TRUE(last.rows[2].cells[0].to_baseline.has_value()) << "`last` chooses nothing";
}

TEST(ResultTable, NamesHolesWithTheirReasons) {
  auto runs = made_up_runs({1, 2, 3});
  for (const std::int64_t seed : {1, 2, 3})
    unfinish(find(runs, "De-DA", "CUB", seed), RunState::failed, "the loss is no number");
  for (const std::int64_t seed : {1, 2, 3})
    unfinish(find(runs, "Mixup", "CUB", seed), RunState::running, "epoch 7 of 20");
  unfinish(find(runs, "Mixup", "Car", 3), RunState::waiting, "");
  for (const std::int64_t seed : {1, 2, 3})
    unfinish(find(runs, "De-DA", "Car", seed), RunState::blocked, "generate-12 failed");
  const ResultTable table = lay_out(methods_on_datasets, layout(), runs);
  EXPECT_EQ(progress_of(table), "2 of 6 cells");
  EXPECT_THAT(
      table.holes,
      ElementsAre("Mixup/CUB: running: epoch 7 of 20", "Mixup/Car: 2 of 3 seeds; seed 3 waiting",
                  "De-DA/CUB: failed: the loss is no number", "De-DA/Car: blocked: generate-12 failed"));
  EXPECT_EQ(table.rows[1].average.ours.n, 0u);
  EXPECT_THAT(table.rows[1].average.reason, AllOf(HasSubstr("CUB (running)"), HasSubstr("Car (partial)")));
  EXPECT_FALSE(table.rows[1].cells[1].to_baseline.has_value()) << "two seeds against three";
  const std::string text = to_text(table), csv = to_csv(table), tex = to_latex(table);
  for (const std::string& bytes : {text, csv, tex})
    EXPECT_THAT(bytes, AllOf(HasSubstr("the loss is no number"), HasSubstr("epoch 7 of 20"),
                             HasSubstr("generate-12 failed"), HasSubstr("2 of 3 seeds")));
  EXPECT_THAT(text, AllOf(HasSubstr("2 of 6 cells"), HasSubstr("2 of 3\n")));
  EXPECT_THAT(tex, HasSubstr("2 of 6 cells"));
}

TEST(ResultTable, ADoneRunWhoseNumbersAreMissingIsAHoleToo) {
  auto runs = made_up_runs({1});
  find(runs, "De-DA", "CUB", 1).results.reset();
  find(runs, "De-DA", "Car", 1).results->accuracy["all"].last = std::nan("");
  TableLayout held_out = layout("Vanilla", Value::held_out);
  EXPECT_THAT(
      lay_out(methods_on_datasets, layout(), runs).holes,
      ElementsAre("De-DA/CUB: its results cannot be read", "De-DA/Car: its last accuracy is no number"));
  EXPECT_EQ(lay_out(methods_on_datasets, held_out, runs).done, 0u);
}

TEST(ResultTable, DoesNotDependOnTheOrderOfRuns) {
  auto runs = made_up_runs({1, 2, 3});
  unfinish(find(runs, "De-DA", "CUB", 2), RunState::failed, "killed");
  runs.push_back(done_run({{"method", "Vanilla"}, {"dataset", "CUB"}}, 1, 70.2, "other grid"));
  TableLayout with_paper = layout();
  with_paper.paper = test::paper_folder / "table2.csv";
  const std::string expected = all_bytes(lay_out(methods_on_datasets, with_paper, runs));
  std::mt19937 random{7};
  for (int i = 0; i < 10; ++i) {
    std::shuffle(runs.begin(), runs.end(), random);
    ASSERT_EQ(all_bytes(lay_out(methods_on_datasets, with_paper, runs)), expected);
  }
}

TEST(ResultTable, CellsFollowTheStudysOrderAndNotTheAlphabet) {
  const Study study = study_of_axes({axis("method", {"Zeta", "Alpha"}), axis("dataset", {"b", "a"})});
  const auto table = lay_out(study, layout(""), runs_of_grid(study, {1}, [](auto&, auto) { return 50; }));
  EXPECT_THAT(table.rows[0].labels, ElementsAre("Zeta"));
  EXPECT_THAT(table.columns, ElementsAre(ElementsAre("b"), ElementsAre("a")));
}

TEST(ResultTable, ARunInSeveralCellsCountsInEachAndIsNoted) {
  auto runs = made_up_runs({1, 2, 3});
  for (const std::int64_t seed : {1, 2, 3}) {
    CellRun& mixup = find(runs, "Mixup", "CUB", seed);
    const CellRun& vanilla = find(runs, "Vanilla", "CUB", seed);
    mixup.key = vanilla.key;
    mixup.results = vanilla.results;
  }
  const ResultTable table = lay_out(methods_on_datasets, layout(), runs);
  EXPECT_EQ(table.rows[1].cells[0].cell.ours.n, 3u);
  EXPECT_THAT(notes_of(table),
              AllOf(HasSubstr("3 runs stand in several cells"), HasSubstr("Vanilla/CUB = Mixup/CUB")));
  EXPECT_FALSE(table.rows[1].cells[0].to_baseline.has_value());
  EXPECT_THAT(notes_of(table), HasSubstr("it is the same run as Vanilla"));
}

TEST(ResultTable, ALayoutThatLeavesOutWhatVariesGivesNoMean) {
  TableLayout only_methods = layout();
  only_methods.columns.clear();
  const ResultTable table = lay_out(methods_on_datasets, only_methods, made_up_runs({1}));
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_EQ(table.rows[0].cells[0].cell.state, CellState::mixed);
  EXPECT_EQ(table.done, 0u);
  ASSERT_THAT(table.holes, SizeIs(1));
  EXPECT_THAT(table.holes[0], AllOf(HasSubstr("several runs of seed 1"), HasSubstr("differ in dataset")));
}

TEST(ResultTable, SaysWhereRunsWereMadeOnDifferentMachinesOrByDifferentVersions) {
  auto runs = made_up_runs({1});
  EXPECT_THAT(notes_of(lay_out(methods_on_datasets, layout(), runs)), Not(HasSubstr("several")));
  find(runs, "De-DA", "CUB", 1).results->provenance->processor = "H100";
  find(runs, "De-DA", "Car", 1).results->provenance->code_version = "1.1";
  EXPECT_THAT(notes_of(lay_out(methods_on_datasets, layout(), runs)),
              AllOf(HasSubstr("several kinds of processors or devices"), HasSubstr("H100 (1 run)"),
                    HasSubstr("Xeon (5 runs)"), HasSubstr("1.0 (5 runs), 1.1 (1 run)")));
}

TEST(ResultTable, FlagsNumbersBeyondBothUncertaintiesEitherWay) {
  const Study study = study_of_axes({axis("method", {"Vanilla", "Mixup", "CutMix"}),
                                     axis("network", {"resnet18"}), axis("dataset", {"CUB"})});
  TableLayout made = layout("");
  made.paper = test::paper_folder / "table2.csv";
  // The paper: 72.78, 74.73, 70.35.
  const auto runs = runs_of_grid(study, {1}, [](const Labels& labels, std::int64_t) {
    return labels.at("method") == "Vanilla" ? 73.5 : labels.at("method") == "Mixup" ? 80.0 : 60.0;
  });
  const ResultTable table = lay_out(study, made, runs);
  EXPECT_EQ(table.rows[0].cells[0].check, PaperCheck::within);
  EXPECT_EQ(table.rows[1].cells[0].check, PaperCheck::above);
  EXPECT_EQ(table.rows[2].cells[0].check, PaperCheck::below);
  EXPECT_THAT(table.notes,
              AllOf(Contains("2 numbers above the paper beyond both uncertainties: Mixup/CUB (+5.27), "
                             "Mixup/average (+5.27)."),
                    Contains(HasSubstr("below the paper"))));
}

// ---- the paper's tables

const std::vector<std::string> methods = {"Vanilla",    "Mixup",     "CutMix",    "SaliencyMix",
                                          "Co-Mixup",   "Guided-AP", "Guided-SR", "Real-Guidance",
                                          "DiffuseMix", "DA-Fusion", "Diff-Mix",  "De-DA"};

struct PaperTable {
  const char* name;
  std::vector<Axis> axes;
  std::vector<std::string> rows, columns;
  std::size_t numbers;
};

std::vector<PaperTable> paper_tables() {
  const Axis method = axis("method", methods), three_datasets = axis("dataset", {"CUB", "Aircraft", "Car"}),
             three_networks = axis("network", {"resnet18", "resnet50", "densenet121"});
  return {{"table2", {method, three_networks, three_datasets}, {"method"}, {"network", "dataset"}, 108},
          {"table3", {method, axis("network", {"vit_b_16"}), three_datasets}, {"method"}, {"dataset"}, 33},
          {"table4", {method, three_networks, axis("dataset", {"CUB-10shot"})}, {"method"}, {"network"}, 36},
          {"table5", {method, axis("dataset", {"Waterbirds-test"})}, {"method"}, {"group"}, 32},
          {"table8",
           {axis("method", {"De-DA"}), axis("network", {"resnet18"}),
            axis("generate.copies", {"1", "3", "6", "9"}), three_datasets},
           {"generate.copies"},
           {"dataset"},
           12}};
}

constexpr std::int64_t waterbirds = 642, landbirds = 2255;

void add_waterbird_groups(CellRun& run) {
  auto& results = *run.results;
  const double all = results.accuracy["all"].last;
  results.groups = {"all", "landbird on land", "landbird on water", "waterbird on land",
                    "waterbird on water"};
  for (const std::string& group : results.groups) {
    if (group == "all") continue;
    const bool is_water = group.starts_with("waterbird");
    const double last = is_water ? all - 10 : all;
    results.accuracy[group] = {last + 1, last, last, is_water ? waterbirds : landbirds};
    for (auto& row : results.history) row.accuracy[group] = last;
  }
}

ResultTable paper_table(const PaperTable& paper) {
  const Study study = study_of_axes(paper.axes);
  auto runs = runs_of_grid(study, {1, 2, 3}, [](const Labels& labels, std::int64_t seed) {
    const auto place = std::find(methods.begin(), methods.end(), labels.at("method")) - methods.begin();
    return 70 + static_cast<double>(place) + 0.1 * static_cast<double>(seed * seed);
  });
  for (CellRun& run : runs) add_waterbird_groups(run);
  TableLayout made = layout(std::string{paper.name} == "table8" ? "" : "Vanilla");
  made.title = paper.name;
  made.rows = paper.rows;
  made.columns = paper.columns;
  made.paper = test::paper_folder / (std::string{paper.name} + ".csv");
  return lay_out(study, made, runs);
}

const ResultRow& row_of(const ResultTable& table, const std::string& label) {
  return *std::find_if(table.rows.begin(), table.rows.end(),
                       [&](const ResultRow& row) { return row.labels.front() == label; });
}

TEST(PaperTables, EveryNumberStandsInItsCell) {
  for (const PaperTable& paper : paper_tables()) {
    const ResultTable table = paper_table(paper);
    std::size_t numbers = 0;
    for (const ResultRow& row : table.rows)
      numbers += static_cast<std::size_t>(std::count_if(
          row.cells.begin(), row.cells.end(), [](const ResultCell& cell) { return cell.paper.has_value(); }));
    EXPECT_EQ(numbers, paper.numbers) << paper.name;
    EXPECT_EQ(table.done, table.cells);
    EXPECT_THAT(notes_of(table), Not(HasSubstr(".csv:"))) << "no problem with the file";
    EXPECT_THAT(to_text(table), AllOf(HasSubstr("ours - paper"), HasSubstr("numbers are of single runs")));
    EXPECT_THAT(to_latex(table), HasSubstr("\\toprule"));
  }
}

TEST(PaperTables, AveragesAreRecomputedAndTheMisprintsNamed) {
  std::map<std::string, ResultTable> tables;
  std::size_t misprints = 0;
  for (const PaperTable& paper : paper_tables()) {
    ResultTable table = paper_table(paper);
    misprints += static_cast<std::size_t>(
        std::count_if(table.notes.begin(), table.notes.end(),
                      [](const std::string& note) { return note.starts_with("Misprint in the paper"); }));
    tables.emplace(paper.name, std::move(table));
  }
  EXPECT_EQ(misprints, 5u);
  EXPECT_NEAR(*row_of(tables.at("table2"), "CutMix").average.paper, 80.2178, 5e-5);
  EXPECT_NEAR(*row_of(tables.at("table2"), "Guided-SR").average.paper, 82.6389, 5e-5);
  EXPECT_NEAR(*row_of(tables.at("table2"), "De-DA").average.paper, 86.3222, 5e-5);
  EXPECT_NEAR(*row_of(tables.at("table3"), "Guided-SR").average.paper, 89.2000, 5e-5);
  EXPECT_NEAR(*row_of(tables.at("table4"), "De-DA").average.paper, 53.6733, 5e-5);
  EXPECT_NEAR(*row_of(tables.at("table5"), "Vanilla").average.paper, 70.2624, 5e-5) << "weighted by pictures";
  EXPECT_THAT(notes_of(tables.at("table2")),
              AllOf(HasSubstr("it prints an average of 80.33 for CutMix, its own cells give 80.22"),
                    HasSubstr("82.75 for Guided-SR, its own cells give 82.64")));
  EXPECT_THAT(notes_of(tables.at("table3")), HasSubstr("86.70 for Guided-SR, its own cells give 89.20"));
  EXPECT_THAT(notes_of(tables.at("table5")),
              AllOf(HasSubstr("70.19 for Vanilla"), HasSubstr("72.52 for Mixup")));
  EXPECT_FALSE(row_of(tables.at("table3"), "Mixup").average.paper.has_value()) << "the paper has no such row";
}

TEST(PaperTables, AGroupColumnWeighsByPictures) {
  const ResultTable table = paper_table(paper_tables()[3]);
  EXPECT_THAT(table.columns, ElementsAre(ElementsAre("waterbird on water"), ElementsAre("waterbird on land"),
                                         ElementsAre("landbird on land"), ElementsAre("landbird on water")))
      << "the paper's order";
  const ResultRow& row = table.rows.front();
  const double water = row.cells[0].cell.ours.mean, land = row.cells[2].cell.ours.mean;
  EXPECT_NEAR(row.average.ours.mean,
              (water * waterbirds + land * landbirds) / static_cast<double>(waterbirds + landbirds), 1e-9);
}

TEST(PaperTables, ATableOfOneGroupStandsBesideThePapersNumbersOfThatGroup) {
  PaperTable paper = paper_tables()[3];
  const Study study = study_of_axes(paper.axes);
  auto runs = runs_of_grid(study, {1}, [](auto&, auto) { return 70; });
  for (CellRun& run : runs) add_waterbird_groups(run);
  TableLayout made = layout("");
  made.columns = {"dataset"};
  made.group = "waterbird on land";
  made.paper = test::paper_folder / "table5.csv";
  const ResultTable table = lay_out(study, made, runs);
  EXPECT_EQ(row_of(table, "De-DA").cells[0].paper, 67.32);
  EXPECT_EQ(row_of(table, "De-DA").cells[0].cell.ours.mean, 60);
  made.group = "all";
  EXPECT_FALSE(row_of(lay_out(study, made, runs), "De-DA").cells[0].paper.has_value());
}

TEST(PaperTables, AStudyFileMayAskForAColumnOfEachGroup) {
  deda::test::TemporaryFolder folder;
  const auto file = folder.path() / "study.toml";
  std::ofstream{file}
      << "[axis.method]\nVanilla = { \"augment.method\" = \"plain\" }\n[[grid]]\naxes = [\"method\"]\n"
         "[[table]]\ntitle = \"Table 5\"\nrows = \"method\"\ncolumns = [\"group\"]\n";
  EXPECT_THAT(read_study(file).tables.at(0).columns, ElementsAre("group"));
  std::ofstream{file, std::ios::app} << "[[table]]\ntitle = \"T\"\nrows = \"group\"\n";
  EXPECT_THROW(read_study(file), ConfigError) << "a row is of one run or several, not of a part of one";
}

TEST(ResultTable, TheGroupsOfARunAreOnePlaceOfIt) {
  EXPECT_THAT(notes_of(paper_table(paper_tables()[3])), Not(HasSubstr("several cells")));
}

TEST(ResultTable, RowsMayBeNestedAndEachOuterRowHasItsOwnBaseline) {
  const Study study = study_of_axes({axis("dataset", {"CUB", "Car"}), axis("method", {"Vanilla", "De-DA"})});
  TableLayout made = layout();
  made.rows = {"dataset", "method"};
  made.columns.clear();
  made.average = false;
  const ResultTable table =
      lay_out(study, made, runs_of_grid(study, {1, 2, 3}, [](const Labels& labels, std::int64_t seed) {
                const double base = labels.at("dataset") == "CUB" ? 70 : 85;
                return base + (labels.at("method") == "De-DA" ? (base == 70 ? 5 : 1) : 0) +
                       0.1 * static_cast<double>(seed);
              }));
  ASSERT_EQ(table.rows.size(), 4u);
  EXPECT_NEAR(table.rows[1].cells[0].to_baseline->paired.difference.mean, 5, 1e-9);
  EXPECT_NEAR(table.rows[3].cells[0].to_baseline->paired.difference.mean, 1, 1e-9);
  EXPECT_THAT(to_text(table), AllOf(HasSubstr("dataset  method"), HasSubstr("CUB      De-DA")));
}

TEST(ResultTable, AFalseAlarmAmongManyRowsIsMarked) {
  std::vector<std::string> names;
  for (int i = 0; i < 30; ++i) names.push_back("method " + std::to_string(i));
  const Study study = study_of_axes({axis("method", names), axis("dataset", {"CUB"})});
  // The first differs from the baseline with a paired p of about 0.003; the other 28 by noise.
  const auto runs = runs_of_grid(study, {1, 2, 3, 4}, [](const Labels& labels, std::int64_t seed) {
    const double noise = static_cast<double>((seed * 37 + labels.at("method").back() * 11) % 7);
    if (labels.at("method") == "method 0") return 70.0;
    return labels.at("method") == "method 1" ? 71.0 + 0.25 * static_cast<double>(seed % 4) : 67.0 + noise;
  });
  const ResultTable table = lay_out(study, layout("method 0"), runs);
  const ToBaseline& first = *table.rows[1].cells[0].to_baseline;
  EXPECT_EQ(first.finding, Finding::better);
  EXPECT_LT(*first.paired.p, 0.05);
  EXPECT_GT(*first.p, 0.05);
  EXPECT_TRUE(first.falls_to_holm);
  EXPECT_THAT(to_text(table), AllOf(HasSubstr("better alone"), HasSubstr("may be chance")));
}

TEST(PaperTables, OuterColumnLabelsStandOnceOverTheirColumns) {
  const ResultTable table = paper_table(paper_tables()[0]);
  EXPECT_THAT(to_latex(table),
              AllOf(HasSubstr("\\multicolumn{3}{c}{resnet18}"), HasSubstr("\\cmidrule(lr){3-5}"),
                    HasSubstr(" & CUB & Aircraft & Car & CUB")));
}

TEST(PaperTables, AStudyWithoutSomeOfThePapersMethodsSaysWhich) {
  PaperTable paper = paper_tables()[0];
  paper.axes[0] = axis("method", {"Vanilla", "De-DA"});
  EXPECT_THAT(
      notes_of(paper_table(paper)),
      AllOf(
          HasSubstr("table2.csv:11: no values of \"method\" in this study: \"Mixup\" (9 lines), \"CutMix\""),
          Not(HasSubstr("Misprint"))));
}

TEST(TableText, StaysWithinTheTerminalAndRepeatsTheLabels) {
  const std::string text = to_text(paper_table(paper_tables()[0]), 100);
  std::size_t begin = 0, found = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string line = text.substr(begin, end - begin);
    const auto letters = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
    EXPECT_LE(letters, 100) << line;
    if (line.starts_with("De-DA  ")) ++found;
    begin = end + 1;
  }
  EXPECT_GT(found, 1u);
}

TEST(TableLatex, EscapesWhatLatexWouldRead) {
  const Study study =
      study_of_axes({axis("method", {"a_b & 50% #1", "c^d~{e}\\"}), axis("dataset", {"CUB"})});
  TableLayout made = layout("");
  made.note = "p < 0.05 $";
  const std::string tex =
      to_latex(lay_out(study, made, runs_of_grid(study, {1}, [](auto&, auto) { return 50; })));
  EXPECT_THAT(tex, AllOf(HasSubstr("a\\_b \\& 50\\% \\#1"),
                         HasSubstr("c\\textasciicircum{}d\\textasciitilde{}\\{e\\}\\textbackslash{}"),
                         HasSubstr("p $<$ 0.05 \\$"), Not(HasSubstr("±"))));
}

TEST(TableCsv, HasALinePerCellAndPerSeed) {
  auto runs = made_up_runs({1, 2, 3});
  unfinish(find(runs, "De-DA", "Car", 3), RunState::failed, "no space left, \"sda1\"");
  const ResultTable table = lay_out(methods_on_datasets, layout(), runs);
  const std::string cells = to_csv(table), seeds = seeds_to_csv(table);
  EXPECT_EQ(std::count(cells.begin(), cells.end(), '\n'), 1 + 6 + 3) << "header, cells, averages";
  EXPECT_EQ(std::count(seeds.begin(), seeds.end(), '\n'), 1 + 18);
  EXPECT_THAT(seeds, HasSubstr("De-DA,Car,3,failed,\"no space left, \"\"sda1\"\"\""));
  EXPECT_THAT(cells, HasSubstr("runs/train-seed1-CUB-De-DA"));
}

TEST(ResultTable, AThousandRunsAreLaidOutInSeconds) {
  std::vector<std::string> names, datasets;
  for (int i = 0; i < 20; ++i) names.push_back("method " + std::to_string(i));
  for (int i = 0; i < 10; ++i) datasets.push_back("dataset " + std::to_string(i));
  const Study study = study_of_axes({axis("method", names), axis("dataset", datasets)});
  const auto runs = runs_of_grid(study, {1, 2, 3, 4, 5}, [](const Labels& labels, std::int64_t seed) {
    return 50 + static_cast<double>((labels.at("method").size() * 7 + static_cast<std::size_t>(seed)) % 11);
  });
  ASSERT_EQ(runs.size(), 1000u);
  const std::clock_t begin = std::clock();  // of the processor: others may work on the machine
  EXPECT_GT(all_bytes(lay_out(study, layout("method 0"), runs)).size(), 10000u);
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 5.0);
}

}  // namespace
}  // namespace deda::study

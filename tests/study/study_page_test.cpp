// The whole report: what the page says of a study that is done, half done and not the paper's; the files
// around it; and how long a thousand runs take.
#include "study/study_page.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <ctime>
#include <random>

#include "study/made_up_runs.h"

namespace deda::study {
namespace {

using test::axis;
using test::runs_of_grid;
using test::study_of_axes;
using test::unfinish;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

Study study_with_layouts() {
  Study study = study_of_axes({axis("method", {"Vanilla", "De-DA"}),
                               axis("network", {"resnet18", "resnet50"}), axis("dataset", {"CUB", "Car"})});
  study.name = "table2 & more";
  TableLayout table;
  table.title = "Table 2";
  table.rows = {"method"};
  table.columns = {"network", "dataset"};
  table.baseline = "Vanilla";
  table.average = true;
  study.tables.push_back(table);
  FigureLayout figure;
  figure.title = "Figure 8 (bars)";
  figure.kind = FigureLayout::Kind::bars;
  figure.panels = "network";
  figure.x = "method";
  figure.series = "dataset";
  study.figures.push_back(figure);
  return study;
}

double made_up_last(const Labels& labels, std::int64_t seed) {
  return (labels.at("method") == "De-DA" ? 80 : 72) + 0.3 * static_cast<double>(seed * seed % 5);
}

const StudyHistory history = {{{"train resnet18", 12, 10.0, 12.0}, {"generate", 2, {}, 1.5}},
                              {{"De-DA", "train", "gpu 0", 0, 3600, "done"}}};

TEST(StudyPage, TellsHowMuchIsDoneAndWhetherThePapersNumbersAreThere) {
  Study study = study_with_layouts();
  auto runs = runs_of_grid(study, {1, 2, 3}, made_up_last);
  const std::string html = study_page(study, runs, {}).html();
  EXPECT_THAT(html, AllOf(HasSubstr("24 of 24 runs are done."), HasSubstr("not the paper&#39;s numbers"),
                          HasSubstr("table2 &amp; more"), HasSubstr("8 of 8 cells"),
                          Not(HasSubstr("What has not run")), Not(HasSubstr("Timeline"))));
  study.tables[0].paper = test::paper_folder / "table2.csv";
  const std::string with_paper = study_page(study, runs, {}).html();
  EXPECT_THAT(with_paper, AllOf(HasSubstr(">80.07<"), Not(HasSubstr("not the paper&#39;s"))));
}

TEST(StudyPage, ShowsHolesCostsTimelineAndOrigins) {
  const Study study = study_with_layouts();
  auto runs = runs_of_grid(study, {1, 2, 3}, made_up_last);
  for (std::size_t i = 0; i < 3; ++i) unfinish(runs[i], RunState::failed, "the loss is <no> number");
  unfinish(runs[4], RunState::running, "epoch 2 of 4");
  unfinish(runs[8], RunState::blocked, "generate-1 failed");
  const std::string html = study_page(study, runs, history).html();
  EXPECT_THAT(
      html,
      AllOf(HasSubstr("19 of 24 runs are done: 3 failed, 1 blocked, 1 running."),
            HasSubstr("Vanilla/resnet18/CUB (seeds 1, 2, 3): failed: the loss is &lt;no&gt; number"),
            HasSubstr("5 of 8 cells"), HasSubstr("Hours, predicted and used"), HasSubstr(">1.20<"),
            HasSubstr(">Timeline<"), HasSubstr("runs/train-seed1-CUB-De-DA-resnet18"), HasSubstr(">Xeon<")));
  EXPECT_THAT(html, Not(HasSubstr("<no>")));
}

TEST(StudyPage, CountsEqualRunsOnce) {
  const Study study = study_with_layouts();
  auto runs = runs_of_grid(study, {1}, made_up_last);
  CellRun again = runs.front();
  again.grid = "another";
  runs.push_back(again);
  EXPECT_EQ(count_runs(runs).all(), 8u);
  EXPECT_TRUE(count_runs(runs).is_complete());
  unfinish(runs[2], RunState::waiting, "");
  EXPECT_FALSE(count_runs(runs).is_complete());
  EXPECT_EQ(words_of(count_runs(runs)), "7 of 8 runs are done: 1 waiting.");
}

TEST(StudyPage, IsSelfContained) {
  const Study study = study_with_layouts();
  const std::string html = study_page(study, runs_of_grid(study, {1, 2, 3}, made_up_last), history).html();
  EXPECT_THAT(html, AllOf(Not(HasSubstr("<script")), Not(HasSubstr("src=\"")), Not(HasSubstr("<link"))));
}

TEST(ReportFiles, AreNamedByTitlesAndTwoOfATitleAreBothThere) {
  Study study = study_with_layouts();
  study.tables.push_back(study.tables.front());
  const auto files = report_files(study, runs_of_grid(study, {1}, made_up_last), history);
  EXPECT_THAT(files, ElementsAre(Key("figure-8-bars.csv"), Key("report.html"), Key("report.txt"),
                                 Key("table-2-2-seeds.csv"), Key("table-2-2.csv"), Key("table-2-2.tex"),
                                 Key("table-2-seeds.csv"), Key("table-2.csv"), Key("table-2.tex")));
}

TEST(ReportFiles, DoNotDependOnTheOrderOfRuns) {
  Study study = study_with_layouts();
  study.tables[0].paper = test::paper_folder / "table2.csv";
  auto runs = runs_of_grid(study, {1, 2, 3}, made_up_last);
  unfinish(runs[5], RunState::failed, "killed");
  unfinish(runs[7], RunState::waiting, "");
  const auto expected = report_files(study, runs, history);
  std::mt19937 random{5};
  for (int i = 0; i < 5; ++i) {
    std::shuffle(runs.begin(), runs.end(), random);
    ASSERT_EQ(report_files(study, runs, history), expected);
  }
}

TEST(ReportFiles, OfAThousandRunsTakeSeconds) {
  std::vector<std::string> names, datasets;
  for (int i = 0; i < 20; ++i) names.push_back("method " + std::to_string(i));
  for (int i = 0; i < 10; ++i) datasets.push_back("dataset " + std::to_string(i));
  Study study = study_of_axes({axis("method", names), axis("dataset", datasets)});
  TableLayout table;
  table.title = "everything";
  table.rows = {"method"};
  table.columns = {"dataset"};
  table.baseline = "method 0";
  table.average = true;
  study.tables = {table, table};
  FigureLayout figure;
  figure.title = "curves";
  figure.kind = FigureLayout::Kind::curves;
  figure.panels = "dataset";
  figure.series = "method";
  study.figures = {figure};
  auto runs = runs_of_grid(study, {1, 2, 3, 4, 5}, [](const Labels& labels, std::int64_t seed) {
    return 50 + static_cast<double>((labels.at("method").back() * 7 + seed * 13) % 11);
  });
  constexpr std::int64_t epochs = 300;  // as in the paper
  for (CellRun& run : runs) {
    const report::EpochRow row = run.results->history.back();
    for (std::int64_t epoch = test::made_up_epochs + 1; epoch <= epochs; ++epoch) {
      run.results->history.push_back(row);
      run.results->history.back().epoch = epoch;
    }
  }
  ASSERT_EQ(runs.size(), 1000u);
  StudyHistory long_history = history;
  for (int i = 0; i < 1000; ++i)
    long_history.timeline.push_back(
        {"run", "train", "gpu " + std::to_string(i % 16), i * 60.0, i * 60.0 + 900, "done"});
  const std::clock_t begin = std::clock();  // of the processor: others may work on the machine
  EXPECT_GT(report_files(study, runs, long_history).at("report.html").size(), 100000u);
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 5.0);
}

}  // namespace
}  // namespace deda::study

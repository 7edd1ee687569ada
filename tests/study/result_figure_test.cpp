// Figures of a study: panels, lines at their numbers, bars, learning curves; holes; the paper beside ours.
#include "study/result_figure.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "study/made_up_runs.h"
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

constexpr const char* p_aug = "augment.p_aug";
constexpr const char* strength = "diffusion.strength";

// Figure 8: a grid for each varied key, over two datasets.
Study sweeps() {
  Study study = study_of_axes({axis("dataset", {"CUB", "Aircraft"})});
  study.grids.clear();
  for (const char* key : {p_aug, strength}) {
    Grid grid;
    grid.name = std::string{"by "} + key;
    grid.axes = {"dataset"};
    grid.vary = {axis(key, {"0.0", "0.25", "1.0"})};
    study.grids.push_back(std::move(grid));
  }
  return study;
}

std::vector<CellRun> runs_of_sweeps(const Study& study, const std::vector<std::int64_t>& seeds) {
  std::vector<CellRun> runs;
  for (const Grid& grid : study.grids) {
    for (const AxisValue& x : grid.vary.front().values) {
      for (const AxisValue& dataset : study.axes.front().values) {
        for (const std::int64_t seed : seeds)
          runs.push_back(done_run({{"dataset", dataset.name}, {grid.vary.front().name, x.name}}, seed,
                                  70 + 10 * std::stod(x.name) + 0.1 * static_cast<double>(seed), grid.name));
      }
    }
  }
  return runs;
}

FigureLayout figure_8() {
  FigureLayout layout;
  layout.title = "Figure 8";
  layout.panels = "grid";
  layout.x = "vary";
  layout.series = "dataset";
  return layout;
}

std::string all_bytes(const ResultFigure& figure) {
  std::string bytes = to_csv(figure);
  for (const FigurePanel& panel : figure.panels) bytes += svg_of(figure, panel) + caption_of(figure, panel);
  for (const std::string& sentence : figure.holes) bytes += sentence;
  for (const std::string& sentence : figure.notes) bytes += sentence;
  return bytes;
}

TEST(ResultFigure, EachGridIsAPanelOverItsVariedKey) {
  const Study study = sweeps();
  const ResultFigure figure = lay_out(study, figure_8(), runs_of_sweeps(study, {1, 2, 3}));
  ASSERT_EQ(figure.panels.size(), 2u);
  const FigurePanel& panel = figure.panels[0];
  EXPECT_EQ(panel.x_label, p_aug);
  EXPECT_EQ(figure.panels[1].x_label, strength);
  EXPECT_TRUE(panel.has_numbers);
  EXPECT_THAT(panel.x_values, ElementsAre("0.0", "0.25", "1.0"));
  ASSERT_EQ(panel.lines.size(), 2u);
  EXPECT_EQ(panel.lines[0].name, "CUB") << "the study's order";
  EXPECT_NEAR(panel.lines[0].points[1].cell.ours.mean, 72.7, 1e-9);
  EXPECT_EQ(figure.done, 12u);
  EXPECT_EQ(figure.points, 12u);
  EXPECT_THAT(caption_of(figure, panel), AllOf(HasSubstr("the 95 % interval"), Not(HasSubstr("paper"))));
  EXPECT_THAT(svg_of(figure, panel), AllOf(HasSubstr(">CUB<"), HasSubstr(">0.2<"), Not(HasSubstr(">0.25<"))))
      << "numbers stand at their places, under round ticks";
}

TEST(ResultFigure, NumbersAreSortedAndNamesKeepTheirOrder) {
  Study study = study_of_axes({axis("copies", {"9", "1", "3"})});
  FigureLayout layout;
  layout.x = "copies";
  const auto numbers = lay_out(study, layout, runs_of_grid(study, {1}, [](auto&, auto) { return 50; }));
  EXPECT_THAT(numbers.panels.at(0).x_values, ElementsAre("1", "3", "9"));
  study = study_of_axes({axis("copies", {"nine", "one"})});
  const auto names = lay_out(study, layout, runs_of_grid(study, {1}, [](auto&, auto) { return 50; }));
  EXPECT_FALSE(names.panels.at(0).has_numbers);
  EXPECT_THAT(names.panels.at(0).x_values, ElementsAre("nine", "one"));
  EXPECT_THAT(svg_of(names, names.panels.at(0)), AllOf(HasSubstr(">nine<"), HasSubstr(">one<")));
}

TEST(ResultFigure, HolesBreakTheLineAndAreNamed) {
  const Study study = sweeps();
  auto runs = runs_of_sweeps(study, {1});
  for (CellRun& run : runs) {
    if (run.labels.count(p_aug) > 0 && run.labels.at(p_aug) == "0.25" && run.labels.at("dataset") == "CUB")
      unfinish(run, RunState::failed, "out of memory");
  }
  const ResultFigure figure = lay_out(study, figure_8(), runs);
  EXPECT_THAT(figure.holes, ElementsAre("by augment.p_aug/CUB/0.25: failed: out of memory"));
  EXPECT_EQ(figure.done, 11u);
  EXPECT_THAT(to_csv(figure),
              HasSubstr("by augment.p_aug,CUB,augment.p_aug,0.25,0,1,,,,,,,failed,failed: out of memory"));
}

TEST(ResultFigure, ThePapersNumbersAreASecondLineWhereTheyAreKnown) {
  deda::test::TemporaryFolder folder;
  const auto file = folder.path() / "figure8.csv";
  std::ofstream{file} << "dataset,augment.p_aug,accuracy\nCUB,0,72.78\nCUB,1.00,80.07\nCUB,0.3,1\n";
  const Study study = sweeps();
  FigureLayout layout = figure_8();
  layout.grids = {study.grids[0].name};
  layout.paper = file;
  const ResultFigure figure = lay_out(study, layout, runs_of_sweeps(study, {1, 2}));
  ASSERT_EQ(figure.panels.size(), 1u);
  const auto& points = figure.panels[0].lines[0].points;
  EXPECT_EQ(points[0].paper, 72.78);
  EXPECT_FALSE(points[1].paper.has_value());
  EXPECT_EQ(points[2].paper, 80.07) << "1.0 is 1.00";
  EXPECT_THAT(caption_of(figure, figure.panels[0]),
              AllOf(HasSubstr("dotted: the paper"), HasSubstr("of two seeds from one to the other")));
  EXPECT_THAT(svg_of(figure, figure.panels[0]), HasSubstr("stroke-opacity=\"0.75\""));
  EXPECT_THAT(figure.notes, Contains(AllOf(HasSubstr("figure8.csv:4"), HasSubstr("\"0.3\""))));
}

TEST(ResultFigure, BarsCarryTheirNumbersAndTheirHoles) {
  const Study study = study_of_axes(
      {axis("method", {"Vanilla", "De-DA"}), axis("network", {"resnet18"}), axis("dataset", {"CUB", "Car"})});
  auto runs = runs_of_grid(study, {1, 2, 3},
                           [](auto&, std::int64_t seed) { return 70.0 + static_cast<double>(seed); });
  for (CellRun& run : runs) {
    if (run.labels.at("method") == "De-DA" && run.labels.at("dataset") == "Car")
      unfinish(run, RunState::blocked, "");
  }
  FigureLayout layout;
  layout.title = "Figure 9";
  layout.kind = FigureLayout::Kind::bars;
  layout.x = "method";
  layout.series = "dataset";
  layout.paper = test::paper_folder / "table2.csv";
  const ResultFigure figure = lay_out(study, layout, runs);
  const std::string svg = svg_of(figure, figure.panels.at(0));
  EXPECT_THAT(svg,
              AllOf(HasSubstr(">72.0<"), HasSubstr(">blocked<"), HasSubstr(">Vanilla<"), HasSubstr(">Car<")));
  EXPECT_THAT(caption_of(figure, figure.panels[0]),
              AllOf(HasSubstr("whiskers:"), HasSubstr("dashes: the paper")));
}

TEST(ResultFigure, ManyBarsAreDrawnOverTheWholePage) {
  const auto width = [](int methods) {
    std::vector<std::string> names;
    for (int i = 0; i < methods; ++i) names.push_back("method " + std::to_string(i));
    const Study study = study_of_axes({axis("method", names), axis("dataset", {"CUB", "Aircraft", "Car"})});
    FigureLayout layout;
    layout.kind = FigureLayout::Kind::bars;
    layout.x = "method";
    layout.series = "dataset";
    const auto figure = lay_out(study, layout, runs_of_grid(study, {1}, [](auto&, auto) { return 50; }));
    return width_of(figure, figure.panels.at(0));
  };
  EXPECT_EQ(width(2), column_width);
  EXPECT_EQ(width(100), page_width);
}

TEST(ResultFigure, LearningCurvesAreMeansOverTheSeedsOfASeries) {
  const Study study = study_of_axes({axis("method", {"Vanilla", "De-DA"}), axis("dataset", {"CUB"})});
  FigureLayout layout;
  layout.title = "curves";
  layout.kind = FigureLayout::Kind::curves;
  layout.series = "method";
  auto runs =
      runs_of_grid(study, {1, 2}, [](auto&, std::int64_t seed) { return 70.0 + static_cast<double>(seed); });
  const ResultFigure figure = lay_out(study, layout, runs);
  ASSERT_EQ(figure.panels.at(0).curves.series.size(), 2u);
  EXPECT_EQ(figure.panels[0].curves.series[0].points.size(), static_cast<std::size_t>(test::made_up_epochs));
  EXPECT_DOUBLE_EQ(figure.panels[0].curves.series[0].points.back().second, 71.5);
  EXPECT_THAT(to_csv(figure), HasSubstr("curves,Vanilla,4,71.500000,71.000000,72.000000"));

  layout.series.clear();
  const ResultFigure mixed = lay_out(study, layout, runs);
  EXPECT_THAT(mixed.panels.at(0).curves.series, IsEmpty());
  EXPECT_THAT(mixed.holes, ElementsAre(HasSubstr("differ in method"))) << "no mean over different methods";
}

TEST(ResultFigure, DoesNotDependOnTheOrderOfRuns) {
  const Study study = sweeps();
  auto runs = runs_of_sweeps(study, {1, 2, 3});
  unfinish(runs[3], RunState::running, "epoch 1 of 4");
  for (const auto kind : {FigureLayout::Kind::lines, FigureLayout::Kind::bars, FigureLayout::Kind::curves}) {
    FigureLayout layout = figure_8();
    layout.kind = kind;
    const std::string expected = all_bytes(lay_out(study, layout, runs));
    std::mt19937 random{3};
    for (int i = 0; i < 5; ++i) {
      std::shuffle(runs.begin(), runs.end(), random);
      ASSERT_EQ(all_bytes(lay_out(study, layout, runs)), expected);
    }
  }
}

TEST(ResultFigure, NothingToDrawIsAnEmptyFrame) {
  const Study study = sweeps();
  FigureLayout layout = figure_8();
  EXPECT_THAT(lay_out(study, layout, {}).panels, IsEmpty());
  layout.panels.clear();
  layout.kind = FigureLayout::Kind::bars;
  const ResultFigure figure = lay_out(study, layout, {});
  EXPECT_THAT(svg_of(figure, figure.panels.at(0)), HasSubstr("no measurements"));
}

}  // namespace
}  // namespace deda::study

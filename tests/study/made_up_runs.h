// Studies and runs made up for tests of reports: no folder, no training.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "study/cell_run.h"
#include "study/study_file.h"

namespace deda::study::test {

inline const std::filesystem::path paper_folder =
    std::filesystem::path{DEDA_SOURCE_DIR} / "configs" / "studies" / "paper" / "numbers";

inline Axis axis(const std::string& name, const std::vector<std::string>& values) {
  Axis made{name, {}, {}};
  for (const std::string& value : values) made.values.push_back({value, {}, {}, {}});
  return made;
}

// A study of one grid, the product of `axes`.
inline Study study_of_axes(std::vector<Axis> axes) {
  Study study;
  study.name = "made up";
  Grid grid;
  grid.name = "grid";
  for (const Axis& each : axes) grid.axes.push_back(each.name);
  study.axes = std::move(axes);
  study.grids.push_back(std::move(grid));
  return study;
}

constexpr std::int64_t made_up_images = 5000, made_up_epochs = 4;

// A finished run: `last` on all test pictures, `best` a point higher.
inline report::RunResults results_of(double last, std::int64_t seed = 1) {
  report::RunResults results;
  results.seed = seed;
  results.epochs = results.epochs_done = made_up_epochs;
  results.ranks = 1;
  results.finished = true;
  results.groups = {"all"};
  results.accuracy["all"] = {last + 1, last, last - 0.5, made_up_images};
  for (std::int64_t epoch = 1; epoch <= made_up_epochs; ++epoch) {
    report::EpochRow row;
    row.epoch = epoch;
    row.loss = 1.0 / static_cast<double>(epoch);
    row.accuracy["all"] = last - static_cast<double>(made_up_epochs - epoch);
    results.history.push_back(row);
  }
  results.provenance = Provenance{.stage = "train", .key = "k", .code_version = "1.0", .processor = "Xeon"};
  return results;
}

inline std::string key_of(const Labels& labels, std::int64_t seed) {
  std::string key = "seed" + std::to_string(seed);
  for (const auto& [name, value] : labels) key += '-' + value;
  return key;
}

inline CellRun done_run(Labels labels, std::int64_t seed, double last, const std::string& grid = "grid") {
  CellRun run;
  run.key = key_of(labels, seed);
  run.labels = std::move(labels);
  run.grid = grid;
  run.seed = seed;
  run.folder = "runs/train-" + run.key;
  run.state = RunState::done;
  run.results = results_of(last, seed);
  return run;
}

using LastOf = std::function<double(const Labels&, std::int64_t seed)>;

// A finished run for every point of the first grid and every seed.
inline std::vector<CellRun> runs_of_grid(const Study& study, const std::vector<std::int64_t>& seeds,
                                         const LastOf& last_of) {
  std::vector<Labels> points{{}};
  for (const std::string& name : study.grids.front().axes) {
    std::vector<Labels> longer;
    for (const Labels& point : points) {
      for (const AxisValue& value : study.find_axis(name)->values) {
        longer.push_back(point);
        longer.back()[name] = value.name;
      }
    }
    points = std::move(longer);
  }
  std::vector<CellRun> runs;
  for (const Labels& point : points) {
    for (const std::int64_t seed : seeds) runs.push_back(done_run(point, seed, last_of(point, seed)));
  }
  return runs;
}

inline void unfinish(CellRun& run, RunState state, const std::string& reason) {
  run.state = state;
  run.reason = reason;
  run.results.reset();
}

}  // namespace deda::study::test

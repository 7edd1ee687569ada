#include "study/study_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/file_digests.h"
#include "pipeline/state.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t digits_in_names = 16;  // of a key's 32, as in folders' names

// What one point of a grid is made of.
struct Point {
  Labels labels;
  std::vector<fs::path> files;
  std::vector<Setting> settings;
  std::string title;
};

void take(Point& point, const std::string& axis, const AxisValue& value) {
  point.labels[axis] = value.name;
  point.files.insert(point.files.end(), value.files.begin(), value.files.end());
  point.settings.insert(point.settings.end(), value.settings.begin(), value.settings.end());
  point.title += (point.title.empty() ? "" : ", ") +
                 (axis.find('.') == std::string::npos ? value.name : fmt::format("{} {}", axis, value.name));
}

// One dimension of a grid: several axes where they are zipped.
struct Dimension {
  std::vector<const Axis*> axes;
  std::vector<std::size_t> values;  // positions
};

std::vector<Dimension> dimensions_of(const Study& study, const Grid& grid) {
  std::vector<Dimension> dimensions;
  const auto add = [&](std::vector<const Axis*> axes, std::vector<std::size_t> values) {
    dimensions.push_back({std::move(axes), std::move(values)});
  };
  const auto all_of = [](const Axis& axis) {
    std::vector<std::size_t> values(axis.values.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = i;
    return values;
  };
  for (const auto& [name, value] : grid.fix) {
    const Axis* axis = study.find_axis(name);
    for (std::size_t i = 0; i < axis->values.size(); ++i) {
      if (axis->values[i].name == value) add({axis}, {i});
    }
  }
  for (const auto& name : grid.axes) add({study.find_axis(name)}, all_of(*study.find_axis(name)));
  for (const auto& axis : grid.vary) add({&axis}, all_of(axis));
  for (const auto& zip : grid.zips) {
    std::vector<const Axis*> axes;
    for (const auto& axis : zip.axes) axes.push_back(&axis);
    add(axes, all_of(zip.axes.front()));
  }
  return dimensions;
}

bool has_all(const Labels& labels, const Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& each) {
    const auto found = labels.find(each.first);
    return found != labels.end() && found->second == each.second;
  });
}

// A store that serves all points of a nested grid: as large as the largest asks for.
void nest(const Grid& grid, Point& point) {
  if (grid.nested.empty()) return;
  for (const auto& axis : grid.vary) {
    if (axis.name != grid.nested) continue;
    std::int64_t most = 0;
    for (const auto& value : axis.values) {
      try {
        most = std::max<std::int64_t>(most, std::stoll(value.name));
      } catch (const std::logic_error&) {  // reading the configuration says what is wrong with it
      }
    }
    point.settings.push_back({"generate.store_copies", std::to_string(most), axis.where});
  }
}

class Planner {
 public:
  Planner(Study study, const PlanOptions& options, FileDigests& digests)
      : options_{options}, reads_{digests} {
    plan_.study = std::move(study);
    plan_.output = options.output.empty() ? output_of(plan_.study) : options.output;
    plan_.study.output = plan_.output;
    if (options.ranks > 0) plan_.study.ranks = options.ranks;
    if (options.threads > 0) plan_.study.threads = options.threads;
    if (!options.seeds.empty()) plan_.study.seeds = options.seeds;
  }

  StudyPlan plan() {
    check_with();
    check_only();
    for (const auto& grid : plan_.study.grids) {
      if (!grid.optional.empty() && !is_wanted(grid)) {
        plan_.left_out.push_back(fmt::format("{}: {}", grid.name, grid.optional));
        continue;
      }
      add_grid(grid);
    }
    finish();
    return std::move(plan_);
  }

 private:
  bool is_wanted(const Grid& grid) const {
    return std::any_of(options_.with.begin(), options_.with.end(),
                       [&](const std::string& name) { return name == "all" || name == grid.name; });
  }

  bool is_among_only(const Point& point) const {
    return std::all_of(options_.only.begin(), options_.only.end(), [&](const auto& each) {
      const auto label = point.labels.find(each.first);
      return label == point.labels.end() ||
             std::find(each.second.begin(), each.second.end(), label->second) != each.second.end();
    });
  }

  // Every value that --only names is one.
  void check_only() {
    for (const auto& [name, values] : options_.only) {
      std::vector<std::string> known;
      const auto add = [&](const Axis& axis) {
        if (axis.name != name) return;
        for (const auto& value : axis.values) known.push_back(value.name);
      };
      for (const auto& axis : plan_.study.axes) add(axis);
      for (const auto& grid : plan_.study.grids) {
        for (const auto& axis : grid.vary) add(axis);
      }
      for (const auto& value : values) {
        if (std::find(known.begin(), known.end(), value) != known.end()) continue;
        add_problem(
            {known.empty() ? fmt::format("there is no axis \"{}\"", name)
                           : fmt::format("axis \"{}\" has no value \"{}\"", name, value),
             "--only", known.empty() ? std::string{} : fmt::format("Valid: {}.", fmt::join(known, ", "))},
            {});
      }
    }
  }

  void check_with() {
    for (const auto& name : options_.with) {
      const auto* grid = plan_.study.find_grid(name);
      if (name != "all" && (grid == nullptr || grid->optional.empty()))
        add_problem({fmt::format("there is no optional grid \"{}\"", name), "--with", {}}, {});
    }
  }

  void add_grid(const Grid& grid) {
    const auto dimensions = dimensions_of(plan_.study, grid);
    std::vector<std::size_t> at(dimensions.size(), 0);
    std::vector<std::size_t> excluded(grid.excludes.size(), 0);
    bool any = std::all_of(dimensions.begin(), dimensions.end(),
                           [](const Dimension& each) { return !each.values.empty(); });
    std::size_t points = 0;
    while (any) {
      Point point;
      point.files = grid.base;
      point.settings = grid.settings;
      for (std::size_t d = 0; d < dimensions.size(); ++d) {
        for (const Axis* axis : dimensions[d].axes)
          take(point, axis->name, axis->values[dimensions[d].values[at[d]]]);
      }
      nest(grid, point);
      bool is_excluded = !is_among_only(point);
      for (std::size_t i = 0; i < grid.excludes.size(); ++i) {
        if (!has_all(point.labels, grid.excludes[i].labels)) continue;
        ++excluded[i];
        is_excluded = true;
      }
      if (!is_excluded) {
        ++points;
        add_point(grid, point);
      }
      std::size_t d = dimensions.size();  // the last one changes fastest
      while (d > 0 && ++at[d - 1] == dimensions[d - 1].values.size()) at[--d] = 0;
      any = d > 0;
    }
    for (std::size_t i = 0; i < excluded.size(); ++i) {
      if (excluded[i] == 0)
        add_problem({fmt::format("this exclude of grid \"{}\" matches no point", grid.name),
                     grid.excludes[i].where, "Check the names of its values, or remove it."},
                    {});
    }
    if (points == 0)
      add_problem({fmt::format("grid \"{}\" is empty", grid.name), grid.where, "Every point is excluded."},
                  {});
  }

  void add_point(const Grid& grid, const Point& point) {
    const auto& seeds = !options_.seeds.empty() || grid.seeds.empty() ? plan_.study.seeds : grid.seeds;
    for (const std::int64_t seed : seeds) {
      const std::string title =
          fmt::format("{}{}seed {}", point.title, point.title.empty() ? "" : ", ", seed);
      try {
        const std::size_t item = add_run(point, seed, title);
        plan_.cells.push_back({point.labels, grid.name, seed, item});
      } catch (const Error& error) {
        if (error.exit_code() != ExitCode::configuration) only_configuration_ = false;
        for (const auto& problem : error.problems()) add_problem(located(problem, point), title);
      }
    }
  }

  // "--set augment.p_agu" stands in the study file.
  static Problem located(Problem problem, const Point& point) {
    constexpr std::string_view flag = "--set ";
    if (!problem.where.starts_with(flag)) return problem;
    const std::string key = problem.where.substr(flag.size());
    for (auto setting = point.settings.rbegin(); setting != point.settings.rend(); ++setting) {
      if (key == setting->key || key.starts_with(setting->key + '[')) {
        problem.where = fmt::format("{}: {}", setting->where, key);
        break;
      }
    }
    return problem;
  }

  std::size_t add_run(const Point& point, std::int64_t seed, const std::string& title) {
    ConfigSources sources;
    sources.files = point.files;
    for (const auto& setting : point.settings)
      sources.overrides.push_back(fmt::format("{}={}", setting.key, setting.toml));
    sources.overrides.insert(sources.overrides.end(), options_.settings.begin(), options_.settings.end());
    sources.overrides.push_back(fmt::format("run.seed={}", seed));
    pipeline::PipelineConfig config;
    read_config(config, sources);
    config.run.output = plan_.output;
    std::vector<std::string> arguments;
    const auto add = [&](const char* flag, const std::string& value) {
      arguments.emplace_back(flag);
      arguments.push_back(value);
    };
    for (const auto& file : sources.files) add("--config", file.string());
    for (const auto& setting : sources.overrides) add("--set", setting);
    add("--out", plan_.output.string());
    const auto plan = pipeline::plan_of(config, pipeline::Stage::train, reads_, arguments);
    for (const auto& note : plan.notes) {
      if (std::find(plan_.notes.begin(), plan_.notes.end(), note) == plan_.notes.end())
        plan_.notes.push_back(note);
    }
    std::vector<std::size_t> place_of(plan.nodes.size());
    for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
      auto node = plan.nodes[i];
      const std::string name =
          fmt::format("{}-{}", pipeline::name_of(node.stage), node.key.substr(0, digits_in_names));
      const auto [place, is_new] = places_.emplace(name, plan_.items.size());
      place_of[i] = place->second;
      if (!is_new) continue;
      for (auto& needed : node.needs) needed = place_of[needed];
      plan_.items.push_back({name, std::move(node), title});
    }
    return place_of.back();
  }

  void add_problem(const Problem& problem, const std::string& title) {
    const std::string text = deda::to_string(problem);
    const auto [place, is_new] = problem_places_.emplace(text, problems_.size());
    if (is_new) problems_.push_back({problem, {}});
    if (!title.empty()) problems_[place->second].second.push_back(title);
  }

  void finish() {
    if (problems_.empty()) return;
    constexpr std::size_t most_shown = 3;
    std::vector<Problem> all;
    for (auto& [problem, hits] : problems_) {
      if (!hits.empty()) {
        const std::size_t shown = std::min(most_shown, hits.size());
        problem.hint +=
            fmt::format("{}[{} {}: {}{}]", problem.hint.empty() ? "" : " ", hits.size(),
                        hits.size() == 1 ? "run" : "runs",
                        fmt::join(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(shown), "; "),
                        hits.size() > shown ? "; ..." : "");
      }
      all.push_back(std::move(problem));
    }
    if (only_configuration_) throw ConfigError(std::move(all));
    throw DataError(std::move(all));
  }

  const PlanOptions& options_;
  pipeline::SharedReads reads_;
  StudyPlan plan_;
  std::map<std::string, std::size_t> places_;  // of items by name
  std::vector<std::pair<Problem, std::vector<std::string>>> problems_;
  std::map<std::string, std::size_t> problem_places_;
  bool only_configuration_ = true;
};

}  // namespace

const Item* StudyPlan::find(const std::string& name) const {
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.name == name; });
  return found == items.end() ? nullptr : &*found;
}

fs::path StudyPlan::folder() const {
  return output / ("study-" + study.name);
}

fs::path output_of(const Study& study) {
  pipeline::PipelineConfig config;
  if (!study.output.empty()) return study.output;
  for (const auto& grid : study.grids) {
    if (grid.base.empty()) continue;
    try {
      ConfigSources sources;
      sources.files = grid.base;
      for (const auto& setting : grid.settings)
        sources.overrides.push_back(fmt::format("{}={}", setting.key, setting.toml));
      read_config(config, sources);
    } catch (const ConfigError&) {  // planning says what is wrong with it
    }
    break;
  }
  return config.run.output;
}

StudyPlan plan_study(Study study, const PlanOptions& options, FileDigests& digests) {
  return Planner(std::move(study), options, digests).plan();
}

std::vector<CellRun> cell_runs(const StudyPlan& plan) {
  std::map<std::size_t, CellRun> by_item;
  std::vector<CellRun> runs;
  for (const Cell& cell : plan.cells) {
    auto found = by_item.find(cell.item);
    if (found == by_item.end()) {
      const Item& item = plan.items[cell.item];
      CellRun run;
      run.key = item.node.key;
      run.folder = item.node.folder;
      const auto state = pipeline::state_of(item.node);
      if (state.progress == pipeline::Progress::done) {
        std::vector<std::string> problems;
        auto results = report::find_runs(item.node.folder, problems);
        if (results.size() == 1 && problems.empty()) {
          run.state = RunState::done;
          run.results = std::move(results.front());
        } else {
          run.state = RunState::failed;
          run.reason = problems.empty() ? "its results cannot be read" : problems.front();
        }
      } else if (state.progress == pipeline::Progress::held) {
        run.state = RunState::running;
        run.reason = state.detail;
      } else if (state.progress == pipeline::Progress::damaged) {
        run.state = RunState::failed;
        run.reason = state.detail;
      } else {
        run.reason = state.detail;
      }
      found = by_item.emplace(cell.item, std::move(run)).first;
    }
    CellRun run = found->second;
    run.labels = cell.labels;
    run.grid = cell.grid;
    run.seed = cell.seed;
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace deda::study

#include "study/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "data/contents.h"
#include "pipeline/state.h"
#include "study/ledger.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;
using pipeline::Stage;

constexpr const char* schema = "deda-study-measured-1";
constexpr std::size_t digits_in_names = 16;  // as in folders' names

// Sizes of the short runs. The larger ones are what makes a unit's cost: several times the smaller, so that
// the start of a process does not hide it.
constexpr std::int64_t pictures_of_trainings = 480, steps_of_trainings = 30, times_larger = 3;
constexpr std::int64_t pictures_of_slow_networks = 32;  // decoupled by networks on a CPU, to train on
constexpr std::int64_t fewest_parts = 16, most_parts = 64;
constexpr std::int64_t fewest_copies = 8, most_copies = 32;
constexpr std::int64_t fewest_inversion_steps = 2, most_inversion_steps = 10, inversion_steps = 60,
                       inversion_times_larger = 4;

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / std::max<std::int64_t>(1, b);
}

// The configuration of an item, from the command that makes it, and its arguments.
struct Made {
  pipeline::PipelineConfig config;
  std::vector<std::string> arguments;
};

Made made_with(const Item& item, const std::vector<std::string>& changes, const fs::path& output) {
  ConfigSources sources;
  const auto& command = item.node.command;
  for (std::size_t i = 1; i + 1 < command.size(); i += 2) {
    if (command[i] == "--config") sources.files.emplace_back(command[i + 1]);
    if (command[i] == "--set") sources.overrides.push_back(command[i + 1]);
  }
  sources.overrides.insert(sources.overrides.end(), changes.begin(), changes.end());
  Made made;
  read_config(made.config, sources);
  made.config.run.output = output;
  for (const auto& file : sources.files) {
    made.arguments.emplace_back("--config");
    made.arguments.push_back(file.string());
  }
  for (const auto& setting : sources.overrides) {
    made.arguments.emplace_back("--set");
    made.arguments.push_back(setting);
  }
  made.arguments.emplace_back("--out");
  made.arguments.push_back(output.string());
  return made;
}

class ShortRunPlanner {
 public:
  ShortRunPlanner(const StudyPlan& plan, bool on_cpu, FileDigests& digests)
      : plan_{plan}, on_cpu_{on_cpu}, reads_{digests} {
    auto& short_plan = runs_.plan;
    short_plan.study.name = "measure";
    short_plan.study.ranks = plan.study.ranks;
    short_plan.study.threads = plan.study.threads;
    short_plan.output = plan.folder() / "measure";
    short_plan.study.output = short_plan.output;
  }

  ShortRuns plan(const std::map<std::string, MeasuredKind>& known) {
    std::set<std::string> kinds;
    for (const Item& item : plan_.items) {
      if (item.node.command.empty() || item.node.stage == Stage::toy) continue;
      const auto kind = kind_of(item);
      if (known.contains(kind) || !kinds.insert(kind).second) continue;
      if (pipeline::state_of(item.node).progress == pipeline::Progress::done) {
        kinds.erase(kind);  // another item of the kind may be left
        continue;
      }
      const auto [small, large] = sizes_of(item);
      ShortRun run{kind, add(item, small), 0};
      run.large = add(item, large);
      runs_.runs.push_back(run);
    }
    return std::move(runs_);
  }

 private:
  using Changes = std::vector<std::string>;

  std::pair<Changes, Changes> sizes_of(const Item& item) {
    const auto config = made_with(item, {}, runs_.plan.output).config;
    const auto contents = reads_.contents_of(config);
    const auto classes =
        static_cast<std::int64_t>(contents == nullptr ? 1 : contents->dataset.class_names.size());
    const auto pictures = [&](std::int64_t all) {
      return fmt::format("dataset.images_per_class={}", divided_up(all, classes));
    };
    // Where there are more classes than a size asks for, one picture of each and two.
    const auto two = [&](std::int64_t fewest, std::int64_t most) {
      const std::int64_t few = divided_up(fewest, classes), many = divided_up(most, classes);
      return std::pair{pictures(few * classes), pictures(std::max(many, few + 1) * classes)};
    };
    switch (item.node.stage) {
      case Stage::decouple: {
        const auto [few, many] = two(fewest_parts, most_parts);
        return {{few}, {many}};
      }
      case Stage::invert: {
        const std::int64_t steps =
            std::clamp(divided_up(inversion_steps, classes), fewest_inversion_steps, most_inversion_steps);
        const auto few = two(fewest_parts, most_parts).first;
        return {{few, fmt::format("invert.steps={}", steps)},
                {few, fmt::format("invert.steps={}", steps * inversion_times_larger)}};
      }
      case Stage::generate: {
        const auto [few, many] = two(fewest_copies, most_copies);
        const Changes all{"generate.copies=1", "generate.store_copies=0",
                          fmt::format("invert.steps={}", fewest_inversion_steps)};
        Changes small = all, large = all;
        small.push_back(few);
        large.push_back(many);
        return {small, large};
      }
      case Stage::tune:
        return {{fmt::format("tune.steps={}", fewest_inversion_steps)},
                {fmt::format("tune.steps={}", fewest_inversion_steps * inversion_times_larger)}};
      case Stage::train:
      case Stage::toy:
        break;
    }
    const auto& sources = config.decouple.sources;
    const bool slow = on_cpu_ && std::any_of(sources.begin(), sources.end(), [](const std::string& source) {
                        return source.find("sam") != std::string::npos || source == "semantic";
                      });
    // At least a batch: a recipe that drops smaller ones would have no step.
    const std::int64_t each = divided_up(
        std::max(slow ? pictures_of_slow_networks : pictures_of_trainings, config.train.batch_size), classes);
    const std::int64_t epochs =
        std::max<std::int64_t>(1, divided_up(steps_of_trainings * config.train.batch_size, each * classes));
    const auto changes = [&](std::int64_t count) {
      // Synthetic CDPs are composed like real ones, so that a training's pace needs none. What counts in
      // epochs of the whole training would be refused in a short one, and costs no time.
      return Changes{pictures(each * classes),
                     "augment.p_syn=0",
                     fmt::format("train.epochs={}", count),
                     fmt::format("train.evaluate_every={}", count),
                     "train.evaluate_first=0",
                     "train.warmup_epochs=0",
                     fmt::format("train.checkpoint_every={}", count)};
    };
    return {changes(epochs), changes(epochs * times_larger)};
  }

  // The chain of a changed item; where its last one stands.
  std::size_t add(const Item& item, const std::vector<std::string>& changes) {
    auto& items = runs_.plan.items;
    const auto made = made_with(item, changes, runs_.plan.output);
    auto chain = pipeline::plan_of(made.config, item.node.stage, reads_, made.arguments);
    std::vector<std::size_t> places;
    for (auto& node : chain.nodes) {
      const std::string name =
          fmt::format("{}-{}", pipeline::name_of(node.stage), node.key.substr(0, digits_in_names));
      const auto found =
          std::find_if(items.begin(), items.end(), [&](const Item& each) { return each.name == name; });
      places.push_back(static_cast<std::size_t>(found - items.begin()));
      if (found != items.end()) continue;
      for (auto& needed : node.needs) needed = places[needed];
      items.push_back({name, std::move(node), "short run of " + kind_of(item)});
    }
    return places.back();
  }

  const StudyPlan& plan_;
  bool on_cpu_;
  pipeline::SharedReads reads_;
  ShortRuns runs_;
};

}  // namespace

ShortRuns short_runs_of(const StudyPlan& plan, const std::map<std::string, MeasuredKind>& known, bool on_cpu,
                        FileDigests& digests) {
  return ShortRunPlanner(plan, on_cpu, digests).plan(known);
}

void remove_results(const ShortRuns& runs) {
  for (const auto& item : runs.plan.items) {
    // By where it lies, not by what it is: what is not in the runs' own folder was not made by them.
    if (item.node.command.empty() || item.node.folder.parent_path() != runs.plan.output) continue;
    std::error_code error;
    fs::remove_all(item.node.folder, error);
  }
}

std::map<std::string, MeasuredKind> measured_by(const ShortRuns& runs) {
  LedgerReader reader{runs.plan.output};
  reader.refresh();
  // Slot seconds of the attempt that did the whole item; below 0: there is none.
  const auto seconds_of = [&](std::size_t place) {
    const auto found = reader.attempts().find(runs.plan.items[place].name);
    if (found == reader.attempts().end()) return -1.0;
    for (const auto& [number, attempt] : found->second) {
      if (attempt.outcome == Outcome::done && attempt.work_before <= 0 && attempt.ended > attempt.started)
        return (attempt.ended - attempt.started) *
               static_cast<double>(std::max<std::int64_t>(1, attempt.slots));
    }
    return -1.0;
  };
  std::map<std::string, MeasuredKind> kinds;
  for (const auto& run : runs.runs) {
    const double small = seconds_of(run.small), large = seconds_of(run.large);
    const double few = runs.plan.items[run.small].node.work.amount,
                 many = runs.plan.items[run.large].node.work.amount;
    if (small < 0 || large < 0 || many <= few) continue;
    MeasuredKind kind;
    if (large > small) {
      kind.unit_s = (large - small) / (many - few);
      kind.start_s = std::max(0.0, small - kind.unit_s * few);
    } else {  // something else took the time: no less than all of the larger one
      kind.unit_s = large / many;
    }
    kinds[run.kind] = kind;
  }
  return kinds;
}

void write_measured(const fs::path& study_folder, const std::map<std::string, MeasuredKind>& kinds) {
  nlohmann::ordered_json list = nlohmann::ordered_json::object();
  for (const auto& [name, kind] : kinds) list[name] = {{"start_s", kind.start_s}, {"unit_s", kind.unit_s}};
  make_folder(study_folder);
  write_atomically(study_folder / "measured.json",
                   nlohmann::ordered_json{{"schema", schema}, {"kinds", list}}.dump(1) + '\n');
}

std::map<std::string, MeasuredKind> read_measured(const fs::path& study_folder) {
  const auto file = study_folder / "measured.json";
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  try {
    const auto json = nlohmann::json::parse(read_text(file));
    if (json.value("schema", std::string{}) != schema)
      throw DataError("was written by another version of the program", file.string(),
                      "Remove it; `deda study plan --measure` writes it anew.");
    std::map<std::string, MeasuredKind> kinds;
    for (const auto& [name, kind] : json.at("kinds").items())
      kinds[name] = {kind.at("start_s").get<double>(), kind.at("unit_s").get<double>()};
    return kinds;
  } catch (const nlohmann::json::exception& problem) {
    throw DataError(fmt::format("is not what was measured: {}", problem.what()), file.string(),
                    "Remove it; `deda study plan --measure` writes it anew.");
  }
}

}  // namespace deda::study

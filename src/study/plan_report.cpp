#include "study/plan_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/shell_line.h"
#include "pipeline/state.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;
using pipeline::Stage;

std::string hours_text(double seconds) {
  constexpr double hour = 3600, minute = 60;
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * minute) return fmt::format("{:.0f} min", seconds / minute);
  return fmt::format("{:.1f} h", seconds / hour);
}

// Free room where the output is, or will be.
std::uintmax_t free_bytes(fs::path folder) {
  std::error_code error;
  while (!folder.empty() && !fs::exists(folder, error) && folder.has_parent_path() &&
         folder != folder.parent_path())
    folder = folder.parent_path();
  const auto space = fs::space(folder.empty() ? fs::path{"."} : folder, error);
  return error ? 0 : space.available;
}

// What stays on disk of one item: best and last weights of a training, the records of a store.
double bytes_of(const Item& item) {
  struct Row {
    const char* network;
    double megabytes;  // of its weights
  };
  constexpr Row rows[] = {{"resnet18", 45}, {"resnet50", 98}, {"densenet121", 32}, {"vit_b_16", 343}};
  constexpr double megabyte = 1e6, record = 150e3, class_record = 20e3;
  switch (item.node.stage) {
    case Stage::train:
      for (const Row& row : rows) {
        if (item.node.work.kind.starts_with(row.network)) return 2 * row.megabytes * megabyte;
      }
      return 100 * megabyte;
    case Stage::invert:
    case Stage::tune:
      return class_record;
    default:
      return item.node.work.amount * record;
  }
}

std::string size_text(double bytes) {
  if (bytes < 1e9) return fmt::format("{:.0f} MB", bytes / 1e6);
  if (bytes < 1e12) return fmt::format("{:.0f} GB", bytes / 1e9);
  return fmt::format("{:.1f} TB", bytes / 1e12);
}

// How deep below the first items each one is.
std::vector<std::size_t> waves_of(const StudyPlan& plan) {
  std::vector<std::size_t> waves(plan.items.size(), 0);
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    for (const std::size_t needed : plan.items[i].node.needs)
      waves[i] = std::max(waves[i], waves[needed] + 1);
  }
  return waves;
}

// As the local launcher starts it: ranks and threads are the study's, and results follow them.
std::vector<std::string> command_of(const StudyPlan& plan, const Item& item, const Engine& engine) {
  std::vector<std::string> command;
  if (item.node.stage == Stage::train && plan.study.ranks > 1)
    command = {"mpirun", "-n", std::to_string(plan.study.ranks), "--oversubscribe", "--bind-to", "none"};
  command.push_back(engine.program);
  command.insert(command.end(), item.node.command.begin(), item.node.command.end());
  if (engine.on_cpu && plan.study.threads > 0) {
    command.emplace_back("--set");
    command.push_back(fmt::format("run.threads={}", plan.study.threads));
  }
  return command;
}

}  // namespace

std::string plan_text(const StudyPlan& plan, const StudyStatus& status) {
  std::set<std::size_t> runs;
  for (const auto& cell : plan.cells) runs.insert(cell.item);
  std::string text =
      fmt::format("study {}: {} {}, {} runs listed, {} distinct", plan.study.name, plan.study.grids.size(),
                  plan.study.grids.size() == 1 ? "grid" : "grids", plan.cells.size(), runs.size());
  if (runs.size() < plan.cells.size()) {
    // Which grids list what others have.
    std::map<std::pair<std::string, std::string>, std::int64_t> shared;
    std::map<std::size_t, const Cell*> first;
    for (const auto& cell : plan.cells) {
      const auto [place, is_new] = first.emplace(cell.item, &cell);
      if (!is_new) ++shared[{cell.grid, place->second->grid}];
    }
    std::vector<std::string> parts;
    for (const auto& [grids, count] : shared)
      parts.push_back(grids.first == grids.second
                          ? fmt::format("{} equal within {}", count, grids.first)
                          : fmt::format("{} of {} are in {}", count, grids.first, grids.second));
    text += fmt::format(" ({}; --why ITEM tells more)", fmt::join(parts, ", "));
  }
  text += "\n\n";
  text += fmt::format("{:<9} {:>6} {:>6} {:>6}  {:>10}  {:>10}  {:<18} {}\n", "stage", "items", "done",
                      "left", "slot time", "wall time", "per item", "source");
  double left = 0, bytes = 0;
  for (const auto& stage : status.stages) {
    const auto done = stage.done, open = stage.items - done;
    left += stage.seconds_left;
    text += fmt::format(
        "{:<9} {:>6} {:>6} {:>6}  {:>10}  {:>10}  {:<18} {}\n", stage.stage, stage.items, done, open,
        open == 0 ? "-" : hours_text(stage.seconds_left), open == 0 ? "-" : hours_text(stage.wall_left),
        fmt::format("{} on average", hours_text(stage.seconds_in_all /
                                                static_cast<double>(std::max<std::int64_t>(1, stage.items)))),
        open == 0                    ? "-"
        : stage.source == "guess"    ? "built-in guess, +-30 % on the GPUs it was made for"
        : stage.source == "scaled"   ? "guess, scaled by what was measured here"
        : stage.source == "measured" ? "measured here"
                                     : "measured by short runs");
  }
  for (const auto& item : plan.items) bytes += bytes_of(item);
  text += fmt::format(
      "\n{} of slot time left in all, {} on {} {} (a slot: a GPU, or the cores of a run; --slots asks for "
      "another number)\n",
      hours_text(left), hours_text(status.left_s), status.slots, status.slots == 1 ? "slot" : "slots");
  text += fmt::format("disk: about {} in all, free {}\n", size_text(bytes),
                      size_text(static_cast<double>(free_bytes(plan.output))));
  for (const auto& line : plan.left_out) text += fmt::format("left out without --with: {}\n", line);
  if (!status.failed.empty())
    text += fmt::format("{} items have failed and need --retry-failed (deda study status)\n",
                        status.failed.size());
  text += fmt::format("folder: {}\n", path_text(plan.folder()));
  return text;
}

std::string why_text(const StudyPlan& plan, const std::string& name, const Engine& engine) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const auto& item = plan.items[i];
    if (item.name.starts_with(name) || item.node.key.starts_with(name)) found.push_back(i);
    if (item.name == name) {
      found = {i};
      break;
    }
  }
  if (found.empty())
    throw ConfigError(fmt::format("the plan has no item {}", name), "--why",
                      "Names stand in plan.json, and in the folders of runs.");
  if (found.size() > 1)
    throw ConfigError(fmt::format("{} items begin with {}", found.size(), name), "--why",
                      "Give more of its name.");
  // What needs it, directly or by way of others.
  std::vector<bool> wants(plan.items.size(), false);
  wants[found.front()] = true;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    for (const std::size_t needed : plan.items[i].node.needs) wants[i] = wants[i] || wants[needed];
  }
  const Item& item = plan.items[found.front()];
  std::string text = fmt::format("{}\n  folder   {}\n  command  {}\n", item.name, path_text(item.node.folder),
                                 shell_line(command_of(plan, item, engine)));
  for (const std::size_t needed : item.node.needs)
    text += fmt::format("  needs    {}\n", plan.items[needed].name);
  for (const auto& [input, digest] : item.node.inputs)
    text += fmt::format("  input    {} {}\n", input, digest);
  std::size_t count = 0;
  std::string cells;
  for (const auto& cell : plan.cells) {
    if (!wants[cell.item]) continue;
    ++count;
    std::vector<std::string> labels;
    for (const auto& [axis, value] : cell.labels) labels.push_back(fmt::format("{} {}", axis, value));
    cells += fmt::format("  {}: {}{}seed {}\n", cell.grid, fmt::join(labels, ", "),
                         labels.empty() ? "" : ", ", cell.seed);
  }
  return text + fmt::format("wanted by {} {}:\n{}", count, count == 1 ? "cell" : "cells", cells);
}

std::string as_commands(const StudyPlan& plan, const Engine& engine) {
  const auto waves = waves_of(plan);
  const std::size_t count = waves.empty() ? 0 : *std::max_element(waves.begin(), waves.end()) + 1;
  std::vector<bool> wanted(plan.items.size());
  for (std::size_t i = 0; i < plan.items.size(); ++i)
    wanted[i] =
        !plan.items[i].node.command.empty() &&
        !(engine.left_only && pipeline::state_of(plan.items[i].node).progress == pipeline::Progress::done);
  std::string text =
      fmt::format("# study {}: {} of {} items; lines of one wave may run at once, each on its own\n",
                  plan.study.name, std::count(wanted.begin(), wanted.end(), true), plan.items.size());
  for (std::size_t wave = 0; wave < count; ++wave) {
    text += fmt::format("# wave {}\n", wave + 1);
    for (std::size_t i = 0; i < plan.items.size(); ++i) {
      if (waves[i] == wave && wanted[i]) text += shell_line(command_of(plan, plan.items[i], engine)) + '\n';
    }
  }
  return text;
}

std::string as_snakemake(const StudyPlan& plan, const Engine& engine) {
  // What a stage leaves grows while it runs; the mark is made when it has ended well.
  const auto mark_of = [&](const Item& item) { return (plan.output / ("." + item.name + ".made")).string(); };
  const auto python = [](const std::string& text) {
    std::string quoted = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    return quoted + '"';
  };
  std::string text = fmt::format(
      "# study {}: written by `deda study plan --export snakemake`\nrule all:\n  input:\n", plan.study.name);
  std::set<std::size_t> runs;
  for (const auto& cell : plan.cells) runs.insert(cell.item);
  for (const std::size_t run : runs) text += fmt::format("    {},\n", python(mark_of(plan.items[run])));
  for (const auto& item : plan.items) {
    if (item.node.command.empty()) continue;
    std::string name = item.name;
    std::replace(name.begin(), name.end(), '-', '_');
    text += fmt::format("\nrule {}:\n", name);
    if (!item.node.needs.empty()) {
      text += "  input:\n";
      for (const std::size_t needed : item.node.needs)
        text += fmt::format("    {},\n", python(mark_of(plan.items[needed])));
    }
    // Braces are Snakemake's own.
    std::string line;
    for (const char c : shell_line(command_of(plan, item, engine)))
      line += c == '{' ? std::string{"{{"} : c == '}' ? std::string{"}}"} : std::string{c};
    text += fmt::format("  output: touch({})\n", python(mark_of(item)));
    text += fmt::format("  shell: {}\n", python(line));
  }
  return text;
}

}  // namespace deda::study

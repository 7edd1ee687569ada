// `deda plan`: the stages of a configuration, before or after they have run: key, folder, how far, what would
// run.
#include "pipeline/plan.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/escaped_name.h"
#include "core/log.h"
#include "core/shell_line.h"
#include "jobs/job.h"
#include "jobs/method_list.h"
#include "pipeline/state.h"

namespace deda::jobs {
namespace {

using pipeline::Progress;
using pipeline::Stage;

struct Options {
  std::string methods, seeds;  // lists, separated by blanks or commas
  std::string target = "train";
  std::filesystem::path why;  // a folder: what makes it another than the planned one
  bool json = false, commands = false, progress = false;
};

constexpr std::size_t shown_digits = 8;  // of a key

// The configuration with further settings, and its plan.
pipeline::Plan plan_with(const JobContext& context, const std::vector<std::string>& settings, Stage target,
                         FileDigests& digests) {
  const auto other = with_settings(context, settings);
  std::vector<std::string> arguments;
  const auto add = [&](const char* flag, const std::string& value) {
    arguments.emplace_back(flag);
    arguments.push_back(value);
  };
  for (const auto& file : other.sources.files) add("--config", file.string());
  for (const auto& setting : other.sources.overrides) add("--set", setting);
  if (context.output) add("--out", context.output->string());
  return pipeline::plan_of(other.config, target, digests, arguments);
}

pipeline::Plan plan_all(const JobContext& context, const Options& options, FileDigests& digests) {
  const auto target = pipeline::stage_named(options.target).value_or(Stage::train);
  const auto methods = words_of(options.methods), seeds = words_of(options.seeds);
  if (methods.empty() && seeds.empty()) return plan_with(context, {}, target, digests);
  std::vector<pipeline::Plan> plans;
  // Seeds outside, methods inside: an interrupted comparison has whole pairs.
  for (std::size_t seed = 0; seed < std::max<std::size_t>(1, seeds.size()); ++seed) {
    for (std::size_t method = 0; method < std::max<std::size_t>(1, methods.size()); ++method) {
      std::vector<std::string> settings;
      if (!methods.empty()) settings = settings_of_method(methods[method]);
      if (!seeds.empty()) settings.push_back("run.seed=" + seeds[seed]);
      plans.push_back(plan_with(context, settings, target, digests));
    }
  }
  return pipeline::merged(plans);
}

void print_json(const pipeline::Plan& plan, const std::vector<pipeline::NodeState>& states) {
  auto json = nlohmann::ordered_json::parse(pipeline::to_json(plan));
  for (std::size_t i = 0; i < states.size(); ++i) {
    json["nodes"][i]["state"] = pipeline::name_of(states[i].progress);
    json["nodes"][i]["detail"] = readable(states[i].detail);
  }
  json["other_folders"] = nlohmann::ordered_json::array();
  for (const auto& other : pipeline::other_folders(plan))
    json["other_folders"].push_back(
        {{"folder", path_text(other.folder)}, {"of_earlier_version", other.of_earlier_version}});
  fmt::print("{}\n", json.dump(1));
}

void print_other_folders(const pipeline::Plan& plan) {
  std::size_t of_other_settings = 0;
  for (const auto& other : pipeline::other_folders(plan)) {
    if (other.of_earlier_version)
      fmt::print("made by an earlier version, not used: {}\n", path_text(other.folder));
    else
      ++of_other_settings;
  }
  if (of_other_settings > 0)
    fmt::print("{} further folders in {} are of other settings or data\n", of_other_settings,
               path_text(plan.output));
}

void print_text(const pipeline::Plan& plan, const std::vector<pipeline::NodeState>& states) {
  std::size_t width = std::string_view{"stage"}.size();
  const auto title_of = [](const pipeline::Node& node) {
    return std::string{pipeline::name_of(node.stage)} + (node.title.empty() ? "" : " " + node.title);
  };
  for (const auto& node : plan.nodes) width = std::max(width, title_of(node).size());
  fmt::print("{:<{}}  {:<9} {:<9} {}\n", "stage", width, "key", "state", "folder");
  for (std::size_t i = 0; i < states.size(); ++i) {
    const auto& node = plan.nodes[i];
    fmt::print("{:<{}}  {:<9} {:<9} {}{}\n", title_of(node), width, node.key.substr(0, shown_digits),
               pipeline::name_of(states[i].progress), path_text(node.folder),
               states[i].detail.empty() ? "" : "  (" + readable(states[i].detail) + ")");
  }
  print_other_folders(plan);
  bool any = false;
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (states[i].progress == Progress::done || plan.nodes[i].command.empty()) continue;
    fmt::print("{}  deda {}\n", any ? "" : "would run:\n", shell_line(plan.nodes[i].command));
    any = true;
  }
  if (!any) fmt::print("nothing is left to do\n");
}

using Values = std::map<std::string, std::string>;

void print_differences(const std::string& kind, const Values& there, const Values& planned) {
  Values all = there;
  all.insert(planned.begin(), planned.end());
  const auto value_in = [](const Values& values, const std::string& key) {
    const auto found = values.find(key);
    return found == values.end() ? std::string{"-"} : found->second;
  };
  for (const auto& [key, value] : all) {
    const auto before = value_in(there, key), now = value_in(planned, key);
    if (before != now) fmt::print("  {:<8} {:<28} there {}, planned {}\n", kind, key, before, now);
  }
}

Values values_of(const std::string& object) {
  Values values;
  const auto json = nlohmann::json::parse(object);  // named: items() refers to it
  for (const auto& [key, value] : json.items()) values[key] = value.dump();
  return values;
}

// What a folder was made of against what the plan would make: the settings, files and needs that differ.
void print_why(const pipeline::Plan& plan, const std::filesystem::path& folder) {
  const auto there = pipeline::provenance_in(folder);
  if (!there) {
    fmt::print("{}: made by an earlier version; what it was made of is not known\n", path_text(folder));
    return;
  }
  const auto stage = pipeline::stage_named(there->stage);
  const auto* node = stage ? plan.find(*stage) : nullptr;
  if (node == nullptr) {
    fmt::print("{}: the plan has no stage {}\n", path_text(folder), there->stage);
    return;
  }
  if (node->key == there->key) {
    fmt::print("{}: is the planned one\n", path_text(folder));
    return;
  }
  fmt::print("{} against {}\n", path_text(folder), path_text(node->folder));
  const auto planned = plan.provenance_of(*node);
  print_differences("setting", values_of(there->settings), values_of(planned.settings));
  print_differences("content", there->inputs, planned.inputs);
  print_differences("need", there->needs, planned.needs);
}

ExitCode plan(JobContext& context, const Options& options) {
  if (!context.ranks.is_root()) return ExitCode::done;  // looking is one rank's work
  FileDigests digests;
  const auto plan = plan_all(context, options, digests);
  if (!digests.save()) log_warning("{}", FileDigests::not_kept());
  for (const auto& note : plan.notes) log_warning("{}", note);
  if (!options.why.empty()) {
    print_why(plan, options.why);
    return ExitCode::done;
  }
  if (options.progress) {
    fmt::print("{}\n", pipeline::progress_mark(plan));
    return ExitCode::done;
  }
  std::vector<pipeline::NodeState> states;
  for (const auto& node : plan.nodes) states.push_back(pipeline::state_of(node));
  std::vector<Problem> problems;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const auto progress = states[i].progress;
    if (progress == Progress::conflict || progress == Progress::damaged)
      problems.push_back({states[i].detail, plan.nodes[i].folder.string(),
                          progress == Progress::conflict
                              ? "Name another folder with dataset.root, or remove it."
                              : "Remove the folder, or put its files back."});
  }
  if (options.commands) {
    if (!problems.empty()) throw DataError(std::move(problems));
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (states[i].progress != Progress::done && !plan.nodes[i].command.empty())
        fmt::print("{}\n", shell_line(plan.nodes[i].command));
    }
    return ExitCode::done;
  }
  if (options.json)
    print_json(plan, states);
  else
    print_text(plan, states);
  if (!problems.empty()) throw DataError(std::move(problems));
  return ExitCode::done;
}

}  // namespace

Job make_plan_job() {
  const auto options = std::make_shared<Options>();
  return {
      .name = "plan",
      .summary = "The stages of a configuration: key, folder, how far each has come, what would run",
      .example = "deda plan --config configs/demo.toml --methods plain,deda --seeds 1,2,3",
      .add_options =
          [options](CLI::App& app) {
            app.add_option("--methods", options->methods,
                           "plan for each: values of augment.method, and deda-real (De-DA without synthetic "
                           "CDPs)");
            app.add_option("--seeds", options->seeds, "plan for each seed of the training (run.seed)");
            app.add_option("--for", options->target,
                           "the last stage of the plan: toy, decouple, invert, tune, generate or train "
                           "(default train)")
                ->check(CLI::IsMember({"toy", "decouple", "invert", "tune", "generate", "train"}));
            app.add_option(
                "--why", options->why,
                "a stage's folder: which settings, files and needs make it another than the planned "
                "one");
            app.add_flag("--json", options->json, "everything, for programs");
            app.add_flag("--progress", options->progress,
                         "only a mark that changes with every finished piece of work; scripts compare it");
            app.add_flag(
                "--commands", options->commands,
                "only what has to be run, in order: a line of shell-quoted arguments of `deda` each");
          },
      .run = [options](JobContext& context) { return plan(context, *options); }};
}

}  // namespace deda::jobs

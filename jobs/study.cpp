// `deda study`: grids of runs as one plan: plan, run, status, report.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/file_digests.h"
#include "core/files.h"
#include "core/log.h"
#include "core/shell_line.h"
#include "core/stop.h"
#include "jobs/job.h"
#include "pipeline/state.h"
#include "study/driver.h"
#include "study/measure.h"
#include "study/plan_report.h"
#include "study/slurm_allocation.h"
#include "study/status.h"
#include "study/study_plan.h"

namespace deda::jobs {
namespace {

namespace fs = std::filesystem;
using study::StudyPlan;

enum class Act { plan, run, status, report };

struct Options {
  Act act = Act::plan;
  fs::path study;  // a file, or the folder of a study that was planned
  std::vector<std::string> configurations, settings, vary, with, only;
  std::string seeds, name, out, machine = "auto";
  std::int64_t ranks = 0, threads = 0;
  // plan
  std::string why, export_as;
  bool json = false, measure = false;
  // run
  std::string launcher = "auto", gpus;
  std::int64_t slots = 0, most_slots = 0;
  bool retry_failed = false, replan = false, cpu_only = false;
  double lease_s = study::lease_s;
  fs::path program;
  // status
  bool progress = false;
  std::int64_t watch_s = 0;
  // report
  bool strict = false;
};

study::Study study_of(const Options& options) {
  if (!options.study.empty()) {
    if (!options.configurations.empty() || !options.vary.empty())
      throw ConfigError("a study file and --config or --vary are two ways to say what the study is",
                        "command line", "Give one of them.");
    auto study = study::read_study(options.study);
    if (!options.name.empty()) study.name = options.name;
    return study;
  }
  if (options.configurations.empty())
    throw ConfigError(
        "no study is given", "command line",
        "deda study run FILE.toml, or deda study run --config configs/demo.toml --vary augment.p_aug=0,0.5");
  study::OneLine line;
  for (const auto& file : options.configurations) line.configurations.emplace_back(file);
  line.settings = options.settings;
  line.vary = options.vary;
  line.name = options.name;
  return study::study_of(line);
}

study::PlanOptions plan_options(const Options& options) {
  study::PlanOptions plan;
  plan.output = options.out;
  if (!options.seeds.empty()) plan.seeds = study::seeds_of(options.seeds, "--seeds");
  if (!options.study.empty()) plan.settings = options.settings;  // the one-line form has them in its grid
  plan.with = options.with;
  for (const auto& only : options.only) {
    const auto equals = only.find('=');
    if (equals == std::string::npos)
      throw ConfigError(fmt::format("\"{}\" is not of the form axis=value,value", only), "--only",
                        "Example: --only method=plain,deda");
    std::string value;
    for (const char c : only.substr(equals + 1) + ',') {
      if (c != ',') {
        value += c;
      } else {
        if (!value.empty()) plan.only[only.substr(0, equals)].push_back(value);
        value.clear();
      }
    }
  }
  plan.ranks = options.ranks;
  plan.threads = options.threads;
  return plan;
}

StudyPlan make_plan(const Options& options) {
  FileDigests digests;
  auto plan = study::plan_study(study_of(options), plan_options(options), digests);
  if (!digests.save()) log_warning("{}", FileDigests::not_kept());
  for (const auto& note : plan.notes) log_warning("{}", note);
  return plan;
}

// The folder of a study that was planned before.
fs::path folder_of(const Options& options) {
  std::error_code error;
  if (fs::is_directory(options.study, error)) return options.study;
  auto study = study_of(options);
  fs::path output = options.out;
  if (output.empty()) output = study::output_of(study);
  return output / ("study-" + study.name);
}

StudyPlan read_plan(const fs::path& folder) {
  const auto file = folder / "plan.json";
  std::error_code error;
  if (!fs::exists(file, error))
    throw DataError("no study has been planned here", folder.string(),
                    "Call deda study plan or deda study run first.");
  return study::study_plan_from(read_text(file), file.string());
}

// The plan on disk only grows: what was promised to people and other drivers stays.
void keep_plan(const StudyPlan& plan, bool replan) {
  const auto file = plan.folder() / "plan.json";
  std::error_code error;
  if (fs::exists(file, error) && !replan) {
    const auto before = study::study_plan_from(read_text(file), file.string());
    std::size_t gone = 0;
    std::string example;
    for (const auto& item : before.items) {
      if (plan.find(item.name) != nullptr) continue;
      ++gone;
      if (example.empty()) example = fmt::format("{} ({})", item.name, item.title);
    }
    if (gone > 0)
      throw ConfigError(fmt::format("the plan here has {} items that this study does not have, as {}: it is "
                                    "of another study, or data "
                                    "or settings have changed since",
                                    gone, example),
                        file.string(),
                        "Take another name (--name), or give the old plan up with --replan; what it has made "
                        "stays and is used where it "
                        "is equal.");
    const auto text = study::to_json(plan);
    if (text == read_text(file)) return;
    if (plan.items.size() > before.items.size())
      log_info("the study has grown by {} items", plan.items.size() - before.items.size());
  }
  make_folder(plan.folder());
  write_atomically(file, study::to_json(plan));
}

study::Machine machine_of(const Options& options) {
  if (options.machine == "cpu" ||
      (options.machine == "auto" && (options.cpu_only || study::visible_gpus().empty())))
    return study::Machine::cpu_core;
  if (options.machine == "v100") return study::Machine::v100;
  if (options.machine == "a100") return study::Machine::a100;
  std::error_code error;
  for (const auto& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    std::ifstream text(gpu.path() / "information");
    for (std::string line; std::getline(text, line);) {
      if (line.find("V100") != std::string::npos) return study::Machine::v100;
    }
  }
  return study::Machine::a100;
}

fs::path this_program() {
  std::error_code error;
  const auto program = fs::read_symlink("/proc/self/exe", error);
  if (error) throw IoError("cannot find the program's own file", "/proc/self/exe", error.message());
  return program;
}

std::unique_ptr<study::Launcher> make_launcher(const Options& options, const StudyPlan& plan) {
  const fs::path program = options.program.empty() ? this_program() : options.program;
  const bool in_allocation = std::getenv("SLURM_JOB_ID") != nullptr;
  if (options.launcher == "slurm" || (options.launcher == "auto" && in_allocation)) {
    study::SlurmOptions slurm;
    slurm.program = program;
    if (const char* mpi = std::getenv("DEDA_SRUN_MPI")) slurm.mpi = mpi;
    slurm.threads = plan.study.threads;
    slurm.slots_per_node = options.slots;
    slurm.cpu_only = options.cpu_only;
    return study::make_slurm_launcher(slurm);
  }
  study::LocalOptions local;
  local.program = program;
  local.slots = options.slots;
  local.cpu_only = options.cpu_only;
  local.threads = plan.study.threads;
  std::string gpu;
  for (const char c : options.gpus + ',') {
    if (c != ',') {
      gpu += c;
    } else {
      if (!gpu.empty()) local.gpus.push_back(gpu);
      gpu.clear();
    }
  }
  return study::make_local_launcher(local);
}

study::DriverOptions drive_options(const Options& options, const fs::path& study_folder) {
  study::DriverOptions drive;
  drive.retry_failed = options.retry_failed;
  drive.machine = machine_of(options);
  drive.short_runs = study::read_measured(study_folder);
  drive.most_slots = options.most_slots;
  drive.lease_s = options.lease_s;
  drive.tell = [](const std::string& line) { log_info("{}", line); };
  return drive;
}

// What failed, with its logs, and what waits for it.
[[noreturn]] void throw_failures(const study::DriverResult& result, const fs::path& folder) {
  std::vector<Problem> problems;
  for (const auto& failure : result.failed)
    problems.push_back({fmt::format("{}: {}", failure.title, failure.message),
                        failure.log.empty() ? failure.item : failure.log,
                        {}});
  if (!result.blocked.empty())
    problems.push_back({fmt::format("{} items wait for one of them", result.blocked.size()), {}, {}});
  problems.push_back({fmt::format("{} of {} items are done", result.done, result.items), folder.string(),
                      "Mend the cause, then call the same with --retry-failed."});
  throw Error(ExitCode::failure, std::move(problems));
}

// Short runs of every kind that is not known yet, on the slots that the study itself would have.
void measure(const Options& options, const StudyPlan& plan) {
  auto known = study::read_measured(plan.folder());
  FileDigests digests;
  const auto runs =
      study::short_runs_of(plan, known, machine_of(options) == study::Machine::cpu_core, digests);
  if (!digests.save()) log_warning("{}", FileDigests::not_kept());
  if (runs.runs.empty()) {
    log_info("nothing to measure: every kind of item is known or done");
    return;
  }
  const auto launcher = make_launcher(options, runs.plan);
  auto drive = drive_options(options, plan.folder());
  drive.most_slots = 1;  // an item's time on one slot is what is asked for
  const auto result = study::drive(runs.plan, *launcher, drive);
  const auto measured = study::measured_by(runs);
  for (const auto& [kind, cost] : measured) known[kind] = cost;
  study::write_measured(plan.folder(), known);
  if (!result.failed.empty()) throw_failures(result, runs.plan.folder());
  if (result.stopped)
    throw Stopped(fmt::format("stopped ({}): {} of {} kinds are measured", result.stop_reason,
                              measured.size(), runs.runs.size()));
  study::remove_results(runs);
  if (measured.size() < runs.runs.size())
    log_warning(
        "{} of {} kinds could not be measured: short runs of them were interrupted; their logs are in {}",
        runs.runs.size() - measured.size(), runs.runs.size(), path_text(runs.plan.folder() / "logs"));
}

study::Engine engine_of(const Options& options) {
  study::Engine engine;
  if (!options.program.empty()) engine.program = options.program.string();
  engine.on_cpu = machine_of(options) == study::Machine::cpu_core;
  return engine;
}

// For times of a study that nobody works on.
std::int64_t slots_here(const Options& options, const StudyPlan& plan) {
  return options.slots > 0 ? options.slots
                           : static_cast<std::int64_t>(make_launcher(options, plan)->slots().size());
}

ExitCode plan_it(const Options& options) {
  const auto plan = make_plan(options);
  if (!options.why.empty()) {
    fmt::print("{}", study::why_text(plan, options.why, engine_of(options)));
    return ExitCode::done;
  }
  if (!options.export_as.empty()) {
    fmt::print("{}", options.export_as == "commands" ? study::as_commands(plan, engine_of(options))
                                                     : study::as_snakemake(plan, engine_of(options)));
    return ExitCode::done;
  }
  keep_plan(plan, options.replan);
  if (options.measure) measure(options, plan);
  const auto status = study::status_of(plan, machine_of(options), slots_here(options, plan));
  fmt::print("{}", options.json ? study::to_json(plan) + '\n' : study::plan_text(plan, status));
  return ExitCode::done;
}

ExitCode run_it(const Options& options) {
  const auto plan = make_plan(options);
  keep_plan(plan, options.replan);
  if (options.launcher == "print") {
    auto engine = engine_of(options);
    engine.left_only = true;
    fmt::print("{}", study::as_commands(plan, engine));
    return ExitCode::done;
  }
  const auto launcher = make_launcher(options, plan);
  const auto result = study::drive(plan, *launcher, drive_options(options, plan.folder()));
  if (!result.failed.empty()) throw_failures(result, plan.folder());
  if (result.stopped)
    throw Stopped(
        fmt::format("stopped ({}): {} of {} items are done", result.stop_reason, result.done, result.items));
  if (result.done < result.items)
    throw Error(ExitCode::failure, fmt::format("{} of {} items are done", result.done, result.items),
                plan.folder().string(), result.stop_reason);
  fmt::print("study {}: all {} items are done\n", plan.study.name, result.items);
  return ExitCode::done;
}

ExitCode show_status(const Options& options) {
  const auto plan = read_plan(folder_of(options));
  if (options.progress) {
    pipeline::Plan nodes;
    for (const auto& item : plan.items) nodes.nodes.push_back(item.node);
    fmt::print("{}\n", pipeline::progress_mark(nodes));
    return ExitCode::done;
  }
  for (;;) {
    const auto status = study::status_of(plan, machine_of(options));
    if (options.json) {
      fmt::print("{}\n", study::to_json(status));
    } else {
      // A screen of its own on a terminal; one under the other in a file.
      if (options.watch_s > 0 && ::isatty(STDOUT_FILENO) != 0) fmt::print("\x1b[H\x1b[2J");
      fmt::print("{}", study::to_text(status));
    }
    std::fflush(stdout);
    if (options.watch_s <= 0 || status.done == status.items) return ExitCode::done;
    for (std::int64_t s = 0; s < options.watch_s; ++s) {
      if (stop_requested()) return ExitCode::done;
      std::this_thread::sleep_for(std::chrono::seconds{1});
    }
  }
}

ExitCode report_it(const Options& options) {
  const auto plan = read_plan(folder_of(options));
  const auto status = study::status_of(plan, machine_of(options));
  const auto runs = study::cell_runs(plan, status);
  const auto folder = plan.folder() / "report";
  make_folder(folder);
  std::string text;
  for (const auto& [name, bytes] : study::report_files(plan.study, runs, study::history_of(status))) {
    write_atomically(folder / name, bytes);
    if (name == "report.txt") text = bytes;
  }
  fmt::print("{}\nreport: {}\n", text, path_text(folder / "report.html"));
  if (options.strict && !study::count_runs(runs).is_complete())
    throw Error(ExitCode::failure, study::words_of(study::count_runs(runs)), plan.folder().string(),
                "Without --strict a report of what is there is no failure.");
  return ExitCode::done;
}

void add_study(CLI::App& app, Options& options) {
  app.add_option_function<std::string>(
      "study", [&options](const std::string& file) { options.study = file; },
      "a study file (TOML), or the folder of a study that was planned");
  app.add_option("--config", options.configurations,
                 "instead of a study file: configurations; repeatable, later files win")
      ->allow_extra_args(false)
      ->type_name("FILE");
  app.add_option("--set", options.settings,
                 "a key of every run's configuration, as in train.epochs=10; repeatable")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  app.add_option("--vary", options.vary, "values of a key, as in augment.p_aug=0,0.5,1; several make a grid")
      ->allow_extra_args(false)
      ->type_name("KEY=V,V,...");
  app.add_option("--seeds", options.seeds, "seeds of every run, as 1-3 or 1,2,5")->type_name("LIST");
  app.add_option("--name", options.name, "another name for the study");
  app.add_option("--out", options.out, "folder for all results, shared by studies")->type_name("DIR");
  app.add_option("--with", options.with, "optional grids to take in, by name; all")->type_name("GRID");
  app.add_option("--only", options.only, "of an axis only these values, as in method=plain,deda; repeatable")
      ->allow_extra_args(false)
      ->type_name("AXIS=V,V");
  app.add_option("--ranks", options.ranks, "ranks of every training (default: the study's, 1)")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "threads of a rank on a CPU (default: the study's, 1)")
      ->check(CLI::PositiveNumber);
  app.add_option("--machine", options.machine, "what times are guessed for: auto, cpu, v100, a100")
      ->check(CLI::IsMember({"auto", "cpu", "v100", "a100"}));
}

}  // namespace

Job make_study_job() {
  const auto options = std::make_shared<Options>();
  return {
      .name = "study",
      .summary =
          "Grids of runs: plan them, run them in one allocation, see how they stand, report tables and "
          "figures",
      .example = "deda study run --config configs/demo.toml --vary augment.p_aug=0,0.5,1 --seeds 1-3",
      .add_options =
          [options](CLI::App& app) {
            app.require_subcommand(1);
            auto* plan = app.add_subcommand(
                "plan", "what a study would run: items, hours, disk; checks every configuration");
            auto* run = app.add_subcommand(
                "run", "run what is left of it; call it again to go on, several at once to go faster");
            auto* status = app.add_subcommand("status", "how it stands");
            auto* report = app.add_subcommand("report", "tables and figures of what is done");
            for (auto* each : {plan, run, status, report}) add_study(*each, *options);
            plan->callback([options] { options->act = Act::plan; });
            run->callback([options] { options->act = Act::run; });
            status->callback([options] { options->act = Act::status; });
            report->callback([options] { options->act = Act::report; });
            plan->add_option("--why", options->why,
                             "an item or a key: which runs want it, and what it was made of");
            plan->add_option("--export", options->export_as,
                             "print the items for another engine: commands, snakemake")
                ->check(CLI::IsMember({"commands", "snakemake"}));
            plan->add_flag("--json", options->json, "everything, for programs");
            plan->add_flag("--measure", options->measure,
                           "run every kind of item shortly (trainings 30 steps), for times of this machine "
                           "before anything is done; in an allocation on its slots");
            for (auto* each : {plan, run})
              each->add_flag("--replan", options->replan, "give up the plan that is there; results stay");
            // Scripts give all of them the same arguments: what only `run` heeds, the others take without
            // showing it.
            for (auto* each : {plan, run, status, report}) {
              const std::string group = each == run ? "OPTIONS" : "";
              const std::string plan_group = each == plan ? "OPTIONS" : group;  // for times and --measure
              each->add_option(
                      "--launcher", options->launcher,
                      "auto (slurm in an allocation), local, slurm; print: the commands of what is left")
                  ->check(CLI::IsMember({"auto", "local", "slurm", "print"}))
                  ->group(group);
              each->add_option("--slots", options->slots,
                               "runs at once (default: one per GPU, else per --threads cores); under Slurm "
                               "on each node")
                  ->check(CLI::PositiveNumber)
                  ->group(plan_group);
              each->add_option("--gpus", options->gpus,
                               "GPUs to use, as CUDA_VISIBLE_DEVICES names them: 0,1")
                  ->group(group);
              each->add_flag("--cpu", options->cpu_only, "leave GPUs alone")->group(group);
              each->add_option("--max-slots", options->most_slots, "of one stage that can use several")
                  ->check(CLI::PositiveNumber)
                  ->group(group);
              each->add_flag("--retry-failed", options->retry_failed, "try again what has failed")
                  ->group(group);
              each->add_option("--lease", options->lease_s,
                               "seconds after which a silent driver counts as dead")
                  ->check(CLI::PositiveNumber)
                  ->group(group);
              each->add_option_function<std::string>(
                      "--program", [options](const std::string& path) { options->program = path; },
                      "what runs a stage in the place of this program: a script that enters a container, say")
                  ->group(group);
            }
            status->add_option("--watch", options->watch_s, "again every so many seconds")
                ->expected(0, 1)
                ->default_str("30");
            status->add_flag("--json", options->json, "everything, for programs");
            status->add_flag(
                "--progress", options->progress,
                "only a mark that changes with every finished piece of work; scripts compare it");
            report->add_flag("--strict", options->strict, "exit code 1 where a cell is missing");
          },
      .run = nullptr,
      .takes_config = false,
      .run_alone =
          [options] {
            switch (options->act) {
              case Act::plan:
                return plan_it(*options);
              case Act::run:
                return run_it(*options);
              case Act::status:
                return show_status(*options);
              case Act::report:
                return report_it(*options);
            }
            return ExitCode::failure;
          }};
}

}  // namespace deda::jobs

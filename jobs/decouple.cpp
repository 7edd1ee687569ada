// `deda decouple`: pictures -> CDP and CIP records in a store.
#include "decoupling/decouple.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "core/escaped_name.h"
#include "core/log.h"
#include "data/dataset.h"
#include "decoupling/ladder.h"
#include "decoupling/looks.h"
#include "jobs/job.h"
#include "jobs/planning.h"
#include "jobs/worker_threads.h"
#include "report/overlay.h"
#ifdef DEDA_TORCH
#include "jobs/decoupling_networks.h"
#endif

namespace deda::jobs {

namespace {

void print_outcomes(const std::filesystem::path& folder) {
  const io::StoreReader store(folder);
  const io::OutcomeCount outcomes = store.outcomes();
  fmt::print("{:<16} {:>9}\n", "outcome", "pictures");
  std::int64_t sum = 0;
  for (const auto& [outcome, count] : outcomes.counts) {
    fmt::print("{:<16} {:>9}\n", io::name_of(outcome), count);
    sum += count;
  }
  fmt::print("{:<16} {:>9}{}\n{} records in {}\n", "all", outcomes.items,
             sum == outcomes.items ? "" : "  (counts do not add up: the store is damaged)", store.size(),
             path_text(folder));
  const auto outside = std::count_if(store.remarks().begin(), store.remarks().end(), [](const auto& remark) {
    return remark.second.second.find(decoupling::box_outside) != std::string::npos;
  });
  if (outside > 0)
    log_warning("{} pictures: {} (cut at its edge): are they of another size than their annotations?",
                outside, decoupling::box_outside);
  constexpr int most_listed = 10;
  int listed = 0;
  for (const auto& [item, remark] : store.remarks()) {
    if (remark.first == io::Outcome::done) continue;
    if (listed++ == most_listed) {
      fmt::print("... more in {}/manifest.json\n", path_text(folder));
      break;
    }
    fmt::print("  {}: {}: {}\n", store.description().sources[static_cast<std::size_t>(item)],
               io::name_of(remark.first), remark.second);
  }
}

struct Options {
  std::vector<std::string> sources;
  std::filesystem::path review;
};

// --source overrules the configuration; checked as the configuration is.
void apply_sources(const Options& options, decoupling::DecoupleConfig& config) {
  if (options.sources.empty()) return;
  const auto& known = decoupling::mask_source_names();
  std::vector<Problem> problems;
  for (const std::string& name : options.sources) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      problems.push_back({"\"" + name + "\" is no mask source", "--source",
                          fmt::format("There are {}.", fmt::join(known, ", "))});
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  config.sources = options.sources;
}

ExitCode run(JobContext& context, const Options& options) {
  apply_sources(options, context.config.decouple);
  const auto& config = context.config;
  std::string device;
#ifdef DEDA_TORCH
  device = prepare_network_sources(context.ranks, config.decouple);
#endif
  const auto plan = make_plan(context, pipeline::Stage::decouple);
  const auto& node = plan.at(pipeline::Stage::decouple);
  const auto& folder = node.folder;
  if (node.command.empty()) {
    if (context.ranks.is_root())
      log_info("nothing to decouple: train.store names the store {}", folder.string());
    return ExitCode::done;
  }
  const auto dataset = load_dataset(context);
  std::filesystem::path without_exclusions;
  if (!config.decouple.exclude.empty()) {
    JobContext all = context;
    all.config.decouple.exclude.clear();
    without_exclusions =
        make_plan(all, pipeline::Stage::decouple, false).at(pipeline::Stage::decouple).folder;
  }
  const std::size_t pictures = decoupling::decouple_items(dataset, config.decouple).size();
  if (context.options.dry_run) {
    context.ranks.agree("making the mask sources",
                        [&] { decoupling::make_mask_sources(config.decouple, dataset); });
    if (context.ranks.is_root())
      fmt::print("would decouple {} pictures of {} ({} classes) into {}\n", pictures, dataset.name,
                 dataset.class_names.size(), path_text(folder));
    return ExitCode::done;
  }
  if (context.ranks.is_root())
    log_info("decoupling {} pictures of {} ({} classes) on {} ranks into {}", pictures, dataset.name,
             dataset.class_names.size(), context.ranks.size(), path_text(folder));
  write_few_shot_list(context, dataset, folder);
  const bool was_complete = decoupling::decouple(
      context.ranks, {dataset, config.decouple, folder, worker_threads(context.ranks, config.run.threads),
                      context.options.trace, context.options.trace ? context.options.trace_steps : 0,
                      without_exclusions, provenance_of(plan, node, device)});
  if (context.ranks.is_root()) {
    if (was_complete) log_info("already done: {}", folder.string());
    if (was_complete && context.options.trace) log_warning("{}", nothing_traced(folder));
    print_outcomes(folder);
    const io::StoreReader store(folder);
    fmt::print("{}", report::to_text(report::summarize_looks(store, decoupling::read_looks(folder))));
    if (!options.review.empty()) {
      const auto list = report::write_review(options.review, store, dataset.root);
      fmt::print("review: {}\nedit {} and name it as decouple.exclude\n", path_text(options.review),
                 path_text(list));
    }
  }
  io::check_outcomes(context.ranks, folder, decoupling::outcome_limits(config.decouple));
  return ExitCode::done;
}

}  // namespace

Job make_decouple_job() {
  const auto options = std::make_shared<Options>();
  return {.name = "decouple",
          .summary = "Split pictures into class-dependent and class-independent parts",
          .example = "mpirun -n 4 deda decouple --config configs/demo.toml",
          .add_options =
              [options](CLI::App& app) {
                app.add_option(
                    "--source", options->sources,
                    "mask source(s) in the order in which they are tried, instead of decouple.sources");
                app.add_option(
                    "--review", options->review,
                    "write an HTML page with the doubtful pictures first, and beside it a text file of "
                    "pictures to exclude, to be edited");
              },
          .run = [options](JobContext& context) { return run(context, *options); }};
}

}  // namespace deda::jobs

// `deda train`: records and pictures -> classifier.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "core/files.h"
#include "core/log.h"
#include "device/host_memory.h"
#include "jobs/planning.h"
#include "jobs/training_run.h"
#include "training/objective_names.h"
#include "training/schedule.h"
#include "training/trace.h"
#include "training/trainer.h"

namespace deda::jobs {
namespace {

struct TrainOptions {
  std::int64_t trace_draws = 0;
};

void print_results(const TrainingRun& run, const training::TrainingState& state) {
  const auto objective = run.config.train.objective;
  const auto print_line = [](std::string_view name, const training::GroupSummary& summary) {
    fmt::print("{:<24} {:>8.2f} {:>8.2f} {:>14.2f} {:>9}\n", name, summary.best, summary.last,
               summary.mean_last_10, summary.images);
  };
  fmt::print("{:<24} {:>8} {:>8} {:>14} {:>9}\n", fmt::format("{}, %", training::score_title(objective)),
             "best", "last", "mean last 10", "pictures");
  std::vector<std::string> groups;
  for (const auto& record : state.history) {
    if (record.scores.empty()) continue;
    groups.clear();
    for (const auto& score : record.scores) groups.push_back(score.group);
  }
  for (std::size_t group = 0; group < groups.size(); ++group)
    print_line(groups[group], training::summarise(state, group));
  if (const auto summary = training::summarise_mean_of_groups(state)) print_line("mean of groups", *summary);
  for (const auto name : training::metric_names_of(objective)) {
    if (const auto summary = training::summarise_metric(state, name)) print_line(name, *summary);
  }
  if (const auto held_out = training::summarise_held_out(state))
    print_line("held out of training", held_out->accuracy);
  if (const auto& scale = state.loss_scale)
    fmt::print("{} of {} steps were skipped for overflow, loss scale {:g}\n", scale->skipped,
               state.global_step, scale->scale);
  if (groups.empty()) fmt::print("the dataset has no test pictures\n");
  fmt::print("{}\n", run.folder.string());
}

// The decisions of the first epoch's first samples, in the order of training: one JSON object per line.
void write_draws(const JobContext& context, augment::TrainingSource& source, std::int64_t count) {
  std::string lines;
  const auto order = source.order(1);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(count, source.size()); ++i) {
    const auto decided = source.decide_only(order[static_cast<std::size_t>(i)], 1);
    lines += training::draw_json(decided.draws, decided.label) + '\n';
  }
  if (!context.options.trace) {
    fmt::print("{}", lines);
    return;
  }
  make_folder(*context.options.trace);
  write_atomically(*context.options.trace / "draws.jsonl", lines);
  log_info("wrote {}", (*context.options.trace / "draws.jsonl").string());
}

void print_plan(const JobContext& context, const TrainingRun& run, std::size_t training, std::size_t tests) {
  const auto& config = context.config.train;
  fmt::print(
      "would train {} ({}) on {} pictures of {} ({} classes), {} epochs of {} steps on {} ranks, evaluate on "
      "{} pictures, into {}\n",
      config.network, run.description.method, training, run.dataset.name, run.dataset.class_names.size(),
      config.epochs, training::Schedule(config, static_cast<std::int64_t>(training)).steps_per_epoch(),
      context.ranks.size(), tests, run.folder.string());
}

ExitCode run(JobContext& context, const TrainOptions& options) {
  const auto& ranks = context.ranks;
  const auto compute = training::plan_compute(context.config.train, context.config.run.threads, ranks);
  const auto run = plan_training_run(context, compute.place.name);
  const auto& config = run.config;
  const bool draws_only = options.trace_draws > 0;
  if (!draws_only && !context.options.dry_run) {
    // Rank 0 decides for all: a slow file system may show the end of a run to one rank sooner than to
    // another.
    auto finished = ranks.is_root() ? training::finished_run(run.folder, run.key) : std::nullopt;
    if (ranks.any(finished.has_value())) {
      log_info("this run has finished already");
      if (finished && !config.train.keep_finished_checkpoints) training::remove_checkpoints(run.folder);
      if (context.options.trace) log_warning("{}", nothing_traced(run.folder));
      if (finished) print_results(run, *finished);
      return ExitCode::done;
    }
  }

  const auto training_pictures = usable_pictures(context, run.dataset, data::Split::train);
  const auto test_pictures = usable_pictures(context, run.dataset, data::Split::test);
  const auto held_out_pictures = usable_pictures(context, run.dataset, data::Split::held_out);
  augment::TrainingSource source(run.dataset, training_pictures, open_pool(context, run, training_pictures),
                                 config.augment, static_cast<std::uint64_t>(config.run.seed),
                                 open_edits(context, run, training_pictures));
  auto* const memory = device::host_memory_for(compute.place.device);
  // Both take what the cache has for pictures to evaluate on, each by its number.
  const auto with_share_of_cache = [&](const std::vector<std::size_t>& pictures) {
    auto augment = config.augment;
    const auto all = test_pictures.size() + held_out_pictures.size();
    if (all > 0) augment.cache_megabytes = augment.cache_megabytes * pictures.size() / all;
    return augment;
  };
  augment::TestSource test_source(run.dataset, test_pictures, with_share_of_cache(test_pictures)),
      held_out_source(run.dataset, held_out_pictures, with_share_of_cache(held_out_pictures));
  const auto samples = training::training_samples(
      source, config.train.batch_size, ranks, compute.threads.composers, config.augment.ring_batches, memory);
  const auto samples_of = [&](augment::TestSource& pictures, const std::vector<std::size_t>& positions) {
    return training::test_samples(pictures, run.dataset, positions, config.train.evaluation_batch, ranks,
                                  compute.threads.composers, config.augment.ring_batches, memory);
  };
  const auto tests = samples_of(test_source, test_pictures),
             held_out = samples_of(held_out_source, held_out_pictures);
  training::check_run(config.train, samples, ranks.size());
  if (draws_only) {
    ranks.agree("writing the draws", [&] {
      if (ranks.is_root()) write_draws(context, source, options.trace_draws);
    });
    return ExitCode::done;
  }
  if (ranks.is_root()) {
    for (const auto& doubt : compute.doubts) log_warning("{}", doubt);
    for (const auto& doubt : training::doubts_about_run(config.train, samples, ranks.size()))
      log_warning("{}", doubt);
  }
  if (context.options.dry_run) {
    if (ranks.is_root()) print_plan(context, run, training_pictures.size(), test_pictures.size());
    return ExitCode::done;
  }

  for (const auto& line : compute.place.lines) log_info("{}", line);
  log_info("training {} ({}) on {} pictures, testing on {}, {} epochs, into {}", config.train.network,
           run.description.method, samples.count, tests.count, config.train.epochs, run.folder.string());
  const training::TrainRequest request{
      .config = config.train,
      .compute = compute,
      .run = run.description,
      .seed = static_cast<std::uint64_t>(config.run.seed),
      .folder = run.folder,
      .trace = context.options.trace,
      .trace_steps = context.options.trace ? context.options.trace_steps : 0};
  write_few_shot_list(context, run.dataset, run.folder);
  const auto state = training::train(ranks, request, samples, tests, held_out);
  if (ranks.is_root()) print_results(run, state);
  return ExitCode::done;
}

}  // namespace

Job make_train_job() {
  const auto options = std::make_shared<TrainOptions>();
  return {.name = "train",
          .summary = "Train a classifier on pictures and their recombined parts",
          .example = "mpirun -n 2 deda train --config configs/demo.toml --set augment.method=deda",
          .add_options =
              [options](CLI::App& app) {
                app.add_option("--trace-draws", options->trace_draws,
                               "write the random decisions of the first N samples as JSON lines (to standard "
                               "output, or into --trace DIR), and end")
                    ->check(CLI::PositiveNumber);
              },
          .run = [options](JobContext& context) { return run(context, *options); }};
}

}  // namespace deda::jobs

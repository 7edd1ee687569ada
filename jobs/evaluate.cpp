// `deda evaluate`: a run's classifier on the pictures of a split, whole and by group.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/escaped_name.h"
#include "core/files.h"
#include "core/log.h"
#include "device/host_memory.h"
#include "io/store/record_store.h"
#include "jobs/training_run.h"
#include "models/layers.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "training/cdp_evaluation.h"
#include "training/compute_plan.h"
#include "training/device.h"
#include "training/evaluation.h"
#include "training/mask_scores.h"
#include "training/objective_names.h"

namespace deda::jobs {
namespace {

constexpr double percent = 100.0;

struct EvaluateOptions {
  std::string weights = "best";
  std::string split = "test";
  std::filesystem::path cdps;   // a store whose CDPs are classified instead of pictures
  std::filesystem::path masks;  // a store whose masks are scored
};

data::Split split_named(const std::string& name) {
  return name == "train"        ? data::Split::train
         : name == "validation" ? data::Split::validation
         : name == "held_out"   ? data::Split::held_out
                                : data::Split::test;
}

std::string to_json(const TrainingRun& run, const EvaluateOptions& options,
                    const std::filesystem::path& weights, const training::Evaluation& evaluation) {
  nlohmann::ordered_json groups = nlohmann::ordered_json::object(), metrics = groups, mean;
  for (const auto& score : evaluation.scores)
    groups[score.group] = {
        {"accuracy", percent * score.accuracy()}, {"correct", score.correct}, {"images", score.total}};
  for (const auto& metric : evaluation.metrics) metrics[metric.name] = percent * metric.value;
  if (const auto share = training::mean_of_groups(evaluation.scores)) mean = percent * *share;
  return nlohmann::ordered_json{{"schema", "deda-evaluation-1"},
                                {"dataset", run.dataset.name},
                                {"split", options.split},
                                {"network", run.description.network},
                                {"weights", path_text(weights)},
                                {"objective", std::string{training::name_of(run.config.train.objective)}},
                                {"groups", groups},
                                {"mean_of_groups", mean},
                                {"metrics", metrics}}
             .dump(2) +
         "\n";
}

void print_scores(const TrainingRun& run, const training::Evaluation& evaluation) {
  const auto title = fmt::format("{}, %", training::score_title(run.config.train.objective));
  fmt::print("{:<24} {:>17} {:>9} {:>9}\n", "group", title, "correct", "pictures");
  for (const auto& score : evaluation.scores)
    fmt::print("{:<24} {:>17.2f} {:>9} {:>9}\n", score.group, percent * score.accuracy(), score.correct,
               score.total);
  if (const auto share = training::mean_of_groups(evaluation.scores))
    fmt::print("{:<24} {:>17.2f}\n", "mean of groups", percent * *share);
  for (const auto& metric : evaluation.metrics)
    fmt::print("{:<24} {:>17.2f}\n", metric.name, percent * metric.value);
}

void print_cdp_scores(const std::vector<training::CdpScore>& scores) {
  fmt::print("{:<16} {:>9} {:>10} {:>9} {:>9}\n", "CDPs", "strength", "top-1, %", "correct", "CDPs");
  for (const auto& score : scores)
    fmt::print("{:<16} {:>9.2f} {:>10.2f} {:>9} {:>9}\n",
               score.version == 0 ? std::string{"real"} : fmt::format("synthetic {}", score.version),
               score.strength,
               percent * static_cast<double>(score.correct) / static_cast<double>(score.total), score.correct,
               score.total);
}

void save_cdp_scores(const std::filesystem::path& file, const std::filesystem::path& store,
                     const std::filesystem::path& weights, const std::vector<training::CdpScore>& scores) {
  nlohmann::ordered_json versions = nlohmann::ordered_json::array();
  for (const auto& score : scores)
    versions.push_back(
        {{"version", score.version},
         {"strength", score.strength},
         {"accuracy", percent * static_cast<double>(score.correct) / static_cast<double>(score.total)},
         {"correct", score.correct},
         {"cdps", score.total}});
  const nlohmann::ordered_json json{{"schema", "deda-cdp-evaluation-1"},
                                    {"store", path_text(store)},
                                    {"weights", path_text(weights)},
                                    {"versions", versions}};
  write_atomically(file, json.dump(2) + "\n");
}

// How many are doubtful, and the worst.
void print_mask_scores(std::vector<training::MaskScore> scores, const std::vector<std::string>& sources) {
  constexpr std::size_t most_listed = 10;
  constexpr double doubtful = 0.5;
  const auto quality = [](const training::MaskScore& score) {
    return score.cdp_keeps * (1 - score.cip_keeps);
  };
  std::stable_sort(scores.begin(), scores.end(),
                   [&](const auto& a, const auto& b) { return quality(a) < quality(b); });
  double sum = 0;
  std::int64_t low = 0;
  for (const auto& score : scores) {
    sum += quality(score);
    low += quality(score) < doubtful;
  }
  fmt::print("{} masks, mean score {:.3f}, {} below {}\n", scores.size(),
             scores.empty() ? 0.0 : sum / static_cast<double>(scores.size()), low, doubtful);
  for (std::size_t i = 0; i < std::min(most_listed, scores.size()); ++i)
    fmt::print("  {:.3f}  CDP keeps {:.3f}, CIP keeps {:.3f}  {}\n", quality(scores[i]), scores[i].cdp_keeps,
               scores[i].cip_keeps, sources.at(static_cast<std::size_t>(scores[i].item)));
}

ExitCode run(JobContext& context, const EvaluateOptions& options) {
  const auto& ranks = context.ranks;
  const auto run = plan_training_run(context);
  const auto& config = run.config;
  const bool of_run = options.weights == "best" || options.weights == "last";
  const std::filesystem::path weights =
      of_run ? run.folder / (options.weights + ".safetensors") : std::filesystem::path(options.weights);

  const auto compute = training::plan_compute(config.train, config.run.threads, ranks);
  const auto device = compute.place.device;
  training::apply_torch_threads(compute.threads.torch);
  training::apply_precision(config.train.precision);
  training::apply_kernels(config.train.kernels, device);
  const auto network = models::make_classifier(
      config.train.network,
      models::ClassifierOptions{.classes = static_cast<std::int64_t>(run.dataset.class_names.size()),
                                .side = config.augment.crop});
  ranks.agree("loading the weights", [&] {
    if (!std::filesystem::exists(weights)) {
      throw DataError("there are no such weights", weights.string(),
                      of_run ? "Train first with the same configuration, or name a file with --weights."
                             : "Check the path given with --weights.");
    }
    for (const auto& note : models::load_weights(*network, weights))
      log_info("{}: {}", weights.string(), note);
  });
  network->to(device);
  if (training::use_channels_last(config.train, device)) models::use_channels_last(*network);

  const auto results_folder = of_run ? run.folder : std::filesystem::absolute(weights).parent_path();
  const auto weights_name = of_run ? options.weights : weights.stem().string();
  if (!options.cdps.empty()) {
    std::optional<io::StoreReader> store;
    ranks.agree("opening the store", [&] { store.emplace(options.cdps); });
    if (store->description().class_names != run.dataset.class_names)
      throw DataError("holds CDPs of other classes than the classifier's", options.cdps.string());
    if (context.options.dry_run) return ExitCode::done;
    const auto cdp_scores = training::evaluate_cdps(*network, *store, static_cast<int>(config.augment.crop),
                                                    ranks, device, config.train);
    ranks.agree("saving the evaluation", [&] {
      if (!ranks.is_root()) return;
      print_cdp_scores(cdp_scores);
      const auto file = results_folder / fmt::format("evaluation-{}-{}.json", weights_name,
                                                     store->folder().filename().string());
      save_cdp_scores(file, options.cdps, weights, cdp_scores);
      fmt::print("{}\n", file.string());
    });
    return ExitCode::done;
  }

  if (!options.masks.empty()) {
    std::optional<io::StoreReader> store;
    ranks.agree("opening the store", [&] { store.emplace(options.masks); });
    if (store->description().class_names != run.dataset.class_names)
      throw DataError("holds parts of other classes than the classifier's", options.masks.string());
    if (context.options.dry_run) return ExitCode::done;
    const auto mask_scores = training::score_masks(*network, *store, augment::geometry_of(config.augment),
                                                   ranks, device, config.train);
    ranks.agree("saving the scores", [&] {
      if (!ranks.is_root()) return;
      print_mask_scores(mask_scores, store->description().sources);
      const auto file = options.masks / "mask_scores.csv";
      write_atomically(file, training::to_csv(mask_scores, store->description().sources));
      fmt::print("{}\n", file.string());
    });
    return ExitCode::done;
  }

  const auto pictures = usable_pictures(context, run.dataset, split_named(options.split));
  augment::TestSource source(run.dataset, pictures, config.augment);
  const auto samples = training::test_samples(source, run.dataset, pictures, config.train.evaluation_batch,
                                              ranks, compute.threads.composers, config.augment.ring_batches,
                                              device::host_memory_for(device));
  if (context.options.dry_run) {
    if (ranks.is_root())
      fmt::print("would evaluate {} on {} pictures of split {}\n", weights.string(), samples.count,
                 options.split);
    return ExitCode::done;
  }
  const auto evaluation = training::evaluate(*network, samples, ranks, device, config.train);
  ranks.agree("saving the evaluation", [&] {
    if (!ranks.is_root()) return;
    print_scores(run, evaluation);
    const auto file = results_folder / fmt::format("evaluation-{}-{}.json", weights_name, options.split);
    write_atomically(file, to_json(run, options, weights, evaluation));
    fmt::print("{}\n", file.string());
  });
  return ExitCode::done;
}

}  // namespace

Job make_evaluate_job() {
  const auto options = std::make_shared<EvaluateOptions>();
  return {.name = "evaluate",
          .summary = "Measure a trained classifier on a split, whole and by group",
          .example = "deda evaluate --config configs/demo.toml --weights best",
          .add_options =
              [options](CLI::App& app) {
                app.add_option("--weights", options->weights,
                               "best or last of the configured run, or a safetensors file (default best)");
                app.add_option("--split", options->split,
                               "test, validation, train, or held_out, the training pictures of "
                               "train.held_out (default test)")
                    ->check(CLI::IsMember({"test", "validation", "train", "held_out"}));
                app.add_option("--cdps", options->cdps,
                               "a store of `deda decouple` or `deda generate`: classify its CDPs, alone on "
                               "grey, per version");
                app.add_option(
                    "--masks", options->masks,
                    "a store of `deda decouple`: score its masks (the CDP alone should keep the class, "
                    "the CIP alone lose it) into mask_scores.csv there, for the review page");
              },
          .run = [options](JobContext& context) { return run(context, *options); }};
}

}  // namespace deda::jobs

// `deda diversity`: how far augmented pictures are from their sources (the paper's figure 5b).
#include "report/diversity.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>

#include "augment/sample_source.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "core/log.h"
#include "core/random.h"
#include "data/picture.h"
#include "jobs/method_list.h"
#include "jobs/training_run.h"
#include "jobs/worker_threads.h"
#include "pipeline/settings.h"

namespace deda::jobs {
namespace {

struct DiversityOptions {
  std::string methods;  // a list, separated by blanks or commas; empty: the configured one
  bool without_mix = false;
  std::int64_t pairs = 2000, versions = 4;
  std::optional<std::uint64_t> seed;
};

// One line of the table, before anything is read.
struct Listed {
  std::string title;
  JobContext context;
};

// Pairs are of samples that are combinations, each of its own picture's CDP: whether and of which anchor a
// sample is one changes nothing about those that are.
void compare_every_picture(augment::AugmentConfig& config) {
  config.p_aug = 1;
  config.anchor = augment::AnchorChoice::sample;
}

std::vector<Listed> listed_methods(const JobContext& context, const DiversityOptions& options) {
  const auto words = words_of(options.methods);
  std::vector<Listed> listed;
  std::vector<Problem> problems;
  for (std::size_t i = 0; i < std::max<std::size_t>(1, words.size()); ++i) {
    const auto settings = words.empty() ? std::vector<std::string>{} : settings_of_method(words[i]);
    auto with = with_settings(context, settings);
    compare_every_picture(with.config.augment);
    const auto title = words.empty() ? pipeline::method_name(pipeline::effective(with.config)) : words[i];
    const auto& augment = pipeline::effective(with.config).augment;
    if (augment.method != augment::Method::deda || augment.mixing.chosen >= 0) {
      problems.push_back({fmt::format("{} does not combine parts of a picture into others", title),
                          "augment.method", "De-DA's samples are compared: deda, deda-real."});
      continue;
    }
    listed.push_back({title, with});
    if (!options.without_mix || augment.p_mix == 0) continue;
    with.config.augment.p_mix = 0;
    listed.push_back({title + " without mix", with});
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return listed;
}

// A method with what its pictures are made of.
struct Compared {
  report::AugmentedPictures pictures;
  std::vector<bool> has;  // by place in the training list: whether the picture gives pairs
};

// De-DA's samples, composed on the canvas of training (src/augment), before augment.policy. A generative
// peer's would be the versions of a picture in its store (record kind `picture`), resized as a test's picture
// is, with `has` from the store's sources: another function that returns a Compared.
Compared combined_pictures(const Listed& listed, std::shared_ptr<const TrainingRun> run,
                           std::shared_ptr<const std::vector<std::size_t>> training, std::uint64_t seed,
                           std::int64_t cache_megabytes) {
  auto config = run->config.augment;
  config.cache_megabytes = cache_megabytes;
  auto pool = open_pool(listed.context, *run, *training);
  Compared compared;
  const bool in_place = config.placement == augment::Placement::in_place;
  for (std::size_t item = 0; item < pool.size(); ++item) {
    bool has = false;
    for (std::size_t label = 0; label < pool.labels(item); ++label)
      has = has || !in_place || pool.knows_place(item, label);
    compared.has.push_back(has);
  }
  const auto samples =
      std::make_shared<augment::TrainingSource>(run->dataset, *training, std::move(pool), config, seed);
  compared.pictures.method = listed.title;
  compared.pictures.source = [run, training](std::size_t item) {
    const auto picture = data::load_picture(run->dataset, run->dataset.items[training->at(item)]);
    return augment::centre_square(augment::geometry_of(run->config.augment), picture.image);
  };
  compared.pictures.augmented = [run, samples](std::size_t item,
                                               std::int64_t version) -> std::optional<io::Image> {
    // A sample may stay natural in an epoch (augment.real_cdps = untouched). Each version has epochs of its
    // own to find one in which it does not; with p_syn = 0.25 all fail once in 10^8.
    constexpr std::uint32_t epochs_per_version = 64;
    augment::ComposerScratch scratch;
    augment::Draws draws;
    std::vector<float> label(static_cast<std::size_t>(samples->classes()));
    io::Image picture(samples->side(), samples->side(), 3);
    for (std::uint32_t epoch = 0; epoch < epochs_per_version; ++epoch) {
      samples->render_before_policy(static_cast<std::int64_t>(item),
                                    static_cast<std::uint32_t>(version) * epochs_per_version + epoch, scratch,
                                    picture.pixels.data(), label.data(), draws);
      if (augment::combination_of(draws) != nullptr) return picture;
    }
    return std::nullopt;
  };
  return compared;
}

// Pictures that all methods have, in an order that follows from the seed alone.
std::vector<std::size_t> common_items(const std::vector<Compared>& methods, std::size_t training,
                                      std::uint64_t seed) {
  // Epochs of training begin at 1.
  const auto order = permutation(static_cast<std::uint32_t>(training), {seed, Purpose::shuffle, 0, 0});
  std::vector<std::size_t> items;
  for (const std::size_t item : order) {
    if (std::all_of(methods.begin(), methods.end(), [&](const auto& method) { return method.has.at(item); }))
      items.push_back(item);
  }
  return items;
}

void save(const JobContext& context, const TrainingRun& run, const std::vector<std::size_t>& training,
          const std::vector<report::Diversity>& measured) {
  std::vector<report::DiversitySummary> summaries;
  for (const auto& diversity : measured) {
    summaries.push_back(report::summarize(diversity));
    if (diversity.missing > 0)
      log_warning("{}: {} pairs are missing, because their samples stayed natural", diversity.method,
                  diversity.missing);
    if (diversity.equal_versions > 0)
      log_warning("{}: {} times two versions of one source are equal; they are in no mean", diversity.method,
                  diversity.equal_versions);
  }
  std::vector<std::string> sources;
  for (const std::size_t position : training) sources.push_back(run.dataset.items[position].path);
  const auto& folder = context.config.run.output;
  make_folder(folder);
  write_atomically(folder / "diversity.csv", report::summary_csv(summaries, run.dataset.name));
  write_atomically(folder / "diversity-pairs.csv", report::pairs_csv(measured, sources));
  write_atomically(folder / "diversity.svg", report::diversity_svg(summaries, run.dataset.name));
  fmt::print("{}", report::to_text(summaries));
  for (const char* name : {"diversity.csv", "diversity-pairs.csv", "diversity.svg"})
    fmt::print("{}\n", path_text(folder / name));
}

ExitCode run(JobContext& context, const DiversityOptions& options) {
  const auto& ranks = context.ranks;
  const auto listed = listed_methods(context, options);
  const auto seed = options.seed.value_or(static_cast<std::uint64_t>(context.config.run.seed));
  const auto cache = context.config.augment.cache_megabytes / static_cast<std::int64_t>(listed.size());
  std::shared_ptr<const TrainingRun> first;
  std::shared_ptr<const std::vector<std::size_t>> training;
  std::vector<Compared> methods;
  for (const auto& method : listed) {
    const auto run = std::make_shared<const TrainingRun>(plan_training_run(method.context));
    if (!training) {
      first = run;
      training = std::make_shared<const std::vector<std::size_t>>(
          usable_pictures(context, run->dataset, data::Split::train));
    }
    methods.push_back(combined_pictures(method, run, training, seed, cache));
  }
  const report::DiversityRequest request{.items = common_items(methods, training->size(), seed),
                                         .pairs = options.pairs,
                                         .versions = options.versions};
  if (request.items.empty())
    throw DataError("no training picture has parts for every method of the list", first->store.string(),
                    "`deda inspect` shows why.");
  if (context.options.dry_run) {
    if (ranks.is_root())
      fmt::print("would compare {} pairs of {} pictures for each of {} methods, at {} x {} pixels\n",
                 options.pairs, request.items.size(), methods.size(), first->config.augment.crop,
                 first->config.augment.crop);
    return ExitCode::done;
  }
  const int threads = worker_threads(ranks, context.config.run.threads);
  std::vector<report::Diversity> measured;
  for (const auto& method : methods) {
    log_info("{}: {} pairs of {} pictures", method.pictures.method, options.pairs, request.items.size());
    measured.push_back(report::measure_diversity(ranks, method.pictures, request, threads));
    if (measured.back().pairs.empty())
      throw DataError(fmt::format("{}: every sample stays a natural picture", method.pictures.method),
                      first->store.string(), "`deda inspect` shows whether there is a CIP.");
  }
  ranks.agree("saving the comparison", [&] {
    if (ranks.is_root()) save(context, *first, *training, measured);
  });
  return ExitCode::done;
}

}  // namespace

Job make_diversity_job() {
  const auto options = std::make_shared<DiversityOptions>();
  return {.name = "diversity",
          .summary = "How far augmented pictures are from their sources: PSNR, SSIM (the paper's figure 5b)",
          .example = "deda diversity --config configs/demo.toml --methods deda,deda-real --without-mix",
          .add_options =
              [options](CLI::App& app) {
                app.add_option("--methods", options->methods,
                               "compare these: deda, deda-real (De-DA without synthetic CDPs); default: the "
                               "configured one");
                app.add_flag("--without-mix", options->without_mix,
                             "each also with augment.p_mix=0, so that one CDP is pasted");
                app.add_option("--pairs", options->pairs,
                               "sources and samples that are compared (default 2000)")
                    ->check(CLI::Range(std::int64_t{1}, std::int64_t{10'000'000}));
                app.add_option("--versions", options->versions,
                               "samples of one source that are compared with each other (default 4; 0: none)")
                    ->check(CLI::Range(std::int64_t{0}, std::int64_t{64}));
                app.add_option("--seed", options->seed, "of sources and samples (default run.seed)");
              },
          .run = [options](JobContext& context) { return run(context, *options); }};
}

}  // namespace deda::jobs

#include "jobs/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "decoupling/decouple.h"
#include "io/record_store.h"
#include "jobs/diffusion_run.h"

namespace deda::jobs {
namespace {

namespace fs = std::filesystem;

bool uses_parts(const PipelineConfig& config) {
  return config.augment.method != augment::Method::plain;
}

fs::path store_folder(const PipelineConfig& config, const data::Dataset& dataset) {
  if (!config.train.store.empty()) return config.train.store;
  return stage_folder(config.run.output, "decouple", decoupling::decouple_identity(dataset, config.decouple));
}

bool uses_synthetic(const PipelineConfig& config) {
  return uses_parts(config) && config.augment.p_syn > 0 && config.train.synthetic_store != "none";
}

fs::path synthetic_folder(const PipelineConfig& config, const data::Dataset& dataset) {
  if (!config.train.synthetic_store.empty()) return config.train.synthetic_store;
  return plan_diffusion_run(config, dataset).synthetic;
}

constexpr const char* without_parts =
    "Run `deda decouple` with the same configuration first, or name a store in train.store.";
constexpr const char* without_synthetic =
    "Run `deda generate` with the same configuration first, name a store in train.synthetic_store, or train "
    "on real CDPs alone with augment.p_syn=0.";

// What the store was made of: equal text, equal content (src/io/README.md).
std::string store_identity(const fs::path& folder, const char* what, const char* hint) {
  if (!fs::exists(folder / "manifest.json"))
    throw DataError(fmt::format("there is no store of {}", what), folder.string(), hint);
  const io::StoreReader store(folder);
  const auto& made_of = store.description();
  std::string text = made_of.stage + '\n' + made_of.configuration + '\n' + made_of.dataset + '\n';
  for (const auto& source : made_of.sources) text += source + '\n';
  return text;
}

std::string weights_identity(const fs::path& file) {
  if (file.empty()) return "from scratch";
  const auto bytes = read_bytes(file);
  return std::to_string(xxhash64(bytes)) + " of " + std::to_string(bytes.size()) + " bytes";
}

// "deda-real": without synthetic CDPs, an ablation of the paper.
std::string method_name(const PipelineConfig& config) {
  if (!uses_parts(config)) return "plain";
  return uses_synthetic(config) ? "deda" : "deda-real";
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TrainingRun plan_training_run(const JobContext& context) {
  const auto& config = context.config;
  TrainingRun run;
  std::vector<std::string> notes;
  context.ranks.agree("reading the dataset",
                      [&] { run.dataset = data::load_dataset(config.dataset, {}, &notes); });
  for (const auto& note : notes) {
    if (context.ranks.is_root()) log_warning("{}", note);
  }
  // Rank 0 reads store and weights; one file need not be hashed by all.
  std::string content, masks;  // masks: a line per source
  context.ranks.agree("looking at store and weights", [&] {
    if (uses_parts(config)) run.store = store_folder(config, run.dataset);
    if (!context.ranks.is_root()) return;
    std::vector<Problem> problems;
    const auto collect = [&](const auto& work) {
      try {
        content += work() + '\n';
      } catch (const Error& error) {
        problems.insert(problems.end(), error.problems().begin(), error.problems().end());
      }
    };
    if (uses_parts(config)) collect([&] { return store_identity(run.store, "parts", without_parts); });
    if (uses_synthetic(config)) {
      collect([&] {
        try {
          run.synthetic = synthetic_folder(config, run.dataset);
        } catch (const Error& error) {  // not even its name can be told: the diffusion model is not there
          auto told = error.problems();
          told.push_back({"the store of synthetic CDPs cannot be found", {}, without_synthetic});
          throw DataError(std::move(told));
        }
        return store_identity(run.synthetic, "synthetic CDPs", without_synthetic);
      });
    }
    collect([&] { return weights_identity(config.train.weights); });
    if (!problems.empty()) throw DataError(std::move(problems));
    if (uses_parts(config)) {
      const io::StoreReader parts(run.store);
      for (const std::string& route : parts.description().routes) masks += route + '\n';
    }
  });
  masks = context.ranks.broadcast(std::move(masks));
  content = context.ranks.broadcast(std::move(content));
  run.synthetic = context.ranks.broadcast(run.synthetic.string());
  const std::string text = canonical_config(config, {"augment", "train"}) + '\n' +
                           std::to_string(config.run.seed) + '\n' + data::dataset_identity(run.dataset) +
                           '\n' + content;
  run.identity = xxhash128_hex(text);
  run.folder = stage_folder(config.run.output, "train", run.identity);
  run.description = {.name = config.run.name,
                     .method = method_name(config),
                     .network = config.train.network,
                     .dataset = run.dataset.name,
                     .seed = config.run.seed,
                     .epochs = config.train.epochs,
                     .ranks = context.ranks.size(),
                     .masks = split_lines(masks),
                     .groups = {}};
  return run;
}

std::vector<std::size_t> usable_pictures(const JobContext& context, const data::Dataset& dataset,
                                         data::Split split) {
  constexpr std::size_t most_listed = 20;
  std::vector<std::string> problems;
  auto usable = augment::readable_pictures(context.ranks, dataset, dataset.indices(split), problems);
  if (context.ranks.is_root()) {
    for (std::size_t i = 0; i < std::min(most_listed, problems.size()); ++i)
      log_warning("left out: {}", problems[i]);
    if (problems.size() > most_listed)
      log_warning("... and {} more pictures left out", problems.size() - most_listed);
  }
  return usable;
}

augment::PartPool open_pool(const JobContext& context, const TrainingRun& run,
                            const std::vector<std::size_t>& training) {
  augment::PartPool pool;
  if (run.store.empty()) return pool;
  const auto& limits = context.config.augment;
  context.ranks.agree("opening the stores of parts", [&] {
    std::vector<io::StoreReader> stores{io::StoreReader(run.store)};
    if (!run.synthetic.empty()) stores.emplace_back(run.synthetic);
    pool =
        augment::PartPool(run.dataset, training, stores,
                          {.min_mask_share = limits.min_mask_share, .max_mask_share = limits.max_mask_share});
  });
  if (context.ranks.is_root()) log_info("{}", pool.summary());
  return pool;
}

}  // namespace deda::jobs

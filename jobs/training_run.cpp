#include "jobs/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "core/log.h"
#include "diffusion/peers/clip_filter.h"
#include "io/store/record_store.h"
#include "jobs/planning.h"
#include "pipeline/settings.h"

namespace deda::jobs {
namespace {

constexpr const char* without_parts =
    "Run `deda decouple` with the same configuration first, or name a store in train.store.";
constexpr const char* without_synthetic =
    "Run `deda generate` with the same configuration first, name a store in train.synthetic_store, or train "
    "on real CDPs alone with augment.p_syn=0.";

constexpr const char* without_edits =
    "Run `deda generate` with the same configuration first, or name a store in train.synthetic_store.";

// Rank 0: a finished store at its place in the plan.
void require_store(const pipeline::Node* node, const char* what, const char* hint,
                   std::vector<Problem>& problems) {
  if (node == nullptr) return;
  const auto folder = node->folder.string();
  if (!std::filesystem::exists(node->folder / "manifest.json"))
    problems.push_back({fmt::format("there is no store of {}", what), folder, hint});
  else if (!io::store_is_complete(node->folder))
    problems.push_back({fmt::format("the store of {} is not finished", what), folder, hint});
}

// De-DA without parts is training on natural pictures under another name.
void check_pool(const augment::PartPool& pool, const TrainingRun& run) {
  if (run.config.augment.allow_empty) return;
  if (pool.anchors().order.empty())
    throw DataError("no training picture has a usable part: " + pool.summary(), run.store.string(),
                    "`deda inspect` shows why. Set augment.method=plain, or augment.allow_empty=true.");
  if (!run.synthetic.empty() && pool.synthetic() == 0)
    throw DataError("holds no synthetic CDP of a training picture", run.synthetic.string(),
                    "`deda inspect` shows why. Set augment.p_syn=0 to train on real CDPs alone, or "
                    "augment.allow_empty=true.");
}

void tell_classes_without_parts(const augment::PartPool& pool, const data::Dataset& dataset,
                                const std::vector<std::size_t>& training) {
  constexpr std::size_t most_named = 10;
  std::set<std::int32_t> present, with_parts;
  for (std::size_t item = 0; item < pool.size(); ++item) {
    const auto& labels = dataset.items[training[item]].labels;
    present.insert(pool.class_of(item));
    if (dataset.multi_label) present.insert(labels.begin(), labels.end());
    for (std::size_t label = 0; label < pool.labels(item); ++label)
      with_parts.insert(pool.label_class(item, label));
  }
  std::vector<std::string> names;
  std::size_t without = 0;
  for (const std::int32_t id : present) {
    if (with_parts.count(id) == 0 && ++without <= most_named)
      names.push_back(dataset.class_names.at(static_cast<std::size_t>(id)));
  }
  if (without > 0)
    log_warning("{} of {} classes have no usable part and see natural pictures alone: {}{}", without,
                present.size(), fmt::join(names, ", "), without > most_named ? ", ..." : "");
}

// What the filter leaves of a store, by record; empty: all of it.
struct FilteredEdits {
  std::vector<bool> kept;
  std::string told;  // for the log
};

FilteredEdits filter_edits(const io::StoreReader& store, const generative::TrainingUse& use,
                           generative::Filter filter) {
  FilteredEdits edits;
  if (filter == generative::Filter::none || !use.filtered) return edits;
  diffusion::ScoredPictures scored;
  scored.class_names = store.description().class_names;
  for (std::size_t record = 0; record < store.size(); ++record) {
    const auto info = store.at(record).info;
    if (info.clip_score == io::not_measured)
      throw DataError("was made without CLIP scores, and training goes by them", store.folder().string(),
                      "Make it anew, or set the filter of the peer to \"none\".");
    scored.scores.push_back(static_cast<double>(info.clip_score));
    scored.classes.push_back(info.target_class);
  }
  const auto result = filter == generative::Filter::above_chance
                          ? diffusion::keep_above_chance(scored)
                          : diffusion::drop_lowest(scored, use.drop_lowest);
  edits.kept = result.kept;
  edits.told = "filter: " + result.summary();
  return edits;
}

void tell_classes_without_edits(const augment::EditPool& pool, const data::Dataset& dataset) {
  constexpr std::size_t most_named = 10;
  const auto without = pool.classes_without();
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(without.size(), most_named); ++i)
    names.push_back(dataset.class_names.at(static_cast<std::size_t>(without[i])));
  if (!without.empty())
    log_warning("{} classes have no usable edit: {}{}", without.size(), fmt::join(names, ", "),
                without.size() > most_named ? ", ..." : "");
}

}  // namespace

TrainingRun plan_training_run(const JobContext& context, const std::string& device) {
  using pipeline::Stage;
  const auto plan = make_plan(context, Stage::train);
  const auto& node = plan.at(Stage::train);
  const auto *parts = plan.find(Stage::decouple), *synthetic = plan.find(Stage::generate);
  TrainingRun run;
  run.config = pipeline::effective(context.config);
  run.dataset = load_dataset_to_learn_from(context);
  run.dataset.multi_label = run.config.train.objective == training::ObjectiveChoice::multi_label;
  run.key = node.key;
  run.folder = node.folder;
  if (parts != nullptr) run.store = parts->folder;
  if (synthetic != nullptr) run.synthetic = synthetic->folder;
  std::string routes;  // of the masks, a line per source
  context.ranks.agree("looking at the stores", [&] {
    if (!context.ranks.is_root()) return;
    std::vector<Problem> problems;
    require_store(parts, "parts", without_parts, problems);
    const bool edits = pipeline::uses_edits(run.config);
    require_store(synthetic, edits ? "edited pictures" : "synthetic CDPs",
                  edits ? without_edits : without_synthetic, problems);
    if (!problems.empty()) throw DataError(std::move(problems));
    if (parts == nullptr) return;
    for (const std::string& route : io::read_description(parts->folder).routes) routes += route + '\n';
  });
  std::vector<std::string> masks;
  std::istringstream lines(context.ranks.broadcast(std::move(routes)));
  for (std::string line; std::getline(lines, line);) masks.push_back(line);
  const auto& config = run.config;
  run.description = {.name = config.run.name,
                     .method = pipeline::method_name(config),
                     .network = config.train.network,
                     .dataset = run.dataset.test_name.empty()
                                    ? run.dataset.name
                                    : run.dataset.name + ", tested on " + run.dataset.test_name,
                     .seed = config.run.seed,
                     .epochs = config.train.epochs,
                     .ranks = context.ranks.size(),
                     .masks = std::move(masks),
                     .groups = {},
                     .made_of = provenance_of(plan, node, device),
                     .held_out = config.train.held_out,
                     .objective = config.train.objective};
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
  const auto& config = run.config;
  augment::PoolLimits limits{.min_mask_share = config.augment.min_mask_share,
                             .max_mask_share = config.augment.max_mask_share,
                             .min_background = config.augment.min_background,
                             .paste_on = config.augment.paste_on};
  // A store that a setting names is used whole.
  if (config.train.synthetic_store.empty())
    limits.most_version = static_cast<std::int32_t>(config.generate.copies);
  context.ranks.agree("opening the stores of parts", [&] {
    std::vector<io::StoreReader> stores{io::StoreReader(run.store)};
    if (!run.synthetic.empty()) stores.emplace_back(run.synthetic);
    pool = augment::PartPool(run.dataset, training, stores, limits);
  });
  if (context.ranks.is_root()) {
    log_info("{}", pool.summary());
    tell_classes_without_parts(pool, run.dataset, training);
  }
  check_pool(pool, run);
  return pool;
}

augment::EditPool open_edits(const JobContext& context, const TrainingRun& run,
                             const std::vector<std::size_t>& training) {
  augment::EditPool pool;
  if (!pipeline::uses_edits(run.config)) return pool;
  const auto& use = run.config.augment.edits();
  std::string told;
  context.ranks.agree("opening the store of edited pictures", [&] {
    const io::StoreReader store(run.synthetic);
    const auto filtered = filter_edits(store, use, pipeline::peer_of(run.config).filter);
    told = filtered.told;
    pool = augment::EditPool(run.dataset, training, store, use, filtered.kept);
    if (pool.size() == 0 && !run.config.augment.allow_empty)
      throw DataError("holds no edit of a training picture that may be used: " + pool.summary(),
                      run.synthetic.string(),
                      "`deda inspect` shows why. Set augment.method=plain, or augment.allow_empty=true.");
  });
  if (context.ranks.is_root()) {
    if (!told.empty()) log_info("{}", told);
    log_info("{}", pool.summary());
    tell_classes_without_edits(pool, run.dataset);
  }
  return pool;
}

}  // namespace deda::jobs

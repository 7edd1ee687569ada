#include "jobs/planning.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/processor.h"
#include "data/held_out.h"
#include "data/same_everywhere.h"
#include "jobs/version.h"

namespace deda::jobs {

pipeline::Plan make_plan(const JobContext& context, pipeline::Stage target, bool tells_notes) {
  std::string text;
  context.ranks.agree("planning the stages", [&] {
    if (!context.ranks.is_root()) return;
    FileDigests digests;
    const auto plan = pipeline::plan_of(context.config, target, digests);
    if (!digests.save()) log_warning("{}", FileDigests::not_kept());
    if (tells_notes) {
      for (const auto& note : plan.notes) log_warning("{}", note);
    }
    text = pipeline::to_json(plan);
  });
  return pipeline::plan_from(context.ranks.broadcast(std::move(text)));
}

Provenance provenance_of(const pipeline::Plan& plan, const pipeline::Node& node, const std::string& device) {
  Provenance provenance = plan.provenance_of(node);
  provenance.code_version = code_version();
  provenance.processor = device.empty() ? processor_name() : device;
  return provenance;
}

data::Dataset load_dataset(const JobContext& context) {
  data::Dataset dataset;
  context.ranks.agree("reading the dataset", [&] { dataset = data::load_dataset(context.config.dataset); });
  data::require_same_everywhere(context.ranks, dataset);
  return dataset;
}

data::Dataset load_dataset_to_learn_from(const JobContext& context) {
  constexpr std::size_t most_named = 10;
  auto dataset = load_dataset(context);
  const auto& config = context.config.train;
  if (config.held_out == 0) return dataset;
  const auto held_out =
      data::hold_out(dataset, config.held_out, static_cast<std::uint64_t>(config.held_out_seed));
  if (held_out.pictures == 0)
    throw DataError("no class has two training pictures, so that none can be held out", dataset.name,
                    "Set train.held_out = 0.");
  if (!context.ranks.is_root()) return dataset;
  log_info("{} training pictures are held out, {} are learnt from", held_out.pictures,
           dataset.indices(data::Split::train).size());
  const auto& without = held_out.classes_without;
  if (!without.empty()) {
    const std::vector<std::string> named(
        without.begin(), without.begin() + static_cast<std::ptrdiff_t>(std::min(most_named, without.size())));
    log_warning("{} classes have one training picture, which is not held out: {}{}", without.size(),
                fmt::join(named, ", "), without.size() > most_named ? ", ..." : "");
  }
  return dataset;
}

void write_few_shot_list(const JobContext& context, const data::Dataset& dataset,
                         const std::filesystem::path& folder) {
  if (context.config.dataset.images_per_class == 0) return;
  context.ranks.agree("writing the list of pictures", [&] {
    if (!context.ranks.is_root()) return;
    make_folder(folder);
    write_atomically(folder / data::few_shot_list_name, data::few_shot_list(dataset));
  });
}

}  // namespace deda::jobs

#include "jobs/planning.h"

#include "core/log.h"
#include "core/processor.h"
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

}  // namespace deda::jobs

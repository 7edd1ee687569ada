#include "decoupling/networks/box_sources.h"

#include "core/error.h"
#include "decoupling/needed_networks.h"
#include "decoupling/networks/adapters.h"
#include "decoupling/networks/box_masks.h"
#include "decoupling/networks/text_masks.h"

namespace deda::decoupling {

namespace {

std::shared_ptr<const BoxSegmenter> segmenter_of(NetworkPool& pool, const DecoupleConfig& config) {
  return pool.get<BoxSegmenter>(config.sam, [&] { return load_sam(config.sam, pool.place); });
}

std::unique_ptr<MaskSource> make_text_masks(const DecoupleConfig& config, const data::Dataset& dataset,
                                            const std::shared_ptr<NetworkPool>& pool) {
  require_networks(config, "text_box_sam");
  std::vector<Problem> problems;
  std::shared_ptr<const TextDetector> detector;
  std::shared_ptr<const BoxSegmenter> segmenter;
  const auto collecting = [&](auto&& load) {
    try {
      load();
    } catch (const Error& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  };
  collecting([&] {
    detector = pool->get<TextDetector>(config.grounding_dino, [&] {
      return load_grounding_dino(config.grounding_dino, pool->place, detector_rules(config));
    });
  });
  collecting([&] { segmenter = segmenter_of(*pool, config); });
  if (!problems.empty()) throw DataError(std::move(problems));
  return std::make_unique<TextMasks>(config, dataset, detector, segmenter, pool);
}

}  // namespace

void register_box_sources(const std::shared_ptr<NetworkPool>& pool) {
  register_mask_source("box_sam", [pool](const DecoupleConfig& own, const data::Dataset&) {
    require_networks(own, "box_sam");
    return std::make_unique<BoxMasks>(own, segmenter_of(*pool, own), pool);
  });
  register_mask_source("text_box_sam", [pool](const DecoupleConfig& own, const data::Dataset& dataset) {
    return make_text_masks(own, dataset, pool);
  });
}

}  // namespace deda::decoupling

// Mask source `text_box_sam`: a prompt, the detector's boxes, the segmenter's masks, their union: Lang-SAM as
// the paper used it (thresholds 0.3 and 0.25, one mask per box, no NMS, no filter).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "decoupling/mask_source.h"
#include "decoupling/networks/box_networks.h"
#include "decoupling/networks/network_pool.h"

namespace deda::decoupling {

class TextMasks final : public MaskSource {
 public:
  // ConfigError for a prompt without a word.
  TextMasks(const DecoupleConfig& config, const data::Dataset& dataset,
            std::shared_ptr<const TextDetector> detector, std::shared_ptr<const BoxSegmenter> segmenter,
            std::shared_ptr<NetworkPool> pool);
  std::string name() const override { return "text_box_sam"; }
  Masks find(const data::Dataset& dataset, const MaskRequest& request) const override;

 private:
  std::vector<FoundObject> detect(const MaskRequest& request, std::int32_t class_id, Masks& found) const;

  DecoupleConfig config_;
  std::shared_ptr<const TextDetector> detector_;
  std::shared_ptr<const BoxSegmenter> segmenter_;
  std::shared_ptr<NetworkPool> pool_;
  std::vector<std::string> prompts_;  // by class
};

}  // namespace deda::decoupling

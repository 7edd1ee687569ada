// Mask source `semantic`: the pixels that DeepLab gives to the object's class. No boxes, no prompt; objects
// of the same class are one.
#pragma once

#include <memory>
#include <vector>

#include "decoupling/mask_source.h"
#include "decoupling/networks/network_pool.h"
#include "models/classifiers/deeplab.h"

namespace deda::decoupling {

class SemanticMasks final : public MaskSource {
 public:
  // DataError or ConfigError as DeepLab and semantic_by_class().
  SemanticMasks(const DecoupleConfig& config, const data::Dataset& dataset,
                std::shared_ptr<NetworkPool> pool);
  std::string name() const override { return "semantic"; }
  Masks find(const data::Dataset& dataset, const MaskRequest& request) const override;
  std::vector<Masks> find_all(const data::Dataset& dataset,
                              const std::vector<MaskRequest>& requests) const override;

 private:
  DecoupleConfig config_;
  std::shared_ptr<NetworkPool> pool_;
  std::shared_ptr<const models::DeepLab> network_;
  std::vector<std::vector<std::uint8_t>> classes_;  // by class of the dataset
};

}  // namespace deda::decoupling

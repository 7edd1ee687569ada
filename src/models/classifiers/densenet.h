// DenseNet-121 (Huang et al. 2017), named and keyed exactly as torchvision's: features.conv0, features.norm0,
// features.denseblockB.denselayerN.{norm1,conv1,norm2,conv2}, features.transitionT.{norm,conv},
// features.norm5, classifier. Global average pooling, so that it takes any side from 29 pixels on.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/classifiers/classifier.h"

namespace deda::models {

struct DenseNetSize {
  std::vector<int> layers = {6, 12, 24, 16};  // of each block
  std::int64_t growth = 32;                   // channels that a layer adds
  std::int64_t bottleneck = 4;                // the first convolution of a layer has growth times as many
  std::int64_t stem = 64;                     // channels before the first block
};

// Weights are torch's random numbers or none; call initialise() or load_weights() next. classes >= 1.
std::shared_ptr<Classifier> make_densenet121(const ClassifierOptions& options);
std::shared_ptr<Classifier> make_densenet(const DenseNetSize& size, const ClassifierOptions& options);

}  // namespace deda::models

// ResNet-18 and ResNet-50 (He et al. 2016), named and keyed exactly as torchvision's: conv1, bn1,
// layerL.B.convN, layerL.B.bnN, layerL.B.downsample.{0,1}, fc. The stride of a bottleneck sits on its 3x3
// convolution ("v1.5").
#pragma once

#include <cstdint>
#include <memory>

#include "models/classifiers/classifier.h"

namespace deda::models {

// Random weights of torch's own generator; call initialise() or load_weights() next. classes >= 1.
std::shared_ptr<Classifier> make_resnet18(std::int64_t classes);
std::shared_ptr<Classifier> make_resnet50(std::int64_t classes);

}  // namespace deda::models

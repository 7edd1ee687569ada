// Whose weights a file of tensors holds, told by their names, and the names of other programs as
// torchvision's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/weights/tensor_file.h"

namespace deda::models {

struct ClassifierLook {
  // "ResNet-50", "DenseNet-121", "ViT-B/16", "a Vision Transformer of 2 layers, width 48 and patch 16", ...;
  // empty: of no kind that is known here.
  std::string network;
  std::string names;  // whose: "torchvision", "timm", "transformers", "PyTorch of 2017"; empty as above
  bool operator==(const ClassifierLook&) const = default;
};

// By names and shapes. Names that all begin alike ("module.") are no longer told apart from torchvision's by
// in_torchvisions_names, here they are.
ClassifierLook look_of(const NamedTensors& tensors);

struct RenamedTensors {
  NamedTensors tensors;
  ClassifierLook look;             // of what is in `tensors`; its `names` are those that the file had
  std::vector<std::string> notes;  // what was done to the file's tensors, for the log; one sentence each
};

// Without loss: a prefix that all names have; old names of DenseNets and Vision Transformers; timm's and
// transformers' Vision Transformers (queries, keys and values become one tensor). What belongs to no
// classifier's forward pass (transformers' pooler) is left out and noted. Any other names stay as they are.
// DataError, naming `where`, for files that are recognised and cannot be used: a checkpoint of this program,
// transformers' ResNets, a timm file with a layer between features and head.
RenamedTensors in_torchvisions_names(NamedTensors tensors, const std::string& where);

}  // namespace deda::models

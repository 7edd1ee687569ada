// The classifiers that `train.network` can name, and what a plan has to know of each before anything is
// built. Whoever adds a network begins with its row here; registry.cpp does not compile without its maker. No
// Torch.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace deda::models {

struct ClassifierFacts {
  std::string_view name;  // torchvision's
  std::string_view
      head;  // prefix of the last layer's tensors, the part that depends on the number of classes
  std::int64_t own_side;         // of the pictures that its published weights were made for, pixels
  std::int64_t smallest_side;    // a shorter side leaves no pixel in the last layers
  std::int64_t side_step;        // sides are multiples of it
  bool square;                   // both sides are alike: it has a tensor per place, made for one side
  std::int64_t one_pixel_up_to;  // sides up to this end as one pixel, so that the last batch norm sees as
                                 // many values as pictures; 0: it has no batch norm
  bool attention;                // it ends in attention over tokens, not in feature maps
};

// DenseNet-121: convolution and pooling halve a side rounded up, the three transitions rounded down: from 29
// on one pixel is left. ViT-B/16: patches of 16 pixels, without a rest. ResNets round up everywhere.
inline constexpr std::array<ClassifierFacts, 4> classifier_facts{{
    {"resnet18", "fc", 224, 1, 1, false, 32, false},
    {"resnet50", "fc", 224, 1, 1, false, 32, false},
    {"densenet121", "classifier", 224, 29, 1, false, 60, false},
    {"vit_b_16", "heads.head", 384, 16, 16, true, 0, true},
}};

// ConfigError naming the known ones for any other name.
const ClassifierFacts& facts_of_classifier(std::string_view name);
// What keeps the network from taking pictures of that height and width, and the nearest sides that it takes:
// "takes sides that are multiples of 16, not 100: 96 or 112". Empty where nothing does.
std::string why_not_sides(const ClassifierFacts& facts, std::int64_t height, std::int64_t width);

// ConfigError for a name that is not among `known`, with the nearest of them.
[[noreturn]] void unknown_network(std::string_view name, const std::vector<std::string>& known);

}  // namespace deda::models

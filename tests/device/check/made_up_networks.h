// Every network of `deda forward` with small or made-up weights, written to a folder, and inputs for it.
// Weights are numbers that every machine makes alike (support/hashed_numbers.h), so that the record needs no
// weights beside it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/weights/tensor_file.h"

namespace deda::check {

struct NetworkCase {
  std::string name;   // of the figure and of the recorded file
  std::string model;  // of `deda forward`
  std::filesystem::path weights;
  models::NamedTensors inputs;
  // Outputs that are compared in precisions below float32; empty: all. A network that chooses
  // (GroundingDINO's best places) may choose otherwise there, and what comes after the choice is then another
  // answer, not a wrong one.
  std::vector<std::string> before_choices = {};
};

struct NetworkSources {
  std::filesystem::path golden;   // sam.json and grounding_dino.json of tests/golden
  std::filesystem::path toy;      // configs/models/toy
  std::filesystem::path deeplab;  // an exported DeepLab; empty: left out
  std::filesystem::path work;     // weights are written here
};

std::vector<NetworkCase> made_up_networks(const NetworkSources& sources);

}  // namespace deda::check

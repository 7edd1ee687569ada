// Weight files into networks and back, under torchvision's names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "models/classifiers/classifier.h"
#include "models/weights/tensor_file.h"

namespace deda::models {

enum class Head {
  keep,   // the file's last layer must fit
  fresh,  // the file's last layer is passed over and the network's own stays
};

// Parameters and buffers under their full names, sharing storage with the network.
NamedTensors state_of(const torch::nn::Module& network);

// Copies the file's tensors into the network (half and double precision are converted). Missing, unused and
// misshapen tensors are all listed in one DataError and nothing is changed; only `num_batches_tracked` may be
// absent.
void load_weights(Classifier& network, const std::filesystem::path& path, Head head = Head::keep);
// The same from tensors in memory; `where` names them in errors.
void load_state(torch::nn::Module& network, const NamedTensors& tensors, const std::string& where,
                const std::string& skipped_prefix = {});

void save_weights(const torch::nn::Module& network, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata = {});

// Rows of the file's last layer (`fc.weight`), or DataError where there is none.
std::int64_t classes_in_file(const std::filesystem::path& path, const std::string& head_name);

}  // namespace deda::models

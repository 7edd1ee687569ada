// Weight files into networks and back, under torchvision's names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/classifiers/classifier.h"
#include "models/weights/classifier_names.h"
#include "models/weights/tensor_file.h"

namespace deda::models {

enum class Head {
  keep,   // the file's last layer must fit
  fresh,  // the file's last layer is passed over and the network's own stays
};

// Parameters and buffers under their full names, sharing storage with the network.
NamedTensors state_of(const torch::nn::Module& network);

// A classifier's file under torchvision's names (classifier_names.h says from which others). Throws DataError
// as read_tensors and in_torchvisions_names do.
RenamedTensors read_classifier_file(const std::filesystem::path& path);

// Copies the file's tensors into the network (half and double precision are converted). A file of another
// network is one DataError that says of which; else missing, unused and misshapen tensors are all listed in
// one and nothing is changed; only `num_batches_tracked` may be absent. Positions of a Vision Transformer for
// pictures of another side are resized. Returns what else was done to fit it, for the log, a sentence each.
std::vector<std::string> load_weights(Classifier& network, const std::filesystem::path& path,
                                      Head head = Head::keep);
// The same from what read_classifier_file gave; `where` names it in errors.
std::vector<std::string> load_classifier(Classifier& network, RenamedTensors file, const std::string& where,
                                         Head head = Head::keep);
// The same from tensors in memory; `where` names them in errors.
void load_state(torch::nn::Module& network, const NamedTensors& tensors, const std::string& where,
                const std::string& skipped_prefix = {});

void save_weights(const torch::nn::Module& network, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata = {});

// Rows of the last layer (`fc.weight`), or DataError where there is none or it is no matrix.
std::int64_t classes_of_head(const NamedTensors& tensors, const std::string& head_name,
                             const std::string& where);

}  // namespace deda::models

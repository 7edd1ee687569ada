// The folder of a model that `deda pretrain` trains: made beside its place until it is whole, its record with
// it, and what of it can be proven again.
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/pretraining/training_stage.h"

namespace deda::diffusion {

// Written last; a folder that has it is whole.
inline constexpr auto pretraining_record_name = "training.json";

// Where a model is made until it is whole: FOLDER.partial. Finished stages: their weights, and
// checkpoints/NAME.json.
class PretrainingFolder {
 public:
  // `identity`: what the steps depend on besides their number. What was made for another is passed over.
  PretrainingFolder(const std::filesystem::path& folder, std::string identity);
  const std::filesystem::path& path() const { return path_; }
  // The record of a stage that an earlier call finished for the same identity.
  std::optional<StageRecord> finished(const std::string& stage) const;
  StepCheckpoints checkpoints(const std::string& stage) const;
  void finish(const StageRecord& record) const;
  // Puts the whole model in its place, its record last, and removes the rest.
  void publish(const std::filesystem::path& folder) const;

 private:
  std::filesystem::path path_, checkpoints_;
  std::string identity_;
};

// DataError for a folder whose content would be lost: that holds anything.
void check_pretraining_target(const std::filesystem::path& folder);

// The record: settings (a JSON object), stages, and the hashes of the weight files, which are there.
void write_pretraining_record(const std::filesystem::path& folder, const std::string& schema,
                              const std::string& config, const std::vector<StageRecord>& stages,
                              const std::vector<std::string>& weight_files);

struct PretrainingRecord {
  std::string config;  // JSON object
  std::vector<StageRecord> stages;
};
// DataError when there is none, or none of that schema.
PretrainingRecord read_pretraining_record(const std::filesystem::path& folder, const std::string& schema);

// Proofs; what does not hold is added to `problems` in words. Files are those of the record:
void note_changed_files(const std::filesystem::path& folder, const std::vector<std::string>& weight_files,
                        std::vector<std::string>& problems);
// the first losses of these stages are the record's, to what another processor's order of sums may change:
void note_other_losses(const PretrainingRecord& record, const std::vector<StageRecord>& stages,
                       std::vector<std::string>& problems);
// and the weights of a model that was trained again lie near:
void note_other_weights(const std::filesystem::path& folder, const std::filesystem::path& again,
                        const std::vector<std::string>& weight_files, std::vector<std::string>& problems);

std::vector<at::Tensor> trainable_parameters(const std::vector<std::shared_ptr<torch::nn::Module>>& networks);
// To half precision and back: what later stages see is what the files hold.
void round_to_half(torch::nn::Module& network);
void save_half(const torch::nn::Module& network, const std::filesystem::path& file);

// Runs of letters A to Z, in lower case, each once, in alphabetical order.
std::vector<std::string> words_in(const std::vector<std::string>& texts);

}  // namespace deda::diffusion

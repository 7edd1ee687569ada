#include "diffusion/pretraining/model_folder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "io/store/folder_lock.h"
#include "models/weights/tensor_file.h"
#include "models/weights/weights.h"

namespace deda::diffusion {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr auto hashes_key = "xxhash64";

std::string hash_of_file(const fs::path& file) {
  return fmt::format("{:016x}", xxhash64(read_bytes(file)));
}

Json parsed_record(const fs::path& folder) {
  const auto file = folder / pretraining_record_name;
  const auto json = Json::parse(read_text(file), nullptr, false);
  if (!json.is_object()) throw DataError("is no record of `deda pretrain`", file.string());
  return json;
}

}  // namespace

PretrainingFolder::PretrainingFolder(const fs::path& folder, std::string identity)
    : path_{folder.parent_path() / (folder.filename().string() + ".partial")},
      checkpoints_{path_ / "checkpoints"},
      identity_{std::move(identity)} {
  make_folder(checkpoints_);
}

std::optional<StageRecord> PretrainingFolder::finished(const std::string& stage) const {
  const auto file = checkpoints_ / (stage + ".json");
  if (!fs::exists(file)) return std::nullopt;
  const auto json = nlohmann::json::parse(read_text(file), nullptr, false);
  if (!json.is_object() || json.value("identity", std::string{}) != identity_) return std::nullopt;
  return stage_record_of(json.at("record").dump(), file.string());
}

StepCheckpoints PretrainingFolder::checkpoints(const std::string& stage) const {
  return {checkpoints_, stage, identity_ + "-" + stage};
}

void PretrainingFolder::finish(const StageRecord& record) const {
  write_atomically(checkpoints_ / (record.name + ".json"),
                   Json{{"identity", identity_}, {"record", Json::parse(to_json(record))}}.dump(1) + "\n");
  checkpoints(record.name).remove_all();
}

void PretrainingFolder::publish(const fs::path& folder) const {
  fs::remove_all(checkpoints_);
  make_folder(folder);
  std::vector<fs::path> names;
  for (const auto& entry : fs::directory_iterator(path_)) {
    const auto name = entry.path().filename();
    if (name != pretraining_record_name && name != io::lock_path(path_).filename()) names.push_back(name);
  }
  for (const auto& name : names) fs::rename(path_ / name, folder / name);
  fs::rename(path_ / pretraining_record_name, folder / pretraining_record_name);
}

void check_pretraining_target(const fs::path& folder) {
  std::error_code error;
  const bool taken = fs::exists(folder, error) && !fs::is_empty(folder, error);
  if (!taken) return;
  if (!fs::exists(folder / pretraining_record_name))
    throw DataError("holds something else than a model of `deda pretrain`", folder.string(),
                    "Name a new folder with --model.");
  throw DataError("holds a model that was trained with other settings", folder.string(),
                  "Name a new folder with --model, or move that one away.");
}

void write_pretraining_record(const fs::path& folder, const std::string& schema, const std::string& config,
                              const std::vector<StageRecord>& stages,
                              const std::vector<std::string>& weight_files) {
  Json json;
  json["schema"] = schema;
  json["config"] = nlohmann::json::parse(config);  // keys in alphabetical order
  for (const auto& stage : stages) json["stages"].push_back(Json::parse(to_json(stage)));
  for (const auto& file : weight_files) json[hashes_key][file] = hash_of_file(folder / file);
  write_atomically(folder / pretraining_record_name, json.dump(1) + "\n");
}

PretrainingRecord read_pretraining_record(const fs::path& folder, const std::string& schema) {
  const auto json = parsed_record(folder);
  const auto where = (folder / pretraining_record_name).string();
  const auto found = json.value("schema", std::string{});
  if (found != schema)
    throw DataError("is a record of kind \"" + found + "\", not \"" + schema + "\"", where,
                    "`deda pretrain` makes the diffusion model, `deda pretrain --clip` the CLIP; each has a "
                    "folder of its own.");
  PretrainingRecord record;
  if (!json.contains("config") || !json["config"].is_object() || !json.contains("stages") ||
      !json["stages"].is_array())
    throw DataError("is no whole record of `deda pretrain`", where);
  record.config = json["config"].dump();
  for (const auto& stage : json["stages"]) record.stages.push_back(stage_record_of(stage.dump(), where));
  return record;
}

void note_changed_files(const fs::path& folder, const std::vector<std::string>& weight_files,
                        std::vector<std::string>& problems) {
  const auto record = parsed_record(folder);
  for (const auto& file : weight_files) {
    const auto found = hash_of_file(folder / file);
    const auto expected = record.value(hashes_key, Json::object()).value(file, std::string{"nothing"});
    if (found != expected)
      problems.push_back(fmt::format("{} has xxhash64 {}, the record says {}", file, found, expected));
  }
}

void note_other_losses(const PretrainingRecord& record, const std::vector<StageRecord>& stages,
                       std::vector<std::string>& problems) {
  // Another processor adds in another order; ten steps let such differences grow to about 1e-4.
  constexpr double tolerance = 2e-3;
  if (record.stages.size() != stages.size())
    problems.push_back(
        fmt::format("the record has {} stages, there are {}", record.stages.size(), stages.size()));
  for (std::size_t i = 0; i < std::min(record.stages.size(), stages.size()); ++i) {
    const auto& expected = record.stages[i].first_losses;
    if (expected.size() < stages[i].first_losses.size())
      problems.push_back(
          fmt::format("{}: the record has {} of the first losses only", stages[i].name, expected.size()));
    for (std::size_t step = 0; step < std::min(expected.size(), stages[i].first_losses.size()); ++step) {
      const double before = expected[step], now = stages[i].first_losses[step];
      if (std::abs(before - now) > tolerance * std::abs(before))
        problems.push_back(fmt::format("{}: the loss of step {} is {:.6f}, the record says {:.6f}",
                                       stages[i].name, step, now, before));
    }
  }
}

void note_other_weights(const fs::path& folder, const fs::path& again,
                        const std::vector<std::string>& weight_files, std::vector<std::string>& problems) {
  for (const auto& file : weight_files) {
    const auto before = models::read_tensors(folder / file), now = models::read_tensors(again / file);
    double most = 0;
    for (const auto& [name, tensor] : before)
      most = std::max(most, (tensor.to(at::kFloat) - now.at(name).to(at::kFloat)).abs().max().item<double>());
    log_info("{}: trained again, largest difference of a weight {:.6f}", file, most);
    constexpr double most_drift = 0.5;  // on another processor the weights drift apart, the losses do not
    if (most > most_drift)
      problems.push_back(fmt::format("{}: a weight differs by {:.3f} after training again", file, most));
  }
}

std::vector<at::Tensor> trainable_parameters(
    const std::vector<std::shared_ptr<torch::nn::Module>>& networks) {
  std::vector<at::Tensor> list;
  for (const auto& network : networks) {
    for (const auto& parameter : network->parameters()) {
      if (parameter.requires_grad()) list.push_back(parameter);
    }
  }
  return list;
}

void round_to_half(torch::nn::Module& network) {
  const at::NoGradGuard no_gradients;
  for (auto& parameter : network.parameters()) parameter.copy_(parameter.to(at::kHalf));
}

void save_half(const torch::nn::Module& network, const fs::path& file) {
  models::NamedTensors tensors;
  for (const auto& [name, tensor] : models::state_of(network)) tensors[name] = tensor.detach().to(at::kHalf);
  make_folder(file.parent_path());
  models::write_tensors(file, tensors, {{"format", "pt"}});
}

std::vector<std::string> words_in(const std::vector<std::string>& texts) {
  std::set<std::string> words;
  for (const auto& text : texts) {
    std::string word;
    for (const char c : text + " ") {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (letter) {
        word += static_cast<char>(c | 0x20);
      } else if (!word.empty()) {
        words.insert(std::exchange(word, {}));
      }
    }
  }
  return {words.begin(), words.end()};
}

}  // namespace deda::diffusion

#include "training/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <regex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "io/formats/safetensors.h"

namespace deda::training {
namespace {

constexpr auto state_key = "training_state";
constexpr auto checksum_key = "checksum";
constexpr auto schema_key = "schema";
constexpr auto schema = "deda-checkpoint-1";

// One line per tensor, then the state: what the checksum covers.
void add_line(std::string& text, const std::string& name, io::DType type,
              const std::vector<std::int64_t>& shape, std::span<const std::uint8_t> bytes) {
  text += fmt::format("{} {}", name, io::name_of(type));
  for (const auto extent : shape) text += fmt::format(" {}", extent);
  text += fmt::format(" {:016x}\n", xxhash64(bytes));
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  const io::SafetensorsFile file(path);
  const auto& metadata = file.metadata();
  for (const auto* key : {schema_key, state_key, checksum_key}) {
    if (metadata.count(key) == 0)
      throw DataError(fmt::format("the file holds no \"{}\"", key), path.string());
  }
  if (metadata.at(schema_key) != schema) {
    throw DataError(fmt::format("schema \"{}\", this program reads \"{}\"", metadata.at(schema_key), schema),
                    path.string());
  }
  std::string covered;
  for (const auto& [name, view] : file.tensors()) add_line(covered, name, view.dtype, view.shape, view.bytes);
  covered += metadata.at(state_key);
  if (xxhash128_hex(covered) != metadata.at(checksum_key))
    throw DataError("the checksum does not match: the file is damaged", path.string());

  Checkpoint checkpoint;
  checkpoint.state = state_from_json(metadata.at(state_key), path.string());
  for (const auto& [name, view] : file.tensors()) checkpoint.tensors.emplace(name, models::to_tensor(view));
  return checkpoint;
}

// A file that stays costs space, not results.
void remove_quietly(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

// Halves of files whose writer was killed: a checkpoint is large, and a run may be killed often.
void remove_leftovers(const std::filesystem::path& folder) {
  static const std::regex pattern(R"(.*\.safetensors\.partial\.\d+)");
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(folder, unreadable)) {
    if (std::regex_match(entry.path().filename().string(), pattern)) remove_quietly(entry.path());
  }
}

}  // namespace

CheckpointFolder::CheckpointFolder(std::filesystem::path folder, std::int64_t keep)
    : folder_{std::move(folder)}, keep_{std::max<std::int64_t>(keep, 1)} {}

std::vector<std::filesystem::path> CheckpointFolder::files() const {
  static const std::regex pattern(R"(checkpoint-\d+-\d+\.safetensors)");
  std::vector<std::filesystem::path> found;
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, unreadable)) {
    if (std::regex_match(entry.path().filename().string(), pattern)) found.push_back(entry.path());
  }
  // Numbers are padded with zeros: the order of names is the order of time.
  std::sort(found.begin(), found.end(), std::greater<>());
  return found;
}

void CheckpointFolder::save(const Checkpoint& checkpoint) const {
  make_folder(folder_);
  std::vector<torch::Tensor> kept;
  std::vector<io::TensorToWrite> to_write;
  std::string covered;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    kept.push_back(tensor.detach().to(torch::kCPU).contiguous());
    const auto& plain = kept.back();
    const std::span<const std::uint8_t> bytes{static_cast<const std::uint8_t*>(plain.const_data_ptr()),
                                              static_cast<std::size_t>(plain.nbytes())};
    to_write.push_back({name, models::dtype_of(plain.scalar_type()), plain.sizes().vec(), bytes});
    add_line(covered, name, to_write.back().dtype, to_write.back().shape, bytes);
  }
  const auto state = to_json(checkpoint.state);
  covered += state;
  const auto path = folder_ / fmt::format("checkpoint-{:06d}-{:08d}.safetensors", checkpoint.state.epoch,
                                          checkpoint.state.step);
  io::write_safetensors(path, to_write,
                        {{schema_key, schema}, {state_key, state}, {checksum_key, xxhash128_hex(covered)}});

  const auto all = files();
  for (std::size_t i = static_cast<std::size_t>(keep_); i < all.size(); ++i) remove_quietly(all[i]);
  remove_leftovers(folder_);
}

void CheckpointFolder::remove_all() const {
  for (const auto& file : files()) remove_quietly(file);
  remove_leftovers(folder_);
}

std::optional<Checkpoint> CheckpointFolder::newest() const {
  for (const auto& path : files()) {
    try {
      return read_checkpoint(path);
    } catch (const Error& error) {
      const auto& problems = error.problems();
      log_warning(
          "checkpoint passed over: {}{}", to_string(problems.front()),
          problems.size() > 1 ? fmt::format(" (and {} more problems)", problems.size() - 1) : std::string{});
    }
  }
  return std::nullopt;
}

}  // namespace deda::training

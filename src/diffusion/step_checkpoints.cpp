#include "diffusion/step_checkpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <system_error>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"

namespace deda::diffusion {
namespace {

constexpr auto schema_key = "schema", identity_key = "identity", checksum_key = "checksum";
constexpr auto checkpoint_schema = "deda-step-checkpoint-1";
constexpr std::size_t files_kept = 2;

// Over the tensors and all texts but the checksum itself.
std::string checksum_of(const SavedState& state) {
  std::string covered;
  for (const auto& [name, tensor] : state.tensors) {
    const auto plain = tensor.contiguous();
    covered += fmt::format("{} {}", name, c10::toString(plain.scalar_type()));
    for (const auto extent : plain.sizes()) covered += fmt::format(" {}", extent);
    covered += fmt::format(" {:016x}\n", xxhash64({static_cast<const std::uint8_t*>(plain.const_data_ptr()),
                                                   static_cast<std::size_t>(plain.nbytes())}));
  }
  for (const auto& [name, text] : state.texts) {
    if (name != checksum_key) covered += fmt::format("{}={}\n", name, text);
  }
  return xxhash128_hex(covered);
}

SavedState read_checked(const std::filesystem::path& path, const std::string& identity) {
  SavedState state;
  const io::SafetensorsFile file(path);
  for (const auto& [name, view] : file.tensors()) state.tensors.emplace(name, models::to_tensor(view));
  state.texts = file.metadata();
  const auto text = [&](const char* key) {
    const auto found = state.texts.find(key);
    return found == state.texts.end() ? std::string{} : found->second;
  };
  if (text(schema_key) != checkpoint_schema)
    throw DataError("is no checkpoint that this program reads", path.string());
  if (text(checksum_key) != checksum_of(state))
    throw DataError("the checksum does not match: the file is damaged", path.string());
  if (text(identity_key) != identity) throw DataError("is of another run", path.string());
  return state;
}

}  // namespace

StepCheckpoints::StepCheckpoints(std::filesystem::path folder, std::string name,
                                           std::string identity)
    : folder_{std::move(folder)}, name_{std::move(name)}, identity_{std::move(identity)} {}

std::vector<std::filesystem::path> StepCheckpoints::files() const {
  std::vector<std::filesystem::path> found;
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, unreadable)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with(name_ + "-") && name.ends_with(".safetensors")) found.push_back(entry.path());
  }
  // Numbers are padded with zeros: the order of names is the order of time.
  std::sort(found.begin(), found.end(), std::greater<>());
  return found;
}

void StepCheckpoints::save(const SavedState& state, std::int64_t steps) const {
  auto whole = state;
  whole.texts[schema_key] = checkpoint_schema;
  whole.texts[identity_key] = identity_;
  whole.texts[checksum_key] = checksum_of(whole);
  models::write_tensors(folder_ / fmt::format("{}-{:09}.safetensors", name_, steps), whole.tensors,
                        whole.texts);
  const auto all = files();
  std::error_code ignored;  // a file that stays costs space, not results
  for (std::size_t i = files_kept; i < all.size(); ++i) std::filesystem::remove(all[i], ignored);
}

std::optional<SavedState> StepCheckpoints::newest() const {
  for (const auto& path : files()) {
    try {
      return read_checked(path, identity_);
    } catch (const Error& error) {
      log_warning("checkpoint passed over: {}", to_string(error.problems().front()));
    }
  }
  return std::nullopt;
}

void StepCheckpoints::remove_all() const {
  std::error_code ignored;
  for (const auto& path : files()) std::filesystem::remove(path, ignored);
}

}  // namespace deda::diffusion

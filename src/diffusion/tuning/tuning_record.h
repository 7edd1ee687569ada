// tuning.json: what `deda tune` leaves beside its files, written last. FOLDER/identifiers.json is that of
// `deda invert` (inversion/identifiers.h), so that the words are read as those are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/inversion/identifiers.h"

namespace deda::diffusion {

enum class TuningOutcome : std::uint8_t { done, failed };

struct TunedClass {
  std::string class_name, placeholder;
  std::string outcome;  // "done"; "no_picture": no training picture; "failed": as the tuning
  std::int64_t pictures = 0;
};

struct TuningRecord {
  std::string key;                                            // of the stage (src/pipeline)
  std::string made_of;                                        // JSON (core/provenance.h)
  std::string model_identity;                                 // of the files that it was tuned on
  std::vector<std::pair<std::string, std::string>> settings;  // name and value as text, for people
  TuningOutcome outcome = TuningOutcome::done;
  std::string reason;  // what went wrong, of all tries
  std::string super_class, initial_word;
  std::int64_t initial_tokens = 0;  // of that word; more than one: words started from their mean
  std::int64_t pictures = 0, steps = 0, tries = 0, skipped_steps = 0;
  double learning_rate = 0, token_learning_rate = 0;  // of the try that counts
  std::optional<double> loss_first, loss_last;        // of the curve's first and last line
  std::vector<TunedClass> classes;                    // of the dataset, in its order
  std::vector<ResultFile> files;                      // all of the folder's, the LoRA first; none when failed
};

inline constexpr const char* tuned_lora_name = "unet_lora.safetensors";
inline constexpr const char* tuning_curve_name = "tuning.csv";
// FOLDER/tuning.json
std::filesystem::path tuning_record_path(const std::filesystem::path& folder);

std::string to_json(const TuningRecord& record);
// DataError naming `where` when the text is no such record.
TuningRecord tuning_record_from(const std::string& json, const std::string& where);

// The finished stage's record, or nothing where there is work left (no record, another key, damaged files).
// Needs no model.
std::optional<TuningRecord> finished_tuning(const std::filesystem::path& folder, const std::string& key);

}  // namespace deda::diffusion

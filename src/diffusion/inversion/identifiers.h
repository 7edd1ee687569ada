// What `deda invert` leaves and `deda generate` takes: a folder with one learnt identifier per class and
// identifiers.json, written last, that tells every class's outcome. Each identifier is a textual-inversion
// file of its own (models/weights/embedding_file.h), so that other programs can use it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "models/text/clip_tokenizer.h"

namespace deda::diffusion {

class DiffusionModel;

enum class IdentifierOutcome : std::uint8_t { done, no_cdp, failed };
std::string_view name_of(IdentifierOutcome outcome);

struct ResultFile {
  std::string name;  // in the stage's folder
  std::string hash;  // XXH3-128 of its bytes
};

// One class's entry in identifiers.json. Numbers that were not measured are absent.
struct IdentifierRecord {
  std::int64_t class_id = -1;
  std::string class_name, placeholder;
  IdentifierOutcome outcome = IdentifierOutcome::done;
  std::string reason;               // why there is no identifier
  std::string initial_word;         // what it started from
  std::int64_t initial_tokens = 0;  // tokens of that word; more than one: the rows started from their mean
  std::int64_t cdps = 0, held_out = 0;  // all of the class's, and those kept out of training
  std::int64_t tries = 0;
  double learning_rate = 0;                     // of the try that counts
  std::int64_t skipped_steps = 0;               // whose half-precision gradients overflowed
  std::optional<double> loss_first, loss_last;  // means over the first and last reported steps
  // Noise-prediction loss on the held-out CDPs, from the same timesteps and noise: with the initial word
  // itself, with the identifier before and after training.
  std::optional<double> held_out_word, held_out_before, held_out_after;
  std::vector<double> norm, cosine;  // per text encoder: of the rows, and to what they started from
  std::vector<ResultFile> files;     // the embedding first, then its second encoder's, then the loss curve
};

struct IdentifierManifest {
  std::string key;             // of the stage (src/pipeline)
  std::string made_of;         // JSON (core/provenance.h); empty in records of single units
  std::string model_identity;  // diffusion::model_identity() of the files that it was learnt with
  std::vector<std::pair<std::string, std::string>> settings;  // name and value as text, for people
  std::vector<IdentifierRecord> classes;                      // of the dataset, in its order
};

// FOLDER/identifiers.json
std::filesystem::path identifier_manifest_path(const std::filesystem::path& folder);
// "class-0012" for "<class-0012>": files are named after the placeholder.
std::string file_stem_of(const std::string& placeholder);

std::string to_json(const IdentifierManifest& manifest);
// DataError naming `where` when the text is no such manifest.
IdentifierManifest identifier_manifest_from(const std::string& json, const std::string& where);
// Names of the record's files that are missing or have other bytes, none when all is well.
std::vector<std::string> damaged_files(const std::filesystem::path& folder, const IdentifierRecord& record);

class Identifiers {
 public:
  // Reads a finished folder. DataError when it is not finished, is of other classes, or has damaged files;
  // all problems listed. `widths`: hidden_size of the model's text encoders.
  Identifiers(const std::filesystem::path& folder, const std::vector<std::string>& class_names,
              const std::vector<std::int64_t>& widths);

  const IdentifierManifest& manifest() const { return manifest_; }
  const IdentifierRecord& record(std::size_t class_id) const { return manifest_.classes.at(class_id); }
  bool has(std::size_t class_id) const { return record(class_id).outcome == IdentifierOutcome::done; }
  // Per text encoder [n, D] float32; empty when has() is false.
  const std::vector<at::Tensor>& rows(std::size_t class_id) const { return rows_.at(class_id); }
  // What stands for the class in prompts: "<class-0012>", with several rows "<class-0012> <class-0012>_1".
  std::string name_in_prompts(std::size_t class_id) const;
  // DataError that lists those of `classes` that have no identifier, with the reason of each.
  void require(const std::vector<std::size_t>& classes) const;

  // The model's tokenizers with the placeholders of all classes added, and the rows that those ids mean, per
  // text encoder, as DiffusionModel::ids_of and encode_text take them.
  struct Tokens {
    std::vector<models::ClipTokenizer> tokenizers;
    std::vector<at::Tensor>
        rows;  // [all rows, D] on the model's device; undefined when there is no identifier
  };
  Tokens tokens_for(const DiffusionModel& model) const;

 private:
  IdentifierManifest manifest_;
  std::vector<std::vector<at::Tensor>> rows_;
};

}  // namespace deda::diffusion

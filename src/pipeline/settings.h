// Which settings change which results: the one table of it, a row for every key of the configuration.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/config.h"
#include "pipeline/stage.h"

namespace deda::pipeline {

// The settings of the generative peer that the configuration names (uses_edits).
const generative::GenerationSettings& peer_of(const PipelineConfig& config);
// What all its pictures show: generate.NAME.noun, else (Diff-Mix) tune.super_class, else the dataset's word
// for it (Dataset::subjects), else diffusion.init_word; may be empty.
std::string noun_of(const PipelineConfig& config, const std::vector<std::string>& subjects);
// The word behind a class's own in the captions of tuning: tune.super_class, or by itself the noun, so that
// pictures are made with the words that were tuned.
std::string super_class_of(const PipelineConfig& config, const std::vector<std::string>& subjects);

// The same experiment in the fewest words: p_aug = 0 is plain training; strength = 0 and no store of
// synthetic CDPs are p_syn = 0. Training runs what this returns, so equal keys are equal runs.
PipelineConfig effective(PipelineConfig config);

bool uses_parts(const PipelineConfig& effective);      // real CDPs and CIPs
bool uses_edits(const PipelineConfig& effective);      // whole pictures that a generative peer edited
bool uses_synthetic(const PipelineConfig& effective);  // synthetic CDPs
bool uses_identifiers(const PipelineConfig& config);   // in the prompts of generation
// "plain", "deda-real" (De-DA without synthetic CDPs), "deda", the name of a generative or an image-mixing
// method, or, where that mixes other than natural pictures, both: "deda+cutmix".
std::string method_name(const PipelineConfig& config);

// How a key takes part in results.
enum class Part : std::uint8_t {
  value,    // by what is set
  content,  // by what the file or folder that it names holds
  derived,  // by what it is resolved to (resolution, switches that belong to the weights, the list of
            // pictures)
  none,     // not at all
};

struct SettingRow {
  std::string_view key;
  Part part = Part::value;
  std::vector<Stage> stages;                           // whose results it changes, their needers' besides
  std::function<bool(const PipelineConfig&)> applies;  // empty: always; else only where this holds
  std::string_view reason;  // of `none`, `content`, `derived`: why, or by way of what
};

// In the order of the configuration.
const std::vector<SettingRow>& setting_rows();

// The settings with an effect on the stage, `value` rows only. `effective`: as effective() gave it. Throws
// std::logic_error for a key of the configuration that has no row.
std::vector<ConfigValue> settings_of(Stage stage, const PipelineConfig& effective);

}  // namespace deda::pipeline

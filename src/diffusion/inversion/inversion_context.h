// What all classes' inversions have in common, worked out once per rank: prompts, initial words, rules of the
// draws, and the step itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/config.h"
#include "diffusion/inversion/inversion_draws.h"
#include "diffusion/inversion/latent_source.h"
#include "diffusion/inversion/textual_inversion.h"
#include "diffusion/model.h"

namespace deda::diffusion {

struct InversionSettings {
  InvertConfig invert;
  DiffusionConfig diffusion;
  std::vector<std::string> class_names;
  std::int64_t resolution = 0;  // pixels a side of the model's square
  double offset_gain = 0;  // of the latents that the source gives (CdpLatents), for the record
  std::uint64_t seed = 0;
};

// The word that a class's identifier starts from: init_words, else init_word, else the class's name with
// blanks for underscores. No Torch, no model.
std::string initial_word_of(const DiffusionConfig& config, const std::string& class_name);
// ConfigError that lists entries of diffusion.init_words that are not "class name=word" of a class.
void check_initial_words(const DiffusionConfig& config, const std::vector<std::string>& class_names);
// The largest timestep trained on: most_timestep() of the configuration, at most T - 1.
std::int64_t most_timestep_of(const InversionSettings& settings, std::int64_t train_timesteps);
// Of AdamW's steps in try number `attempt`, from 0: every further try learns at a tenth of the rate.
double learning_rate_of(const InvertConfig& config, std::int64_t attempt);

struct InitialWord {
  std::string word;
  std::int64_t tokens = 0;  // of the first text encoder's tokenizer
  IdentifierRows rows;      // [vectors, D] each: the word's row, of several tokens their mean
};

class InversionContext {
 public:
  // ConfigError when a class's initial word has no tokens at all.
  InversionContext(const DiffusionModel& model, const LatentSource& source,
                   const InversionSettings& settings);

  const DiffusionModel& model;
  const LatentSource& source;
  const InversionSettings& settings;
  const InvertConfig& config;  // settings.invert
  TextualInversion step;
  DrawRules draws;
  std::vector<std::string> templates;
  std::vector<InitialWord> initial;  // per class

  // Ids of the template filled with the identifier of the class at `position` of a pack, per text encoder
  // [tokens].
  std::vector<at::Tensor> prompt_ids(std::size_t position, std::size_t prompt) const;

 private:
  std::vector<at::Tensor> ids_;  // per text encoder [positions * templates, tokens]
};

}  // namespace deda::diffusion

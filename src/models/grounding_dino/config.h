// config.json of GroundingDINO: backbone, text encoder and the two transformers.
#pragma once

#include <cstdint>
#include <filesystem>

#include "models/grounding_dino/rules.h"
#include "models/grounding_dino/swin.h"
#include "models/text/bert.h"

namespace deda::models {

// Groups of the norms behind the projections to `width`, in every published model.
inline constexpr std::int64_t projection_norm_groups = 32;

struct GroundingDinoConfig {
  SwinConfig backbone;
  BertConfig text;
  std::int64_t width = 256, queries = 900, levels = 4, max_text_len = 256;
  std::int64_t encoder_layers = 6, encoder_heads = 8, encoder_inner = 2048, encoder_points = 4;
  std::int64_t decoder_layers = 6, decoder_heads = 8, decoder_inner = 2048, decoder_points = 4;
  double norm_epsilon = 1e-5, position_temperature = 20;
  GroundingDinoRules rules = GroundingDinoRules::transformers;  // of the inverse sigmoid
  // The text side works at half the encoder's heads and inner width.
  std::int64_t text_heads() const { return encoder_heads / 2; }
  std::int64_t text_inner() const { return encoder_inner / 2; }
};

// Absent keys have transformers' values. DataError lists everything this program does not compute.
GroundingDinoConfig read_grounding_dino_config(const std::filesystem::path& file);

}  // namespace deda::models

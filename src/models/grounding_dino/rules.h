// The two programs GroundingDINO runs in, which differ in a few rules: sizes of capped pictures, the margin
// of the inverse sigmoid, dots in phrases.
#pragma once

namespace deda::models {

enum class GroundingDinoRules {
  original,      // IDEA-Research/GroundingDINO
  transformers,  // Hugging Face transformers, as Lang-SAM uses it today
};

}  // namespace deda::models

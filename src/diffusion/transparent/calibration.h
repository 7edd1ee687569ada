// What public LayerDiffuse programs disagree on, settled for a given set of weights: the factor of the latent
// offset and which latent the transparent decoder is given (`deda generate --calibrate` measures both).
#pragma once

#include <filesystem>
#include <string>

#include "diffusion/config.h"

namespace deda::diffusion {

struct TransparencyChoice {
  double offset_gain = 1;
  bool scaled_latent = false;  // the transparent decoder sees the latent as the UNet made it
  std::string reason;          // "configured", "calibrated: FILE", "default of SDXL"
};

// What a calibration found for the weights of one model.
struct Calibration {
  std::string model_identity;
  double offset_gain = 1;
  bool scaled_latent = false;
};

// The configuration's word; where it says auto, that of the calibration file (models.calibration, else
// BASE/calibration.json where there is one), else the defaults of the official programs: 300 and unscaled for
// SDXL, 1 and unscaled for SD1.5. DataError when the file is broken or was made with other weights.
TransparencyChoice choose_transparency(const ModelsConfig& models, const DiffusionConfig& diffusion,
                                       const GenerateConfig& generate, bool is_sdxl,
                                       const std::string& model_identity);

}  // namespace deda::diffusion

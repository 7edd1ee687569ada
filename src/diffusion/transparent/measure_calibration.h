// `deda generate --calibrate`: what public LayerDiffuse programs disagree on, settled by encoding real CDPs
// and decoding them again without any diffusion in between: the choice that gives them back best is right.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "diffusion/config.h"
#include "diffusion/model.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

// Mean absolute errors, 0..1; over all CDPs with their masks hard and again softened.
struct CalibrationRow {
  double offset_gain = 1;
  bool scaled_latent = false;
  DecoderPixel pixel = DecoderPixel::clipped;
  double alpha = 0;                                // of all pixels
  double boundary_alpha = 0;                       // within 8 pixels of the mask's boundary
  double colour = 0;                               // where the source's alpha is above 1/2
  double score() const { return alpha + colour; }  // what is minimised
};

struct CalibrationResult {
  std::vector<CalibrationRow> rows;  // 3 gains x 2 latents, then the chosen one with the other decoder pixels
  std::size_t chosen = 0;            // of the first six; the official program's where several are equal
  std::size_t cdps = 0;
};

// `cdps`: [resolution, resolution, 4]. Collective: CDPs are shared out to ranks and to `workers` threads of
// each; the sums do not depend on either. `pixel` and `votes` as generation has them.
CalibrationResult measure_calibration(const comm::Communicator& ranks, const DiffusionModel& model,
                                      const std::vector<io::Image>& cdps, DecoderPixel pixel,
                                      std::int64_t votes, int workers);

std::string_view name_of(DecoderPixel pixel);
// A table for people, and the files: calibration.json as choose_transparency() reads it, calibration.csv.
std::string to_text(const CalibrationResult& result);
void write_calibration(const std::filesystem::path& folder, const CalibrationResult& result,
                       const std::string& model_identity);

}  // namespace deda::diffusion

// The sheet for choosing a strength: a few real CDPs of different classes and what becomes of each at several
// strengths, with two figures per strength. Touches no store.
#pragma once

#include <string>
#include <vector>

#include "diffusion/generation/generator.h"
#include "io/pictures/image.h"

namespace deda::jobs {

struct StrengthFigures {
  double strength = 0;
  std::size_t evaluations = 0;  // of the UNet per copy
  double psnr = 0;              // dB to the source where either is opaque, both on grey; mean over the CDPs
  double overlap = 0;           // of the masks: intersection over union, mean
  int usable = 0;               // CDPs that generation would keep
};

struct StrengthSheet {
  io::Image picture;  // rows: CDPs; columns: real, then one per strength
  std::vector<StrengthFigures> figures;
  int cdps = 0;
};

// CDPs in turn from the classes that have some (first of each, then second of each, ...), at most `most`.
std::vector<std::size_t> cdps_of_many_classes(const diffusion::CdpSource& cdps, std::size_t most);

// One generator per strength (copies = 1), in the order of the columns. `workers`: threads.
StrengthSheet make_strength_sheet(const diffusion::CdpSource& cdps, const std::vector<std::size_t>& chosen,
                                  const std::vector<std::shared_ptr<const diffusion::Generator>>& generators,
                                  const std::vector<std::string>& class_names, int workers);
std::string to_text(const StrengthSheet& sheet);
std::string to_csv(const StrengthSheet& sheet);

}  // namespace deda::jobs

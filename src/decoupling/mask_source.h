// Where masks come from: a small door that every source implements, and the ladder that tries them in order.
// Two sources exist, annotated (mask files) and box_grabcut (box annotations); detectors and segmenters will
// be others.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "decoupling/config.h"
#include "io/image.h"

namespace deda::decoupling {

// Objects that a source found in one picture. Masks have the picture's size; 255 object, 0 not.
struct Masks {
  std::string route;                         // name of the source: kept with the record
  std::vector<io::Image> masks;              // [N] of [H, W, 1]
  std::vector<std::array<double, 4>> boxes;  // [N] xyxy in source pixels, half open
  std::vector<double> scores;                // [N] 0..1; 1 for annotations
  io::Image undecided;                       // [H, W, 1] 255 where nobody knows (trimap border); may be empty
  std::string reason;                        // why `masks` is empty
};

class MaskSource {
 public:
  virtual ~MaskSource() = default;
  virtual std::string name() const = 0;
  // Must be safe from several threads and deterministic. Nothing found is no error: empty masks with a
  // reason. Throws DataError where the annotation itself is broken (unreadable mask, another size than the
  // picture).
  virtual Masks find(const data::Dataset& dataset, const data::Item& item,
                     const io::Image& picture) const = 0;
};

std::unique_ptr<MaskSource> make_mask_source(const std::string& name, const DecoupleConfig& config);

// Pixel-wise OR of masks of one size: an object split into several masks becomes one CDP (paper section 3.1).
io::Image union_of(const std::vector<io::Image>& masks);
std::int64_t area_of(const io::Image& mask);
// Smallest xyxy box around the mask's pixels, half open; all zero when empty.
std::array<std::int32_t, 4> box_of(const io::Image& mask);

}  // namespace deda::decoupling

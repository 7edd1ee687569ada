// Masks that come with the dataset: CUB's segmentations, Oxford-IIIT Pet's trimaps, Pascal's class images,
// any folder of masks.
#pragma once

#include "decoupling/mask_source.h"

namespace deda::decoupling {

class AnnotatedMasks final : public MaskSource {
 public:
  explicit AnnotatedMasks(TrimapBorder border) : border_{border} {}
  std::string name() const override { return "annotated"; }
  Masks find(const data::Dataset& dataset, const data::Item& item, const io::Image& picture) const override;

 private:
  TrimapBorder border_;
};

// The object's pixels by the file's encoding; `undecided` gets the border where the encoding has one.
io::Image decode_mask(const io::Image& values, data::MaskEncoding encoding, std::int32_t class_id,
                      TrimapBorder border, io::Image& undecided);

}  // namespace deda::decoupling

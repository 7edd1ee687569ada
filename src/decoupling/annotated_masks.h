// Masks that come with the dataset: CUB's segmentations, Oxford-IIIT Pet's trimaps, Pascal's class images,
// any folder of masks.
#pragma once

#include "decoupling/mask_source.h"

namespace deda::decoupling {

class AnnotatedMasks final : public MaskSource {
 public:
  explicit AnnotatedMasks(TrimapBorder border) : border_{border} {}
  std::string name() const override { return "annotated"; }
  // Pascal's class images give a part for every wanted class; the others one, of the item's own class.
  Masks find(const data::Dataset& dataset, const MaskRequest& request) const override;

 private:
  TrimapBorder border_;
};

// The object's pixels by the file's encoding; `undecided` gets the border where the encoding has one.
io::Image decode_mask(const io::Image& values, data::MaskEncoding encoding, std::int32_t class_id,
                      TrimapBorder border, io::Image& undecided);

}  // namespace deda::decoupling

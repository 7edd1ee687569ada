// Masks that come with the dataset: CUB's segmentations, Oxford-IIIT Pet's trimaps, Pascal's class images,
// any folder of masks.
#pragma once

#include "decoupling/mask_source.h"
#include "io/pictures/mask_file.h"

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

// The object's pixels by the numbers that the encoding defines; `undecided` gets the border where it has one.
io::Image decode_mask(const io::Image& values, data::MaskEncoding encoding, std::int32_t class_id,
                      TrimapBorder border, io::Image& undecided);

// The numbers that decode_mask() takes. Grey is brought to 0..255 whatever its depth; of class images that
// were saved as colours, Pascal's colours become class numbers again.
io::Image values_of(const io::MaskFile& file, data::MaskEncoding encoding);

}  // namespace deda::decoupling

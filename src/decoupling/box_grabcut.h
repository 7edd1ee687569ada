// Box annotation -> mask by GrabCut (Rother et al., 2004) on a small copy: needs no network. Good on aircraft
// before sky, fair on cars, poor on birds in foliage; the route is kept with every record, since results
// differ between routes.
#pragma once

#include "decoupling/mask_source.h"

namespace deda::decoupling {

class BoxGrabCut final : public MaskSource {
 public:
  explicit BoxGrabCut(const DecoupleConfig& config) : config_{config} {}
  std::string name() const override { return "box_grabcut"; }
  // Deterministic: k-means is seeded by the picture's size and box. A mask that fills less than 15 % or more
  // than 95 % of the box, or is about the ellipse that GrabCut started from, is nothing: refused with that
  // reason (its sketch is kept). Whether colours separate is for the ladder (mask_quality.h).
  Masks find(const data::Dataset& dataset, const MaskRequest& request) const override;

 private:
  DecoupleConfig config_;
};

}  // namespace deda::decoupling

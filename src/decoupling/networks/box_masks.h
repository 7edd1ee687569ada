// Boxes into masks: mask source `box_sam` (annotated boxes), and the part that `text_box_sam` shares with it.
#pragma once

#include <memory>
#include <vector>

#include "decoupling/mask_source.h"
#include "decoupling/networks/box_networks.h"
#include "decoupling/networks/network_pool.h"

namespace deda::decoupling {

class BoxMasks final : public MaskSource {
 public:
  BoxMasks(const DecoupleConfig& config, std::shared_ptr<const BoxSegmenter> segmenter,
           std::shared_ptr<NetworkPool> pool)
      : config_{config}, segmenter_{std::move(segmenter)}, pool_{std::move(pool)} {}
  std::string name() const override { return "box_sam"; }
  // Every annotated object of the wanted classes; the item's one box where objects are not listed.
  Masks find(const data::Dataset& dataset, const MaskRequest& request) const override;

 private:
  DecoupleConfig config_;
  std::shared_ptr<const BoxSegmenter> segmenter_;
  std::shared_ptr<NetworkPool> pool_;
};

// Segments the objects that are not rejected and adds all to `found`, in their order. The picture is embedded
// once, and only where there is a box. One mask per box, all united, as De-DA on Lang-SAM; in recommended
// mode a mask that is the box's surroundings (half of the picture's border, but not the box's centre) is
// asked for anew. Objects of `use_mask_score` get the network's own estimate as their score.
void segment_objects(Masks& found, std::vector<FoundObject> objects, const MaskRequest& request,
                     const BoxSegmenter& segmenter, NetworkPool& pool, const DecoupleConfig& config,
                     bool use_mask_score);

// True where the mask covers more than half of the picture's border and not the centre of the box.
bool is_surroundings(const io::Image& mask, const PixelBox& box);

}  // namespace deda::decoupling

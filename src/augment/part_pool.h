// The CDPs and CIPs that training draws from, by position in the training list. Pixels stay in the mapped
// stores.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "io/store/record_store.h"

namespace deda::augment {

// Pixels of a CDP (RGBA, straight alpha) or CIP (RGB) in place.
struct PartView {
  int height = 0, width = 0, channels = 0;
  std::span<const std::uint8_t> pixels;
  double relative_size = 0;  // CDP: longer side of its box / shorter side of its picture
  std::int32_t version = 0;  // CDP: 0 real, 1..K synthetic, as the store counts them
  // CDP: the part of its picture that its pixels cover, xyxy as shares of the picture's width and height; it
  // may reach over the edge. All 0: not known.
  std::array<double, 4> lies{};
  double picture_aspect = 1;  // CDP: width / height of its picture, where `lies` is known
};

struct PoolLimits {
  double min_mask_share = 0.01, max_mask_share = 0.95;
  // Synthetic CDPs are used up to this number, rejected ones counted, so that the first ones of a larger
  // store are the pool of a store that holds no more.
  std::int32_t most_version = std::numeric_limits<std::int32_t>::max();
};

class PartPool {
 public:
  PartPool() = default;
  // `training`: positions in dataset.items of the training list, in training order. Stores are matched by
  // source path, so a store of another split or subset serves as well. DataError when a store's classes are
  // not the dataset's.
  PartPool(const data::Dataset& dataset, const std::vector<std::size_t>& training,
           const std::vector<io::StoreReader>& stores, const PoolLimits& limits);

  // For tests and other sources of parts: item i of class classes[i]; versions[0] is the real CDP, and they
  // are numbered as they stand.
  struct ItemParts {
    std::vector<PartView> cdps;  // [1 + K]; empty: unusable
    PartView cip;                // no pixels: none
  };
  PartPool(std::vector<std::int32_t> classes, std::vector<ItemParts> items);

  std::size_t size() const { return classes_.size(); }
  std::int32_t class_of(std::size_t item) const { return classes_[item]; }
  // Usable as anchor, second CDP: has a real CDP within the mask limits.
  bool usable(std::size_t item) const { return !items_[item].cdps.empty(); }
  int versions(std::size_t item) const {
    return static_cast<int>(items_[item].cdps.size()) - 1;
  }  // K synthetic ones
  // The CDP at a place 0..versions(item): versions without the gaps of rejected ones.
  const PartView& cdp(std::size_t item, int place) const {
    return items_[item].cdps[static_cast<std::size_t>(place)];
  }
  // Whether it is known where the item's real CDP lies in its picture.
  bool knows_place(std::size_t item) const { return items_[item].cdps.front().lies[2] > 0; }
  const PartView& cip(std::size_t item) const { return items_[item].cip; }
  bool has_cip(std::size_t item) const { return !items_[item].cip.pixels.empty(); }

  // Members grouped by class: begin(c)..begin(c+1) of `order` have class c. For uniform draws that leave
  // classes out.
  struct Group {
    std::vector<std::uint32_t> order;
    std::vector<std::uint32_t> begin;  // [classes + 1]
    std::uint32_t count_without(std::int32_t a, std::int32_t b) const;
    // The n-th member whose class is neither a nor b (negative: no class is left out), n < count_without(a,
    // b).
    std::uint32_t member_without(std::uint32_t n, std::int32_t a, std::int32_t b) const;
  };
  const Group& anchors() const { return anchors_; }
  const Group& donors() const { return donors_; }       // have a CIP
  std::size_t synthetic() const { return synthetic_; }  // records, of usable and of other items
  // In words: how many items are usable, why others are not. For the log.
  std::string summary() const;

 private:
  void index();
  std::vector<io::StoreReader> stores_;  // keep the mapped pixels alive that the views point to
  std::vector<std::int32_t> classes_;
  std::vector<ItemParts> items_;
  Group anchors_, donors_;
  std::size_t without_part_ = 0, out_of_limits_ = 0, synthetic_ = 0;
};

}  // namespace deda::augment

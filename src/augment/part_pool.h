// The CDPs and CIPs that training draws from, by position in the training list. Pixels stay in the mapped
// stores. With one label per picture (dataset.multi_label is false) a picture gives the CDPs of its class;
// else one CDP per label, and a CIP only where every label was cut out of it.
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
  // Several labels per picture: a CIP of which less was background is not used; with paste_on whole pictures
  // take the place of CIPs.
  double min_background = 0.3;
  bool paste_on = false;
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
  // Labels that the item has a real CDP of, within the mask limits; 0 or 1 with one label per picture.
  std::size_t labels(std::size_t item) const { return items_[item].labels.size(); }
  std::int32_t label_class(std::size_t item, std::size_t label) const {
    return items_[item].labels[label].class_id;
  }
  // Usable as anchor, second CDP.
  bool usable(std::size_t item) const { return labels(item) > 0; }
  int versions(std::size_t item, std::size_t label = 0) const {
    return static_cast<int>(items_[item].labels[label].cdps.size()) - 1;
  }  // K synthetic ones
  // The CDP at a place 0..versions(item, label): versions without the gaps of rejected ones.
  const PartView& cdp(std::size_t item, int place, std::size_t label = 0) const {
    return items_[item].labels[label].cdps[static_cast<std::size_t>(place)];
  }
  // Whether it is known where the item's real CDP lies in its picture.
  bool knows_place(std::size_t item, std::size_t label = 0) const { return cdp(item, 0, label).lies[2] > 0; }
  const PartView& cip(std::size_t item) const { return items_[item].cip; }
  bool pastes_on() const { return paste_on_; }
  // Stands among donors(): its CIP, or with paste_on its whole picture.
  bool gives_background(std::size_t item) const { return paste_on_ || has_cip(item); }
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
  const Group& donors() const { return donors_; }  // have a CIP
  // One member per item and label that has CDPs: its number in this pool, by the label's class.
  const Group& cutouts() const { return cutouts_; }
  struct Cutout {
    std::uint32_t item = 0, label = 0;
  };
  const Cutout& cutout(std::size_t number) const { return cutout_of_[number]; }
  std::size_t cutout_number(std::size_t item, std::size_t label) const { return first_cutout_[item] + label; }
  // Donors of which no label is a or b (negative: none is left out), and the n-th of them.
  std::uint32_t donors_without(std::int32_t a, std::int32_t b) const;
  std::uint32_t donor_without(std::uint32_t n, std::int32_t a, std::int32_t b) const;
  std::size_t synthetic() const { return synthetic_; }  // records, of usable and of other items
  // In words: how many items are usable, why others are not. For the log.
  std::string summary() const;

 private:
  // CDPs of one label of one picture: real, then synthetic.
  struct LabelParts {
    std::int32_t class_id = -1;
    std::vector<PartView> cdps;
    std::int64_t mask_area = 0;  // of the real one, in pixels of the picture
  };
  struct Parts {
    std::vector<LabelParts> labels;
    PartView cip;
    std::array<std::int32_t, 4> picture{};  // what the CIP covers: all of it; no pixel: not known
    std::int64_t hole_area = 0;             // of all masks together
    std::vector<std::int32_t>
        seen;  // several labels: classes that the picture shows, difficult ones too, each once
  };
  LabelParts* parts_of(std::size_t item, std::int32_t class_id);
  void take(const io::RecordView& record, std::size_t item, const PoolLimits& limits);
  void apply_limits(const PoolLimits& limits);
  void apply_limits_by_label(const data::Dataset& dataset, const std::vector<std::size_t>& training,
                             const PoolLimits& limits);
  void index();
  std::vector<std::uint32_t> donors_that_show(std::int32_t a, std::int32_t b) const;

  std::vector<io::StoreReader> stores_;  // keep the mapped pixels alive that the views point to
  bool multi_label_ = false, paste_on_ = false;
  std::vector<std::int32_t> classes_;
  std::vector<Parts> items_;
  Group anchors_, donors_, cutouts_;
  std::vector<Cutout> cutout_of_;
  std::vector<std::size_t> first_cutout_;  // by item
  std::vector<std::vector<std::uint32_t>>
      donors_with_;  // several labels: places in donors_ by class, ascending
  std::size_t without_part_ = 0, out_of_limits_ = 0, synthetic_ = 0;
  std::size_t labels_left_ = 0, little_background_ = 0;  // CIPs not used
};

}  // namespace deda::augment

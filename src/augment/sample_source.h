// Samples by number: everything between a position in the training or test list and 8-bit pixels, label and
// draws. Thread-safe; the same bytes for any number of ranks and threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "augment/batch.h"
#include "augment/bounded_cache.h"
#include "augment/composer.h"
#include "augment/config.h"
#include "augment/edit_pool.h"
#include "augment/geometry.h"
#include "augment/part_pool.h"
#include "comm/communicator.h"
#include "data/dataset.h"

namespace deda::augment {

// Training samples. `training`: positions in dataset.items; samples are numbered by their place in it.
class TrainingSource {
 public:
  TrainingSource(const data::Dataset& dataset, std::vector<std::size_t> training, PartPool pool,
                 const AugmentConfig& config, std::uint64_t seed, EditPool edits = {});
  std::int64_t size() const { return static_cast<std::int64_t>(training_.size()); }
  std::int32_t classes() const { return static_cast<std::int32_t>(dataset_.class_names.size()); }
  std::int32_t side() const { return static_cast<std::int32_t>(config_.crop); }
  // Order of the samples in an epoch: the same on every rank.
  std::vector<std::uint32_t> order(std::uint32_t epoch) const;
  // Fills pixels [side, side, 3], label [classes] and draws of one sample. Throws DataError naming the
  // picture.
  void render(std::int64_t sample, std::uint32_t epoch, ComposerScratch& scratch, std::uint8_t* pixels,
              float* label, Draws& draws);
  // The same without augment.policy: what its operations are applied to. Their draws are left out.
  void render_before_policy(std::int64_t sample, std::uint32_t epoch, ComposerScratch& scratch,
                            std::uint8_t* pixels, float* label, Draws& draws);
  const AugmentConfig& config() const { return config_; }
  std::uint64_t seed() const { return seed_; }
  // The decisions alone, geometry and label included, as render() makes them.
  struct Decided {
    Draws draws;
    std::vector<float> label;  // [classes]
  };
  Decided decide_only(std::int64_t sample, std::uint32_t epoch);

 private:
  // A random crop of the natural picture, or of its edit.
  void render_whole(std::int64_t sample, std::uint32_t epoch, std::uint8_t* pixels, Draws& draws);
  void fill_edited_label(const EditDraws& edit, float* label) const;
  std::shared_ptr<const io::Image> natural_picture(std::size_t sample);
  std::shared_ptr<const io::Image> canvas(std::size_t sample);
  std::shared_ptr<const io::Image> edited_picture(std::size_t number);
  std::shared_ptr<const PreparedCdp> prepared(std::size_t sample, int place, std::int32_t label);

  const data::Dataset& dataset_;
  std::vector<std::size_t> training_;
  PartPool pool_;
  EditPool edits_;
  AugmentConfig config_;
  Geometry geometry_;
  std::uint64_t seed_;
  std::shared_ptr<CacheBudget> budget_;
  BoundedCache<io::Image> naturals_, canvases_, edited_;
  std::vector<std::size_t> first_version_;  // slot of version 0 in cdps_, by the pool's number of the cut-out
  std::unique_ptr<BoundedCache<PreparedCdp>> cdps_;
};

// Test samples: resized and cropped in the middle (geometry.h), no randomness.
class TestSource {
 public:
  TestSource(const data::Dataset& dataset, std::vector<std::size_t> test, const AugmentConfig& config);
  std::int64_t size() const { return static_cast<std::int64_t>(test_.size()); }
  std::int32_t classes() const { return static_cast<std::int32_t>(dataset_.class_names.size()); }
  std::int32_t side() const { return geometry_.crop; }
  void render(std::int64_t sample, std::uint8_t* pixels, float* label, Draws& draws);

 private:
  const data::Dataset& dataset_;
  std::vector<std::size_t> test_;
  Geometry geometry_;
  std::shared_ptr<CacheBudget> budget_;
  BoundedCache<io::Image> crops_;
};

// Collective. Positions in dataset.items (from `candidates`) whose picture can be decoded; the others are
// listed in `problems`, alike on all ranks. Every rank checks its share, so that ranks agree before training
// starts.
std::vector<std::size_t> readable_pictures(const comm::Communicator& ranks, const data::Dataset& dataset,
                                           const std::vector<std::size_t>& candidates,
                                           std::vector<std::string>& problems);

}  // namespace deda::augment

// The batches of one epoch of an image-mixing method (src/mixing), as one rank needs them: which pictures it
// composes, its own first, and what becomes of them in the composing threads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "augment/batch.h"
#include "augment/pipeline.h"
#include "mixing/method.h"

namespace deda::augment {

struct GlobalBatches {
  std::vector<std::uint32_t> order;  // sample numbers of the epoch
  std::int64_t size = 1;             // pictures of a batch over all ranks; the last one may have fewer
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::int64_t first = 0;  // batches to leave out
};

class MixedBatches {
 public:
  // `settings` are copied. What is kept of a batch is a number per picture: plans are pure functions, made
  // anew when they are needed.
  MixedBatches(const mixing::Settings& settings, const GlobalBatches& batches, int rank, int ranks,
               std::int64_t side, int workers);
  // Per batch the samples of this rank's share, then further ones that the method needs of the rest.
  Plan samples_to_compose() const;
  // From the pictures of batch `batch` (numbered as in samples_to_compose) to what is handed out: mixed,
  // where the method mixes 8-bit pixels, else all of them as they are, with the plan. Different workers at a
  // time.
  void mix(int worker, std::size_t batch, const Batch& composed, Batch& handed_out) const;

 private:
  struct Mixed {
    std::vector<std::uint32_t> places;  // of the pictures that this rank composes, its share's first
    std::int64_t size = 0;              // of the share
    std::int64_t first = 0;             // place of the global batch's first picture in the epoch
    std::int64_t global_size = 0;
  };
  mixing::BatchPlan plan_of(const Mixed& batch) const;
  void mix_pixels(int worker, const Batch& composed, Batch& handed_out) const;

  mixing::Settings settings_;
  GlobalBatches global_;
  std::int64_t side_;
  std::vector<Mixed> batches_;
  std::vector<std::unique_ptr<mixing::Scratch>> scratch_;  // by worker
};

}  // namespace deda::augment

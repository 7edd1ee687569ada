// Batches in order, wherever they come from: composed ahead (pipeline.h), or made up by a test. No Torch.
#pragma once

#include "augment/batch.h"

namespace deda::augment {

// One pass over samples in a fixed order: this rank's share of every global batch.
class BatchStream {
 public:
  virtual ~BatchStream() = default;
  // The next share, which may be empty (size 0) where a batch has fewer samples than ranks; nullptr after the
  // last batch. Valid until the next call. Throws what went wrong with the data.
  virtual const Batch* next() = 0;
};

}  // namespace deda::augment

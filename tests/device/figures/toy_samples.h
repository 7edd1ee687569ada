// Composed samples of the toy dataset without end, as training gets them: from a real store, by worker
// threads.
#pragma once

#include <filesystem>
#include <memory>
#include <memory_resource>

#include "augment/pipeline.h"
#include "augment/sample_source.h"
#include "comm/communicator.h"
#include "data/dataset.h"

namespace deda::figures {

class ToySamples {
 public:
  // Draws and decouples the dataset into `folder`. `side`: pixels of a sample.
  ToySamples(const comm::Communicator& ranks, const std::filesystem::path& folder, std::int64_t side,
             std::int64_t pictures_per_class);

  std::int32_t classes() const { return source_->classes(); }
  // One stream over many epochs: none of them has to start anew while the clock runs.
  std::unique_ptr<augment::BatchStream> open(std::int64_t batch, int workers,
                                             std::pmr::memory_resource* memory) const;

 private:
  data::Dataset dataset_;
  std::int64_t ring_batches_ = 0;
  std::unique_ptr<augment::TrainingSource> source_;
};

}  // namespace deda::figures

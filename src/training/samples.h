// The trainer's pictures from augment/pipeline.h: streams composed by this rank's worker threads.
#pragma once

#include <cstdint>
#include <memory_resource>

#include "augment/sample_source.h"
#include "comm/communicator.h"
#include "data/dataset.h"
#include "training/sample_sets.h"

namespace deda::training {

// `source` must outlive the result and its streams. `composers`: worker threads; `ring_batches`: batches made
// ahead, in `memory`.
TrainingSamples training_samples(augment::TrainingSource& source, std::int64_t batch_size,
                                 const comm::Communicator& ranks, std::int64_t composers,
                                 std::int64_t ring_batches,
                                 std::pmr::memory_resource* memory = std::pmr::get_default_resource());

// `positions`: those of the source in dataset.items. Groups are the dataset's.
TestSamples test_samples(augment::TestSource& source, const data::Dataset& dataset,
                         const std::vector<std::size_t>& positions, std::int64_t batch_size,
                         const comm::Communicator& ranks, std::int64_t composers, std::int64_t ring_batches,
                         std::pmr::memory_resource* memory = std::pmr::get_default_resource());

}  // namespace deda::training

// Batches in order, composed ahead by worker threads into a ring of buffers that are allocated once.
//
// The global batch is fixed by configuration; rank r of R takes the places r, r+R, ... of each global batch,
// so that samples, pixels and labels are the same for any number of ranks. The last, smaller batch of an
// epoch is kept; a rank may get none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <vector>

#include "augment/batch_stream.h"
#include "augment/sample_source.h"

namespace deda::augment {

// Which samples a stream hands out: per batch, this rank's sample numbers.
using Plan = std::vector<std::vector<std::int64_t>>;
// One epoch of training from batch `first_batch` on. `order` as TrainingSource::order.
Plan training_plan(const std::vector<std::uint32_t>& order, std::int64_t global_batch, int rank, int ranks,
                   std::int64_t first_batch = 0);
// All test samples once, `batch` at a time per rank, strided over the ranks.
Plan test_plan(std::int64_t samples, std::int64_t batch, int rank, int ranks);

class ComposedStream final : public BatchStream {
 public:
  struct Shape {
    std::int32_t side = 0, classes = 0;
  };
  // render(worker, sample, pixels, label, draws) must be thread-safe for different workers. Pixels and labels
  // of the ring lie in `memory`, which outlives the stream.
  using Render =
      std::function<void(int worker, std::int64_t sample, std::uint8_t* pixels, float* label, Draws& draws)>;
  // What a worker makes of a batch once all of its pictures are composed: `handed_out`, which next() then
  // gives, out of `composed`. Called once per batch, for several batches at a time by different workers.
  using Finish = std::function<void(int worker, std::size_t batch, const Batch& composed, Batch& handed_out)>;
  ComposedStream(Plan plan, Shape shape, int workers, std::int64_t ring_batches, Render render,
                 std::pmr::memory_resource* memory = std::pmr::get_default_resource(), Finish finish = {});
  ~ComposedStream() override;  // stops the workers; never throws
  ComposedStream(const ComposedStream&) = delete;
  ComposedStream& operator=(const ComposedStream&) = delete;
  const Batch* next() override;  // rethrows a worker's error

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::unique_ptr<BatchStream> open_training(
    TrainingSource& source, std::uint32_t epoch, std::int64_t global_batch, int rank, int ranks, int workers,
    std::int64_t ring_batches, std::int64_t first_batch = 0,
    std::pmr::memory_resource* memory = std::pmr::get_default_resource());
std::unique_ptr<BatchStream> open_test(TestSource& source, std::int64_t batch, int rank, int ranks,
                                       int workers, std::int64_t ring_batches,
                                       std::pmr::memory_resource* memory = std::pmr::get_default_resource());

}  // namespace deda::augment

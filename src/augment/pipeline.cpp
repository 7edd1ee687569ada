#include "augment/pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "augment/mixed_batches.h"

namespace deda::augment {

Plan training_plan(const std::vector<std::uint32_t>& order, std::int64_t global_batch, int rank, int ranks,
                   std::int64_t first_batch) {
  Plan plan;
  const std::int64_t count = static_cast<std::int64_t>(order.size());
  for (std::int64_t begin = first_batch * global_batch; begin < count; begin += global_batch) {
    plan.emplace_back();
    for (std::int64_t place = begin + rank; place < std::min(count, begin + global_batch); place += ranks)
      plan.back().push_back(order[static_cast<std::size_t>(place)]);
  }
  return plan;
}

Plan test_plan(std::int64_t samples, std::int64_t batch, int rank, int ranks) {
  Plan plan;
  for (std::int64_t sample = rank; sample < samples; sample += ranks) {
    if (plan.empty() || static_cast<std::int64_t>(plan.back().size()) == batch) plan.emplace_back();
    plan.back().push_back(sample);
  }
  return plan;
}

struct ComposedStream::State {
  Plan plan;
  Shape shape;
  Render render;
  Finish finish;  // empty: batches are handed out as they were composed
  std::vector<Batch> ring;
  std::vector<Batch> composed;  // with `finish`, what it reads; in step with the ring
  std::vector<std::int64_t>
      left;  // samples of the ring's batch that are not composed yet; `finish` counts as one
  std::mutex mutex;
  std::condition_variable work_there, batch_done;
  std::size_t handed_out = 0;  // batches the caller has taken; the last of them is still in use
  std::size_t next_batch = 0, next_slot = 0;  // next sample to compose
  bool stopping = false;
  std::exception_ptr failure;
  std::vector<std::thread> threads;

  // A batch may be composed when its ring buffer is no longer the caller's.
  bool may_begin(std::size_t batch) const {
    return batch < handed_out + ring.size() - (handed_out > 0 ? 1 : 0);
  }

  Batch& composed_into(std::size_t batch) { return (finish ? composed : ring)[batch % ring.size()]; }

  void prepare(std::size_t batch) {
    Batch& buffer = composed_into(batch);
    const std::size_t size = plan[batch].size();
    buffer.size = static_cast<std::int64_t>(size);
    buffer.height = buffer.width = shape.side;
    buffer.classes = shape.classes;
    buffer.pixels.resize(size * static_cast<std::size_t>(shape.side) * static_cast<std::size_t>(shape.side) *
                         3);
    buffer.labels.resize(size * static_cast<std::size_t>(shape.classes));
    buffer.draws.resize(size);
    left[batch % ring.size()] = static_cast<std::int64_t>(size) + (finish && size > 0 ? 1 : 0);
    if (finish && size == 0) {
      // Nothing may be left of the batch that was in the buffer before: its plan is another's.
      Batch& empty = ring[batch % ring.size()];
      empty.size = empty.sources = 0;
      empty.height = empty.width = shape.side;
      empty.classes = shape.classes;
      empty.pixels.clear();
      empty.labels.clear();
      empty.draws.clear();
      empty.mix.reset();
    }
  }

  // Called unlocked.
  void try_to(std::exception_ptr& error, const auto& work) {
    try {
      work();
    } catch (...) {
      error = std::current_exception();
    }
  }

  void work(int worker) {
    std::unique_lock lock{mutex};
    for (;;) {
      // Empty batches need no work; the caller sees them ready.
      while (next_batch < plan.size() && may_begin(next_batch) && next_slot == 0 &&
             plan[next_batch].empty()) {
        prepare(next_batch++);
        batch_done.notify_all();
      }
      if (stopping || failure || next_batch >= plan.size()) return;
      if (!may_begin(next_batch)) {
        work_there.wait(lock);
        continue;
      }
      const std::size_t batch = next_batch, slot = next_slot;
      if (slot == 0) prepare(batch);
      if (++next_slot == plan[batch].size()) {
        next_slot = 0;
        ++next_batch;
      }
      lock.unlock();
      Batch& buffer = composed_into(batch);
      const std::size_t pixels =
          static_cast<std::size_t>(shape.side) * static_cast<std::size_t>(shape.side) * 3;
      std::exception_ptr error;
      try_to(error, [&] {
        render(worker, plan[batch][slot], buffer.pixels.data() + slot * pixels,
               buffer.labels.data() + slot * static_cast<std::size_t>(shape.classes), buffer.draws[slot]);
      });
      lock.lock();
      auto& open = left[batch % ring.size()];
      --open;
      if (finish && open == 1 && !error && !failure) {
        lock.unlock();
        try_to(error, [&] { finish(worker, batch, buffer, ring[batch % ring.size()]); });
        lock.lock();
        --open;
      }
      if (error && !failure) failure = error;
      if (open == 0 || error) batch_done.notify_all();
    }
  }
};

ComposedStream::ComposedStream(Plan plan, Shape shape, int workers, std::int64_t ring_batches, Render render,
                               std::pmr::memory_resource* memory, Finish finish)
    : state_{std::make_unique<State>()} {
  State& state = *state_;
  state.plan = std::move(plan);
  state.shape = shape;
  state.render = std::move(render);
  state.finish = std::move(finish);
  const auto ring = static_cast<std::size_t>(std::max<std::int64_t>(2, ring_batches));
  state.ring.reserve(ring);
  for (std::size_t i = 0; i < ring; ++i) state.ring.emplace_back(memory);
  if (state.finish) state.composed.resize(ring);
  state.left.assign(state.ring.size(), 0);
  for (int worker = 0; worker < std::max(1, workers); ++worker)
    state.threads.emplace_back([&state, worker] { state.work(worker); });
}

ComposedStream::~ComposedStream() {
  {
    const std::lock_guard lock{state_->mutex};
    state_->stopping = true;
  }
  state_->work_there.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

const Batch* ComposedStream::next() {
  State& state = *state_;
  std::unique_lock lock{state.mutex};
  const std::size_t batch = state.handed_out;
  if (batch >= state.plan.size()) return nullptr;
  ++state.handed_out;  // frees the buffer of the batch before
  state.work_there.notify_all();
  const auto ready = [&] {
    const bool begun = state.next_batch > batch;  // every sample of it was taken up
    return state.failure || (begun && state.left[batch % state.ring.size()] == 0);
  };
  state.batch_done.wait(lock, ready);
  if (state.failure) std::rethrow_exception(state.failure);
  return &state.ring[batch % state.ring.size()];
}

std::unique_ptr<BatchStream> open_training(TrainingSource& source, std::uint32_t epoch,
                                           std::int64_t global_batch, int rank, int ranks, int workers,
                                           std::int64_t ring_batches, std::int64_t first_batch,
                                           std::pmr::memory_resource* memory) {
  auto scratch =
      std::make_shared<std::vector<ComposerScratch>>(static_cast<std::size_t>(std::max(1, workers)));
  const auto render = [&source, epoch, scratch](int worker, std::int64_t sample, std::uint8_t* pixels,
                                                float* label, Draws& draws) {
    source.render(sample, epoch, (*scratch)[static_cast<std::size_t>(worker)], pixels, label, draws);
  };
  const ComposedStream::Shape shape{source.side(), source.classes()};
  if (const auto* mixing = source.config().mixing.active()) {
    auto batches = std::make_shared<MixedBatches>(
        *mixing, GlobalBatches{source.order(epoch), global_batch, source.seed(), epoch, first_batch}, rank,
        ranks, source.side(), workers);
    auto plan = batches->samples_to_compose();
    return std::make_unique<ComposedStream>(
        std::move(plan), shape, workers, ring_batches, render, memory,
        [batches](int worker, std::size_t batch, const Batch& composed, Batch& handed_out) {
          batches->mix(worker, batch, composed, handed_out);
        });
  }
  return std::make_unique<ComposedStream>(
      training_plan(source.order(epoch), global_batch, rank, ranks, first_batch), shape, workers,
      ring_batches, render, memory);
}

std::unique_ptr<BatchStream> open_test(TestSource& source, std::int64_t batch, int rank, int ranks,
                                       int workers, std::int64_t ring_batches,
                                       std::pmr::memory_resource* memory) {
  return std::make_unique<ComposedStream>(
      test_plan(source.size(), batch, rank, ranks), ComposedStream::Shape{source.side(), source.classes()},
      workers, ring_batches,
      [&source](int, std::int64_t sample, std::uint8_t* pixels, float* label, Draws& draws) {
        source.render(sample, pixels, label, draws);
      },
      memory);
}

}  // namespace deda::augment

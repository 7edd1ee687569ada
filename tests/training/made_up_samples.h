// A tiny made-up dataset for trainer tests: the class of a picture shows in its colour, and everything is a
// function of the picture's number. Streams cut global batches over ranks as the pipeline does and remember
// what they gave.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "comm/communicator.h"
#include "core/error.h"
#include "core/random.h"
#include "core/stop.h"
#include "support/hashed_numbers.h"
#include "training/sample_sets.h"

namespace deda::test {

// Ends as 2 x 2 pixels in a ResNet: batch norm of a share of two pictures then has eight values, and is well
// conditioned.
inline constexpr std::int32_t made_up_side = 48;
inline constexpr std::int32_t made_up_classes = 3;

inline void append_picture(augment::Batch& batch, std::int64_t index) {
  const auto label = static_cast<std::int32_t>(index % made_up_classes);
  for (std::int64_t i = 0; i < std::int64_t{made_up_side} * made_up_side * 3; ++i) {
    const double noise =
        120 * hashed_number(static_cast<std::uint64_t>(index), static_cast<std::uint64_t>(i));
    batch.pixels.push_back(static_cast<std::uint8_t>(noise + (i % 3 == label ? 100 : 20)));
  }
  for (std::int32_t c = 0; c < made_up_classes; ++c) batch.labels.push_back(c == label ? 1.0f : 0.0f);
  augment::Draws draws;
  draws.index = index;
  batch.draws.push_back(draws);
  ++batch.size;
}

inline augment::Batch empty_batch() {
  augment::Batch batch;
  batch.height = batch.width = made_up_side;
  batch.classes = made_up_classes;
  return batch;
}

// Positions of a global batch that belong to one rank.
inline augment::Batch share_of(const std::vector<std::uint32_t>& order, std::int64_t first, std::int64_t last,
                               int rank, int ranks) {
  auto batch = empty_batch();
  for (std::int64_t i = first + rank; i < last; i += ranks)
    append_picture(batch, order[static_cast<std::size_t>(i)]);
  return batch;
}

struct Visit {
  std::int64_t epoch, step, index;
  bool operator<(const Visit& other) const {
    return std::tie(epoch, step, index) < std::tie(other.epoch, other.step, other.index);
  }
  bool operator==(const Visit& other) const {
    return std::tie(epoch, step, index) == std::tie(other.epoch, other.step, other.index);
  }
};

// What should happen in a run besides training.
struct Incidents {
  std::int64_t stop_epoch = -1, stop_step = -1;  // asks to stop when this batch is fetched
  std::int64_t fail_epoch = -1, fail_step = -1;  // this batch cannot be read
};

class MadeUpStream final : public augment::BatchStream {
 public:
  MadeUpStream(std::int64_t count, std::int64_t batch_size, std::int64_t epoch, std::int64_t first_step,
               int rank, int ranks, Incidents incidents, std::vector<Visit>* visits)
      : order_{permutation(static_cast<std::uint32_t>(count),
                           RandomStream(1, Purpose::shuffle, static_cast<std::uint32_t>(epoch), 0))},
        batch_size_{batch_size},
        epoch_{epoch},
        step_{first_step},
        rank_{rank},
        ranks_{ranks},
        incidents_{incidents},
        visits_{visits} {}

  const augment::Batch* next() override {
    const auto count = static_cast<std::int64_t>(order_.size());
    const std::int64_t first = step_ * batch_size_;
    if (first >= count) return nullptr;
    if (incidents_.fail_epoch == epoch_ && incidents_.fail_step == step_)
      throw DataError("picture 7 is broken", "seven.jpg");
    if (incidents_.stop_epoch == epoch_ && incidents_.stop_step == step_) request_stop("the test asked");
    batch_ = share_of(order_, first, std::min(count, first + batch_size_), rank_, ranks_);
    if (visits_) {
      for (const auto& draws : batch_.draws) visits_->push_back({epoch_, step_, draws.index});
    }
    ++step_;
    return &batch_;
  }

 private:
  std::vector<std::uint32_t> order_;
  std::int64_t batch_size_, epoch_, step_;
  int rank_, ranks_;
  Incidents incidents_;
  std::vector<Visit>* visits_;
  augment::Batch batch_;
};

inline training::TrainingSamples made_up_training(const comm::Communicator& ranks, std::int64_t count,
                                                  std::int64_t batch_size, Incidents incidents = {},
                                                  std::vector<Visit>* visits = nullptr) {
  training::TrainingSamples samples;
  samples.count = count;
  samples.classes = made_up_classes;
  samples.height = samples.width = made_up_side;
  samples.open = [=, rank = ranks.rank(), size = ranks.size()](std::int64_t epoch, std::int64_t first_step) {
    return std::make_unique<MadeUpStream>(count, batch_size, epoch, first_step, rank, size, incidents,
                                          visits);
  };
  return samples;
}

// Test pictures 0..count-1 in order; even ones are of group "even".
inline training::TestSamples made_up_tests(const comm::Communicator& ranks, std::int64_t count) {
  class Stream final : public augment::BatchStream {
   public:
    Stream(std::int64_t count, int rank, int ranks) : count_{count}, position_{rank}, ranks_{ranks} {}
    const augment::Batch* next() override {
      constexpr std::int64_t batch_size = 5;
      if (position_ >= count_) return nullptr;
      batch_ = empty_batch();
      for (; batch_.size < batch_size && position_ < count_; position_ += ranks_)
        append_picture(batch_, position_);
      return &batch_;
    }

   private:
    std::int64_t count_, position_;
    int ranks_;
    augment::Batch batch_;
  };
  training::TestSamples tests;
  tests.count = count;
  tests.groups = {"even"};
  for (std::int64_t i = 0; i < count; ++i) tests.group_of.push_back(i % 2 == 0 ? 0 : -1);
  tests.open = [count, rank = ranks.rank(), size = ranks.size()] {
    return std::make_unique<Stream>(count, rank, size);
  };
  return tests;
}

}  // namespace deda::test

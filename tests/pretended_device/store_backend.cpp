#include "pretended_device/store_backend.h"

#include <ATen/ATen.h>

#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <torch/csrc/distributed/c10d/Work.hpp>
#include <utility>
#include <vector>

#include "pretended_device/activity.h"
#include "pretended_device/host_calls.h"
#include "pretended_device/recording.h"

namespace deda::pretended {

namespace {

using Bytes = std::vector<std::uint8_t>;

// Done when it is returned.
class DoneWork final : public c10d::Work {
 public:
  DoneWork(int rank, c10d::OpType type, const std::vector<at::Tensor>& result)
      : Work(rank, type),
        future_{c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()))} {
    future_->markCompleted(c10::IValue(result));
  }
  bool isCompleted() override { return true; }
  bool isSuccess() const override { return true; }
  std::exception_ptr exception() const override { return nullptr; }
  void synchronize() override {}
  bool wait(std::chrono::milliseconds) override { return true; }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future_; }

 private:
  c10::intrusive_ptr<c10::ivalue::Future> future_;
};

// The ranks' meetings, counted: every rank must call the same operations in the same order.
class Meetings {
 public:
  Meetings(c10::intrusive_ptr<c10d::Store> store, int rank, int size)
      : store_{std::move(store)}, rank_{rank}, size_{size} {}

  Meetings(const Meetings&) = delete;
  Meetings& operator=(const Meetings&) = delete;
  // The store lives in rank 0, whose values the others may still be reading: it leaves last.
  ~Meetings() {
    try {
      const auto give_up = std::chrono::steady_clock::now() + store_->getTimeout();
      auto left = store_->add("pretended/left", 1);
      while (rank_ == 0 && left < size_ && std::chrono::steady_clock::now() < give_up) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        left = store_->add("pretended/left", 0);
      }
    } catch (const std::exception&) {
      // The store is gone and with it the other ranks: they have told why.
      return;
    }
  }

  // Every rank's bytes, in the order of ranks.
  std::vector<Bytes> exchange(Bytes own) {
    const std::lock_guard lock(mutex_);
    ++number_;
    own.push_back(0);  // a store may not like empty values
    store_->set(key(number_, rank_), own);
    std::vector<Bytes> all;
    for (int rank = 0; rank < size_; ++rank) {
      all.push_back(store_->get(key(number_, rank)));
      all.back().pop_back();
    }
    // All ranks have come this far, so that nobody will read what the last meeting left.
    if (number_ > 1) store_->deleteKey(key(number_ - 1, rank_));
    return all;
  }

 private:
  static std::string key(std::int64_t number, int rank) {
    return "pretended/" + std::to_string(number) + "/" + std::to_string(rank);
  }
  c10::intrusive_ptr<c10d::Store> store_;
  int rank_, size_;
  std::mutex mutex_;
  std::int64_t number_ = 0;
};

Bytes bytes_of(const at::Tensor& tensor) {
  const auto* const begin = static_cast<const std::uint8_t*>(tensor.const_data_ptr());
  return {begin, begin + tensor.nbytes()};
}

void set_bytes(const at::Tensor& tensor, const Bytes& bytes) {
  TORCH_CHECK(bytes.size() == tensor.nbytes(), "ranks gave tensors of ", tensor.nbytes(), " and of ",
              bytes.size(), " bytes to one operation");
  std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
}

void combine(at::Tensor& sum, const at::Tensor& other, const c10d::ReduceOp& operation) {
  if (operation == c10d::ReduceOp::MIN)
    sum = at::minimum(sum, other);
  else if (operation == c10d::ReduceOp::MAX)
    sum = at::maximum(sum, other);
  else
    sum = sum + other;
}

class StoreBackend final : public c10d::Backend {
 public:
  StoreBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size)
      : Backend(rank, size), meetings_{std::make_shared<Meetings>(store, rank, size)} {}
  const std::string getBackendName() const override { return "pretended_nccl"; }

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override {
    const auto operation = options.reduceOp;
    TORCH_CHECK(operation == c10d::ReduceOp::SUM || operation == c10d::ReduceOp::AVG ||
                    operation == c10d::ReduceOp::MIN || operation == c10d::ReduceOp::MAX,
                "the pretended device reduces by sum, average, minimum and maximum only");
    const auto tensor = only_one(tensors);
    run("allreduce", [meetings = meetings_, tensor, operation, size = getSize()] {
      at::Tensor sum;
      for (const Bytes& bytes : meetings->exchange(bytes_of(tensor))) {
        auto part = at::empty_like(tensor);
        set_bytes(part, bytes);
        if (!sum.defined())
          sum = part;
        else
          combine(sum, part, operation);
      }
      if (operation == c10d::ReduceOp::AVG)
        sum = at::div(sum, size,
                      at::isIntegralType(sum.scalar_type(), true) ? std::optional<std::string_view>("trunc")
                                                                  : std::nullopt);
      tensor.copy_(sum);
    });
    return done(c10d::OpType::ALLREDUCE, tensors);
  }

  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override {
    const auto tensor = only_one(tensors);
    run("broadcast", [meetings = meetings_, tensor, root = options.rootRank, rank = getRank()] {
      const auto all = meetings->exchange(rank == root ? bytes_of(tensor) : Bytes{});
      set_bytes(tensor, all.at(static_cast<std::size_t>(root)));
    });
    return done(c10d::OpType::BROADCAST, tensors);
  }

  c10::intrusive_ptr<c10d::Work> allgather(std::vector<std::vector<at::Tensor>>& outputs,
                                           std::vector<at::Tensor>& inputs,
                                           const c10d::AllgatherOptions&) override {
    const auto tensor = only_one(inputs);
    TORCH_CHECK(outputs.size() == 1 && outputs.front().size() == static_cast<std::size_t>(getSize()),
                "allgather needs one list of ", getSize(), " output tensors");
    std::vector<at::Tensor> gathered;
    for (const at::Tensor& output : outputs.front()) gathered.push_back(seen_by_host(output));
    run("allgather", [meetings = meetings_, tensor, gathered] {
      const auto all = meetings->exchange(bytes_of(tensor));
      for (std::size_t rank = 0; rank < all.size(); ++rank) set_bytes(gathered[rank], all[rank]);
    });
    return done(c10d::OpType::ALLGATHER, outputs.front());
  }

  c10::intrusive_ptr<c10d::Work> barrier(const c10d::BarrierOptions&) override {
    run("barrier", [meetings = meetings_] { meetings->exchange({}); });
    return done(c10d::OpType::BARRIER, {});
  }

 private:
  static at::Tensor seen_by_host(const at::Tensor& tensor) {
    TORCH_CHECK(on_device(tensor), "the pretended device's collectives take its tensors only, not one on ",
                tensor.device());
    TORCH_CHECK(tensor.is_non_overlapping_and_dense(), "collectives take dense tensors only");
    return HostTensors().view(tensor);
  }
  static at::Tensor only_one(const std::vector<at::Tensor>& tensors) {
    TORCH_CHECK(tensors.size() == 1, "the pretended device's collectives take one tensor, not ",
                tensors.size());
    return seen_by_host(tensors.front());
  }
  static void run(const std::string& name, std::function<void()> operation) {
    count_operation(name);
    {
      const HostScope host;
      operation();
    }
    if (current_stream_is_recorded()) record(std::move(operation));
  }
  c10::intrusive_ptr<c10d::Work> done(c10d::OpType type, const std::vector<at::Tensor>& result) {
    return c10::make_intrusive<DoneWork>(getRank(), type, result);
  }

  std::shared_ptr<Meetings> meetings_;
};

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_store_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                                     int size, std::chrono::milliseconds timeout) {
  store->setTimeout(timeout);
  return c10::make_intrusive<StoreBackend>(store, rank, size);
}

}  // namespace deda::pretended

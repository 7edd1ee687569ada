#include "comm/c10d/mpi_backend.h"

#include <ATen/core/ivalue.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/Work.hpp>
#include <utility>

#include "comm/mpi_handle.h"
#include "comm/watched.h"
#include "core/error.h"

namespace deda::comm {

namespace {

// Long messages travel in pieces: MPI counts in int, and a piece is reduced while the next one is under way.
constexpr std::int64_t piece_bytes = std::int64_t{4} << 20;
constexpr double bytes_per_megabyte = 1e6;

// The pending result of one operation; the communication thread completes it.
class MpiWork final : public c10d::Work {
 public:
  MpiWork(int rank, c10d::OpType type)
      : Work(rank, type),
        future_{c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()))} {}

  bool isCompleted() override { return future_->completed(); }
  bool isSuccess() const override { return future_->completed() && !future_->hasError(); }
  std::exception_ptr exception() const override {
    return future_->hasError() ? future_->exception_ptr() : nullptr;
  }
  void synchronize() override {}
  // Ends by itself within the time limit of the back end, whatever `timeout` says.
  bool wait(std::chrono::milliseconds) override {
    future_->waitAndThrow();
    return true;
  }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future_; }

  void succeed(const std::vector<at::Tensor>& tensors) { future_->markCompleted(c10::IValue(tensors)); }
  void fail(std::exception_ptr error) { future_->setError(std::move(error)); }

 private:
  c10::intrusive_ptr<c10::ivalue::Future> future_;
};

// The MPI type that sums tensors of a type, or MPI_DATATYPE_NULL.
MPI_Datatype summable_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    default:
      return MPI_DATATYPE_NULL;
  }
}
bool added_up_in_float(at::ScalarType type) {
  return type == at::kBFloat16 || type == at::kHalf;
}

MPI_Op operation_of(const c10d::ReduceOp& op) {
  if (op == c10d::ReduceOp::SUM || op == c10d::ReduceOp::AVG) return MPI_SUM;
  if (op == c10d::ReduceOp::MIN) return MPI_MIN;
  if (op == c10d::ReduceOp::MAX) return MPI_MAX;
  throw CommError("all-reduce over MPI knows sum, average, minimum and maximum, and no other operation");
}

void require_cpu(const at::Tensor& tensor, const char* operation) {
  if (!tensor.device().is_cpu() || tensor.is_sparse()) {
    throw CommError(fmt::format("{} over MPI takes dense CPU tensors, not one on {}{}", operation,
                                tensor.device().str(), tensor.is_sparse() ? " (sparse)" : ""));
  }
}

const at::Tensor& only_one(const std::vector<at::Tensor>& tensors, const char* operation) {
  if (tensors.size() != 1)
    throw CommError(fmt::format("{} over MPI takes one tensor, not {}", operation, tensors.size()));
  require_cpu(tensors.front(), operation);
  return tensors.front();
}

std::string describe(const char* operation, const at::Tensor& tensor) {
  return fmt::format("{} of {:.1f} MB {}", operation,
                     static_cast<double>(tensor.nbytes()) / bytes_per_megabyte,
                     c10::toString(tensor.scalar_type()));
}

// One operation on its way. `buffer` is what MPI works on: the tensor's own memory or a contiguous copy.
struct Job {
  std::string what;
  at::Tensor buffer, gathered;
  std::function<void(Job&, MPI_Comm, const Wait&)> move;  // the MPI part
  std::function<void(Job&)> unpack = {};                  // from the buffer to the tensors
  std::vector<at::Tensor> result;
  c10::intrusive_ptr<MpiWork> work;
};

// All pieces are started before the first is waited for, so that the transport always has something to do.
template <class Start>
void in_pieces(std::int64_t elements, std::size_t element_bytes, const Wait& wait, Start start) {
  const std::int64_t piece =
      std::max<std::int64_t>(1, piece_bytes / static_cast<std::int64_t>(element_bytes));
  std::vector<MPI_Request> requests;
  for (std::int64_t begin = 0; begin < elements; begin += piece) {
    requests.push_back(MPI_REQUEST_NULL);
    check_mpi(start(begin, static_cast<int>(std::min(piece, elements - begin)), &requests.back()),
              wait.operation);
  }
  for (MPI_Request& request : requests) wait_watched(request, wait);
}

}  // namespace

// Takes jobs in order. After a failure every later job fails at once: the ranks are out of step.
class MpiBackend::Thread {
 public:
  explicit Thread(const Communicator& ranks) : ranks_{ranks.duplicate()}, thread_{[this] { run(); }} {}
  ~Thread() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  c10::intrusive_ptr<c10d::Work> submit(c10d::OpType type, std::unique_ptr<Job> job) {
    job->work = c10::make_intrusive<MpiWork>(ranks_.rank(), type);
    c10::intrusive_ptr<c10d::Work> work = job->work;
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    changed_.notify_one();
    return work;
  }
  int size() const { return ranks_.size(); }

 private:
  void run() {
    while (std::unique_ptr<Job> job = next()) {
      ++number_;
      if (failure_) {
        job->work->fail(failure_);
        continue;
      }
      try {
        const std::string number = fmt::format("operation {} of the MPI back end", number_);
        job->move(*job, mpi_handle(ranks_), Wait{ranks_.rank(), job->what, number, {}});
        if (job->unpack) job->unpack(*job);
        job->work->succeed(job->result);
      } catch (...) {
        failure_ = std::current_exception();
        const auto work = job->work;
        static_cast<void>(job.release());  // MPI may still read and write its buffers
        work->fail(failure_);
      }
    }
  }
  std::unique_ptr<Job> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
    if (jobs_.empty()) return nullptr;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }

  const Communicator ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Job>> jobs_;
  bool closing_ = false;
  std::int64_t number_ = 0;
  std::exception_ptr failure_;
  std::thread thread_;  // last: it uses all of the above
};

MpiBackend::MpiBackend(const Communicator& ranks) : Backend(ranks.rank(), ranks.size()) {
  int granted = MPI_THREAD_SINGLE;
  check_mpi(MPI_Query_thread(&granted), "MPI_Query_thread");
  if (ranks.size() > 1 && granted != MPI_THREAD_MULTIPLE) {
    throw CommError(
        "training on several ranks needs MPI_THREAD_MULTIPLE, which this MPI library did not grant", {},
        "Use an MPI library built with thread support, or run one rank.");
  }
  thread_ = std::make_unique<Thread>(ranks);
}
MpiBackend::~MpiBackend() = default;

c10::intrusive_ptr<c10d::Work> MpiBackend::allreduce(std::vector<at::Tensor>& tensors,
                                                     const c10d::AllreduceOptions& options) {
  const at::Tensor tensor = only_one(tensors, "all-reduce");
  const at::ScalarType type = added_up_in_float(tensor.scalar_type()) ? at::kFloat : tensor.scalar_type();
  const MPI_Datatype mpi_type = summable_type(type);
  if (mpi_type == MPI_DATATYPE_NULL) {
    throw CommError(fmt::format("all-reduce over MPI cannot add up tensors of type {}", c10::toString(type)),
                    {}, "Convert to float32, float64, bfloat16, float16, int32 or int64.");
  }
  const MPI_Op operation = operation_of(options.reduceOp);
  const bool average = options.reduceOp == c10d::ReduceOp::AVG;
  const at::NoGradGuard no_grad;
  auto job = std::make_unique<Job>();
  job->what = describe("all-reduce", tensor);
  job->buffer =
      tensor.detach().to(type).contiguous();  // the tensor's own memory where nothing needs to change
  job->move = [mpi_type, operation](Job& j, MPI_Comm comm, const Wait& wait) {
    auto* data = static_cast<std::byte*>(j.buffer.data_ptr());
    const std::size_t width = j.buffer.element_size();
    in_pieces(j.buffer.numel(), width, wait, [&](std::int64_t begin, int count, MPI_Request* request) {
      return MPI_Iallreduce(MPI_IN_PLACE, data + static_cast<std::size_t>(begin) * width, count, mpi_type,
                            operation, comm, request);
    });
  };
  const bool in_place = job->buffer.data_ptr() == tensor.data_ptr();
  if (!in_place || average) {
    job->unpack = [tensor, average, size = getSize()](Job& j) {
      const at::NoGradGuard guard;
      // Whole numbers are averaged as NCCL does it: towards zero.
      if (average && at::isIntegralType(j.buffer.scalar_type(), true))
        j.buffer.div_(size, "trunc");
      else if (average)
        j.buffer.div_(size);
      if (j.buffer.data_ptr() != tensor.data_ptr()) tensor.detach().copy_(j.buffer);
    };
  }
  job->result = tensors;
  return thread_->submit(c10d::OpType::ALLREDUCE, std::move(job));
}

c10::intrusive_ptr<c10d::Work> MpiBackend::broadcast(std::vector<at::Tensor>& tensors,
                                                     const c10d::BroadcastOptions& options) {
  const at::Tensor tensor = only_one(tensors, "broadcast");
  const at::NoGradGuard no_grad;
  auto job = std::make_unique<Job>();
  job->what = describe("broadcast", tensor);
  job->buffer = tensor.detach().contiguous();
  job->move = [root = static_cast<int>(options.rootRank)](Job& j, MPI_Comm comm, const Wait& wait) {
    auto* data = static_cast<std::byte*>(j.buffer.data_ptr());
    in_pieces(static_cast<std::int64_t>(j.buffer.nbytes()), 1, wait,
              [&](std::int64_t begin, int count, MPI_Request* request) {
                return MPI_Ibcast(data + begin, count, MPI_BYTE, root, comm, request);
              });
  };
  if (job->buffer.data_ptr() != tensor.data_ptr()) {
    job->unpack = [tensor](Job& j) {
      const at::NoGradGuard guard;
      tensor.detach().copy_(j.buffer);
    };
  }
  job->result = tensors;
  return thread_->submit(c10d::OpType::BROADCAST, std::move(job));
}

c10::intrusive_ptr<c10d::Work> MpiBackend::allgather(std::vector<std::vector<at::Tensor>>& outputs,
                                                     std::vector<at::Tensor>& inputs,
                                                     const c10d::AllgatherOptions&) {
  const at::Tensor tensor = only_one(inputs, "all-gather");
  if (outputs.size() != 1 || outputs.front().size() != static_cast<std::size_t>(getSize())) {
    throw CommError(fmt::format("all-gather over MPI needs one list of {} output tensors", getSize()));
  }
  for (const at::Tensor& output : outputs.front()) {
    require_cpu(output, "all-gather");
    if (output.numel() != tensor.numel() || output.scalar_type() != tensor.scalar_type()) {
      throw CommError(fmt::format(
          "all-gather over MPI needs output tensors like the input: {} elements of {}, not {} of {}",
          tensor.numel(), c10::toString(tensor.scalar_type()), output.numel(),
          c10::toString(output.scalar_type())));
    }
  }
  const at::NoGradGuard no_grad;
  auto job = std::make_unique<Job>();
  job->what = describe("all-gather", tensor);
  job->buffer = tensor.detach().contiguous();
  job->gathered = at::empty({getSize(), tensor.numel()}, job->buffer.options());
  job->move = [size = getSize(), rank = getRank()](Job& j, MPI_Comm comm, const Wait& wait) {
    // One broadcast per rank: the counts stay within int for any size, and this is no operation of the
    // training loop.
    const auto bytes = static_cast<std::int64_t>(j.buffer.nbytes());
    auto* all = static_cast<std::byte*>(j.gathered.data_ptr());
    std::copy_n(static_cast<const std::byte*>(j.buffer.data_ptr()), bytes, all + rank * bytes);
    for (int root = 0; root < size; ++root) {
      in_pieces(bytes, 1, wait, [&](std::int64_t begin, int count, MPI_Request* request) {
        return MPI_Ibcast(all + root * bytes + begin, count, MPI_BYTE, root, comm, request);
      });
    }
  };
  job->unpack = [list = outputs.front()](Job& j) {
    const at::NoGradGuard guard;
    for (std::size_t r = 0; r < list.size(); ++r)
      list[r].detach().copy_(j.gathered[static_cast<std::int64_t>(r)].view(list[r].sizes()));
  };
  job->result = outputs.front();
  return thread_->submit(c10d::OpType::ALLGATHER, std::move(job));
}

c10::intrusive_ptr<c10d::Work> MpiBackend::barrier(const c10d::BarrierOptions&) {
  auto job = std::make_unique<Job>();
  job->what = "barrier";
  job->move = [](Job&, MPI_Comm comm, const Wait& wait) {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Ibarrier(comm, &request), wait.operation);
    wait_watched(request, wait);
  };
  return thread_->submit(c10d::OpType::BARRIER, std::move(job));
}

}  // namespace deda::comm

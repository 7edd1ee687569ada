// Tensors over MPI: a c10d back end for CPU tensors, for machines without NCCL.
// Why our own: LibTorch's wheels carry neither the MPI back end nor Gloo's headers. One thread takes the
// operations in order, so that the buckets of a Reducer travel while the backward pass still runs; it needs
// MPI_THREAD_MULTIPLE.
#pragma once

#include <memory>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "comm/communicator.h"

namespace deda::comm {

// Operations: allreduce (sum, average, minimum, maximum), broadcast, allgather, barrier; all others throw as
// c10d's base does. allreduce takes float32, float64, int32, int64, and bfloat16 and float16 (added up in
// float32); other types are refused by name. broadcast and allgather take any type. Tensors need not be
// contiguous. Only CPU tensors. Every rank must call the same operations in the same order. Waits end
// as all of this folder's do (../README.md, "Slow or dead"): the work then ends with CommError or PeerFailure
// that names rank, operation and its number, and so does all work after it.
class MpiBackend final : public c10d::Backend {
 public:
  explicit MpiBackend(
      const Communicator& ranks);  // collective; CommError without MPI_THREAD_MULTIPLE (size > 1)
  ~MpiBackend() override;          // completes what was started

  const std::string getBackendName() const override { return "deda_mpi"; }
  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override;
  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override;
  c10::intrusive_ptr<c10d::Work> allgather(std::vector<std::vector<at::Tensor>>& outputs,
                                           std::vector<at::Tensor>& inputs,
                                           const c10d::AllgatherOptions& options) override;
  c10::intrusive_ptr<c10d::Work> barrier(const c10d::BarrierOptions& options) override;

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace deda::comm

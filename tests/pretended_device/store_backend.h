// What stands for NCCL: collectives of device tensors through the c10d store. Slow and simple; each process
// has a pretended device of its own, and ranks of one host may all have one.
#pragma once

#include <chrono>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace deda::pretended {

// allreduce (sum, average, minimum, maximum), broadcast, allgather and barrier; the others throw as c10d's
// base does. Tensors of the device only, dense and contiguous, as NCCL wants them.
c10::intrusive_ptr<c10d::Backend> make_store_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                                     int size, std::chrono::milliseconds timeout);

}  // namespace deda::pretended

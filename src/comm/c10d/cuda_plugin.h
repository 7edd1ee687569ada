// The GPU parts behind an interface, in a library of their own (libdeda_cuda.so) that is loaded at run time.
// Why: the same program then runs with and without GPU, driver, CUDA libraries and NCCL; what is missing
// becomes a sentence instead of a program that does not start.
#pragma once

#include <c10/core/DeviceType.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "comm/device_map.h"

namespace deda::comm {

// Raised with every change of the class below; a plugin of another number is refused.
inline constexpr int cuda_plugin_interface = 2;

// Work of a device that was recorded once and is started again by one call: a CUDA graph.
class CapturedWork {
 public:
  virtual ~CapturedWork() = default;
  virtual void replay() const = 0;  // on the current stream; does not wait for it
};

class CudaPlugin {
 public:
  virtual ~CudaPlugin() = default;
  // Type of the tensors that live there: CUDA. (tests/pretended_device names its own.)
  virtual c10::DeviceType device_type() const = 0;
  virtual int device_count() const = 0;                    // GPUs that this process sees; 0 without a driver
  virtual std::vector<VisibleDevice> devices() const = 0;  // for place_ranks
  virtual std::string compute_capability(int device) const = 0;  // "8.0"
  virtual bool has_bfloat16(int device) const = 0;  // units for it (from 8.0 on), not merely emulation
  virtual void set_device(int device) const = 0;
  virtual void synchronize() const = 0;  // waits for all work of the current device

  // Memory. Free: what a tensor could still get, blocks that LibTorch keeps for reuse included.
  virtual std::int64_t free_bytes(int device) const = 0;
  virtual std::int64_t total_bytes(int device) const = 0;
  virtual std::int64_t peak_bytes(int device) const = 0;  // most that tensors took since reset_peak()
  virtual void reset_peak(int device) const = 0;
  virtual void release_kept_blocks() const = 0;

  // While on, an operation that lets the host wait for the device throws: .item(), .cpu(), nonzero(), copies
  // from memory that is not pinned. Of the whole process; for checks, not for production.
  virtual void forbid_waiting(bool on) const = 0;

  // Runs `work` `warm_ups` times on a stream beside the current one, then once more while its kernels are
  // recorded. Tensors that `work` reads must stay where they are; those it makes live in memory of the
  // result and are overwritten by every replay. Throws what makes recording impossible (waiting for the
  // device, an operation that cannot be recorded); the device is usable after that.
  virtual std::unique_ptr<CapturedWork> capture(const std::function<void()>& work, int warm_ups) const = 0;

  virtual std::string nccl_version() const = 0;  // "2.28.9"
  // One rank's end of a NCCL group; collective through the store. `timeout` limits every operation.
  virtual c10::intrusive_ptr<c10d::Backend> make_nccl_backend(const c10::intrusive_ptr<c10d::Store>& store,
                                                              int rank, int size,
                                                              std::chrono::milliseconds timeout) const = 0;
};

struct LoadedCudaPlugin {
  CudaPlugin* plugin = nullptr;  // lives until the process ends; null where it cannot be used
  std::string reason;            // why not, or where it was loaded from
  bool not_built = false;        // this build was configured with a plugin, but its file is nowhere
};

// Loads the plugin once per process and says the same ever after. Looks in DEDA_PLUGIN_DIR, beside the
// executable, and in lib/deda of the executable's folder and its parents (../lib/deda when installed). Call
// it before anything asks LibTorch about CUDA: LibTorch remembers its first answer.
const LoadedCudaPlugin& load_cuda_plugin();

}  // namespace deda::comm

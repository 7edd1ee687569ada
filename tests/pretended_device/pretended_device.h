// What tests ask of the pretended GPU (README.md): how often the host waited, what was copied, what ran.
// The program itself sees only deda::comm::CudaPlugin.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

#include "comm/c10d/cuda_plugin.h"

namespace deda::pretended {

inline const c10::Device device{c10::DeviceType::PrivateUse1, 0};

// Since the last reset(). All threads together.
struct Counters {
  std::int64_t waits = 0;             // the host would have waited for the GPU
  std::int64_t copies_to_device = 0;  // from the host
  std::int64_t copies_to_host = 0;
  std::int64_t bytes_to_device = 0;
  std::int64_t bytes_to_host = 0;
  std::int64_t operations = 0;               // work given to the device, copies not included
  std::int64_t replays = 0;                  // of recorded work; its operations are not counted again
  std::vector<std::string> last_waits;       // newest last; at most `names_kept`
  std::vector<std::string> last_operations;  // likewise
};
inline constexpr std::size_t names_kept = 256;

Counters counters();
void reset_counters();

// The plugin that libdeda_cuda.so hands to the program.
comm::CudaPlugin& plugin();

}  // namespace deda::pretended

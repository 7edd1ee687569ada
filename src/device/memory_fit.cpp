#include "device/memory_fit.h"

#include <fmt/format.h>

#include <algorithm>

namespace deda::device {
namespace {

constexpr double usable_share = 0.9;
constexpr double bytes_per_gib = 1024.0 * 1024.0 * 1024.0;

std::int64_t peak_of(const comm::CudaPlugin& plugin, int device, const std::function<void()>& work) {
  plugin.synchronize();
  plugin.reset_peak(device);
  const auto before = plugin.peak_bytes(device);  // after a reset: what is there now
  work();
  plugin.synchronize();
  return plugin.peak_bytes(device) - before;
}

}  // namespace

std::int64_t samples_that_fit(std::int64_t free, std::int64_t fixed, std::int64_t per_sample, double share,
                              std::int64_t most) {
  const double usable = share * static_cast<double>(free) - static_cast<double>(fixed);
  if (per_sample <= 0) return usable >= 0 ? most : 1;
  const double fitting = usable / static_cast<double>(per_sample);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::min(fitting, static_cast<double>(most))), 1,
                                  most);
}

MemoryFit fit_into_memory(const comm::CudaPlugin& plugin, int device, const std::string& what,
                          std::int64_t most, int sharers,
                          const std::function<void(std::int64_t samples)>& work) {
  work(1);  // libraries take their workspaces at the first use
  const auto one = peak_of(plugin, device, [&] { work(1); }), two = peak_of(plugin, device, [&] { work(2); });
  MemoryFit fit;
  fit.bytes_per_sample = std::max<std::int64_t>(0, two - one);
  fit.bytes_fixed = std::max<std::int64_t>(0, one - fit.bytes_per_sample);
  plugin.release_kept_blocks();
  const auto free = plugin.free_bytes(device) / std::max(1, sharers);
  fit.at_once = samples_that_fit(free, fit.bytes_fixed, fit.bytes_per_sample, usable_share, most);
  fit.line = fmt::format("{}: {} at once (each takes {:.2f} GiB, {:.1f} GiB are free)", what, fit.at_once,
                         static_cast<double>(fit.bytes_per_sample) / bytes_per_gib,
                         static_cast<double>(free) / bytes_per_gib);
  return fit;
}

}  // namespace deda::device

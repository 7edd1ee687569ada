// The device under measurement, its clock and its time: everything is warmed up, repeated, and timed between
// two waits for the device; the median counts.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>

#include "bench/measure.h"
#include "comm/c10d/cuda_plugin.h"
#include "device/figures/options.h"
#include "device/figures/report.h"
#include "device/place.h"

namespace deda::figures {

// What a rate's line says besides.
struct Remarks {
  std::optional<double> goal = std::nullopt;
  std::string note = {};
};

// One line of what an exception says.
std::string reason_of(const std::exception& error);

class Workbench {
 public:
  // ConfigError where the device cannot be had.
  explicit Workbench(const Options& options);

  const Options& options() const { return options_; }
  bool small() const { return options_.small; }
  at::Device device() const { return device_; }
  device::Place place() const;
  bool on_gpu() const { return plugin_ != nullptr; }
  const comm::CudaPlugin& plugin() const { return *plugin_; }  // only on a GPU
  at::TensorOptions of(at::ScalarType type) const { return at::TensorOptions(type).device(device_); }

  void synchronize() const;
  bool time_is_up() const { return bench::seconds_since(start_) > options_.seconds; }

  // Median over several turns of the seconds that a call takes, in a row of calls that is waited for at its
  // end only, as in a loop that keeps the device busy. `briefly`: with as few turns as a median may have.
  double seconds_per_call(const std::function<void()>& work, bool briefly = false) const;

  // Runs `work`. What it throws, out of memory included, becomes the error of figure `name`; so does having
  // no time left. The rest goes on.
  void attempt(const std::string& name, const std::function<void()>& work) const;

  // Prints how many of `items` are done a second when `work` does so many a call, and on a GPU the most
  // memory that tensors took meanwhile ("NAME.peak_memory"). Returns items per second.
  double print_rate(const std::string& name, double items, const std::string& unit,
                    const std::function<void()>& work, const Remarks& remarks = {}) const;

 private:
  double seconds_of_calls(const std::function<void()>& work, std::int64_t calls) const;

  Options options_;
  at::Device device_ = at::kCPU;
  comm::CudaPlugin* plugin_ = nullptr;
  bench::Clock::time_point start_ = bench::Clock::now();
};

}  // namespace deda::figures

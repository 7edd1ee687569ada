#include "device/figures/workbench.h"

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "training/device.h"

namespace deda::figures {
namespace {

// How long a figure is measured for. A turn is long enough that waiting for the device at its end does not
// count; a call longer than `long_call` warms up once instead of twice, and two turns of it are enough.
struct Patience {
  double turn, figure, long_call;
  std::size_t least_turns, most_turns;
};
constexpr std::size_t turns_of_long_calls = 2;
constexpr Patience patience_on_gpu{0.05, 0.6, 1.0, 3, 15}, patience_small{0.0, 0.02, 1e9, 2, 3};
constexpr std::int64_t most_calls_a_turn = 1000;

}  // namespace

std::string reason_of(const std::exception& error) {
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  const std::string text = of_torch != nullptr ? of_torch->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

Workbench::Workbench(const Options& options) : options_{options} {
  if (options.device == "cpu") {
    constexpr int threads_on_cpu = 1;  // a rehearsal, often on a busy machine
    training::apply_torch_threads(threads_on_cpu);
    return;
  }
  const auto& loaded = comm::load_cuda_plugin();
  if (loaded.plugin == nullptr) throw ConfigError("there is no GPU to measure: " + loaded.reason, "--device");
  plugin_ = loaded.plugin;
  plugin_->set_device(0);
  device_ = at::Device(plugin_->device_type(), 0);
  training::apply_torch_threads(1);  // as the program has it beside a GPU
}

device::Place Workbench::place() const {
  device::Place place;
  place.device = device_;
  place.plugin = plugin_;
  return place;
}

void Workbench::synchronize() const {
  if (plugin_ != nullptr) plugin_->synchronize();
}

double Workbench::seconds_of_calls(const std::function<void()>& work, std::int64_t calls) const {
  synchronize();
  return bench::seconds_of([&] {
           for (std::int64_t call = 0; call < calls; ++call) work();
           synchronize();
         }) /
         static_cast<double>(calls);
}

double Workbench::seconds_per_call(const std::function<void()>& work, bool briefly) const {
  const auto& patience = small() ? patience_small : patience_on_gpu;
  double expected = seconds_of_calls(work, 1);
  // The first call also chooses kernels and fetches memory: only another one tells how long it takes.
  const bool is_long = expected >= patience.long_call;
  if (!is_long) expected = seconds_of_calls(work, 1);
  const auto calls =
      std::clamp<std::int64_t>(std::llround(patience.turn / std::max(expected, 1e-9)), 1, most_calls_a_turn);
  const auto start = bench::Clock::now();
  const auto least_turns = is_long ? turns_of_long_calls : patience.least_turns;
  std::vector<double> turns;
  const auto enough = [&] {
    if (turns.size() >= patience.most_turns || time_is_up()) return true;
    return turns.size() >= least_turns && (briefly || bench::seconds_since(start) > patience.figure);
  };
  do turns.push_back(seconds_of_calls(work, calls));
  while (!enough());
  return bench::median(turns);
}

void Workbench::attempt(const std::string& name, const std::function<void()>& work) const {
  if (time_is_up()) return print_error(name, "left out: the time was up");
  try {
    work();
  } catch (const std::exception& error) {
    print_error(name, reason_of(error));
  }
  // What a figure that ran out of memory holds on to must not starve the next one.
  if (plugin_ != nullptr) plugin_->release_kept_blocks();
}

double Workbench::print_rate(const std::string& name, double items, const std::string& unit,
                             const std::function<void()>& work, const Remarks& remarks) const {
  if (plugin_ != nullptr) plugin_->reset_peak(device_.index());
  const double rate = items / seconds_per_call(work);
  print({name, rate, unit, remarks.goal, remarks.note});
  if (plugin_ != nullptr)
    print({name + ".peak_memory", static_cast<double>(plugin_->peak_bytes(device_.index())) * 1e-9, "GB"});
  return rate;
}

}  // namespace deda::figures

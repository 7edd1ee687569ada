// The plugin and a NCCL group over the ranks: one without a launcher, more under mpirun.
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <chrono>

#include "check.h"
#include "comm/c10d/process_group.h"
#include "comm/device_map.h"
#include "core/error.h"

namespace deda::check {
namespace {

constexpr double bytes_per_gib = 1024.0 * 1024.0 * 1024.0;

void tell_devices(const comm::CudaPlugin& plugin) {
  const auto devices = plugin.devices();
  print({"GPUs", devices.size()});
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const int device = static_cast<int>(i);
    const std::string name = fmt::format("GPU {}", device);
    print({name,
           devices[i].name,
           {},
           {},
           true,
           fmt::format("compute capability {}, bfloat16 {}", plugin.compute_capability(device),
                       plugin.has_bfloat16(device) ? "yes" : "no")});
    const double free = static_cast<double>(plugin.free_bytes(device)) / bytes_per_gib,
                 total = static_cast<double>(plugin.total_bytes(device)) / bytes_per_gib;
    print({name + " memory", total, "GiB"});
    print({name + " free memory", free, "GiB", "more than 0 and at most all", free > 0 && free <= total});
  }
}

// Sum of 1 + rank over all ranks in every element; right in every bit.
bool all_reduce_is_right(c10d::ProcessGroup& group, at::Device device, at::ScalarType type) {
  constexpr std::int64_t elements = 1'000'003;
  const auto options = at::TensorOptions().device(device).dtype(type);
  const auto ramp = at::arange(elements, options.dtype(at::kFloat)).remainder(64);
  std::vector<at::Tensor> tensors{((group.getRank() + 1) * ramp).to(type)};
  group.allreduce(tensors)->wait();
  const double ranks = group.getSize();
  return at::equal(tensors[0].to(at::kFloat), ramp * (ranks * (ranks + 1) / 2));
}

}  // namespace

Outcome gpu(const Arguments&) {
  const auto& loaded = comm::load_cuda_plugin();
  fmt::print("{}\n", loaded.plugin == nullptr ? loaded.reason
                                              : fmt::format("{} GPUs", loaded.plugin->device_count()));
  return loaded.plugin == nullptr ? Outcome::no_gpu : Outcome::passed;
}

Outcome nccl(const Arguments&) {
  int argc = 0;
  char** argv = nullptr;
  const comm::MpiEnvironment mpi(argc, argv);
  const auto ranks = comm::Communicator::world();
  const auto& loaded = comm::load_cuda_plugin();
  if (ranks.any(loaded.plugin == nullptr)) {
    if (ranks.is_root())
      print({"CUDA/NCCL plugin",
             "not usable",
             {},
             {},
             true,
             loaded.plugin == nullptr ? loaded.reason : "on another rank"});
    return Outcome::no_gpu;
  }
  auto& plugin = *loaded.plugin;
  if (ranks.is_root()) {
    print({"CUDA/NCCL plugin", loaded.reason});
    print({"NCCL", plugin.nccl_version()});
    tell_devices(plugin);
  }
  const auto places = comm::place_ranks(ranks, plugin.devices());
  const int mine = places[static_cast<std::size_t>(ranks.rank())].device;
  const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(mine));
  const auto start = std::chrono::steady_clock::now();
  const auto group = comm::make_process_group(ranks, comm::DeviceKind::cuda, mine);
  bool passed = true;
  for (const auto& [type, name] : {std::pair{at::kFloat, "float32"}, std::pair{at::kBFloat16, "bfloat16"}}) {
    const bool right = all_reduce_is_right(*group, device, type);
    passed = passed && right;
    if (ranks.is_root())
      print({fmt::format("all-reduce of {}, {} rank{}", name, ranks.size(), ranks.size() == 1 ? "" : "s"),
             right ? "right" : "WRONG",
             {},
             "every element right",
             right});
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::vector<at::Tensor> weights{at::full({1000}, ranks.rank(), at::TensorOptions().device(device))};
  comm::broadcast_tensors(*group, weights);
  const bool sent = weights[0].eq(0).all().item<bool>();
  passed = passed && sent;
  const double bandwidth = comm::measure_all_reduce_bandwidth(*group, device);
  plugin.synchronize();
  // NCCL's threads end here and not in the destructor, which warns of it.
  group->shutdown();
  const bool all_passed = !ranks.any(!passed);
  if (ranks.is_root()) {
    print({"making the group and its first all-reduces", seconds, "s"});
    if (ranks.size() > 1) {
      print({"broadcast", sent ? "right" : "WRONG", {}, "every element right", sent});
      print({"all-reduce of 64 MiB", bandwidth / 1e9, "GB/s of bus bandwidth"});
    }
    print({"peak of LibTorch's memory", static_cast<double>(plugin.peak_bytes(mine)) / bytes_per_gib, "GiB"});
  }
  return all_passed ? Outcome::passed : Outcome::failed;
}

}  // namespace deda::check

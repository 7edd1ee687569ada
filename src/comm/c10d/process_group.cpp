#include "comm/c10d/process_group.h"

#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <optional>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "comm/c10d/mpi_backend.h"
#include "core/error.h"

namespace deda::comm {

namespace {

constexpr std::int64_t measured_bytes = std::int64_t{64} << 20;
constexpr int measured_rounds = 3;

std::chrono::milliseconds timeout() {
  return std::chrono::milliseconds(static_cast<std::int64_t>(1000 * Communicator::timeout_s()));
}

CudaPlugin& require_plugin() {
  const LoadedCudaPlugin& loaded = load_cuda_plugin();
  if (loaded.plugin == nullptr)
    throw ConfigError("a GPU was asked for, but " + loaded.reason, "device",
                      "Use device = \"cpu\", or mend that.");
  return *loaded.plugin;
}

}  // namespace

c10::intrusive_ptr<c10d::Store> make_shared_store(const Communicator& ranks) {
  if (ranks.size() == 1) return c10::make_intrusive<c10d::HashStore>();
  c10::intrusive_ptr<c10d::Store> store;
  const std::vector<std::string> hosts = ranks.host_names();
  const bool one_host = ranks.all_reduce(ranks.local_size(), Reduction::minimum) == ranks.size();
  c10d::TCPStoreOptions options;
  options.numWorkers = static_cast<std::size_t>(ranks.size());
  options.waitWorkers = false;
  options.timeout = timeout();
  const std::string host = one_host ? "127.0.0.1" : hosts.front();
  ranks.agree("making the store that ranks meet at", [&] {
    if (!ranks.is_root()) return;
    options.isServer = true;
    options.port = 0;  // any that is free
    auto server = c10::make_intrusive<c10d::TCPStore>(host, options);
    options.port = server->getPort();
    store = std::move(server);
  });
  options.port =
      static_cast<std::uint16_t>(ranks.all_reduce(ranks.is_root() ? options.port : 0, Reduction::maximum));
  ranks.agree("connecting to the store of rank 0", [&] {
    if (!ranks.is_root()) store = c10::make_intrusive<c10d::TCPStore>(host, options);
  });
  return store;
}

c10::intrusive_ptr<c10d::ProcessGroup> make_process_group(const Communicator& ranks, DeviceKind kind,
                                                          int device) {
  using Group = c10d::ProcessGroup;
  if (kind == DeviceKind::cpu) {
    auto group =
        c10::make_intrusive<Group>(c10::make_intrusive<c10d::HashStore>(), ranks.rank(), ranks.size());
    c10::intrusive_ptr<c10d::Backend> backend = c10::make_intrusive<MpiBackend>(ranks);
    group->setBackend(c10::DeviceType::CPU, Group::BackendType::CUSTOM, backend);
    group->setDefaultBackend(Group::BackendType::CUSTOM);
    return group;
  }
  CudaPlugin& plugin = require_plugin();
  plugin.set_device(device);
  const auto store = make_shared_store(ranks);
  auto group = c10::make_intrusive<Group>(store, ranks.rank(), ranks.size());
  const auto type =
      plugin.device_type() == c10::DeviceType::CUDA ? Group::BackendType::NCCL : Group::BackendType::CUSTOM;
  group->setBackend(plugin.device_type(), type,
                    plugin.make_nccl_backend(store, ranks.rank(), ranks.size(), timeout()));
  group->setDefaultBackend(type);
  return group;
}

void broadcast_tensors(c10d::ProcessGroup& group, const std::vector<at::Tensor>& tensors, int root) {
  if (group.getSize() == 1) return;
  c10d::BroadcastOptions options;
  options.rootRank = root;
  std::vector<c10::intrusive_ptr<c10d::Work>> pending;
  for (const at::Tensor& tensor : tensors) {
    std::vector<at::Tensor> one{tensor.detach()};
    pending.push_back(group.broadcast(one, options));
  }
  for (const auto& work : pending) work->wait();
}

double measure_all_reduce_bandwidth(c10d::ProcessGroup& group, at::Device device) {
  if (group.getSize() == 1) return 0.0;
  using Clock = std::chrono::steady_clock;
  const at::Tensor tensor = at::zeros({measured_bytes / static_cast<std::int64_t>(sizeof(float))},
                                      at::TensorOptions().device(device).dtype(at::kFloat));
  const auto reduce_once = [&] {
    std::vector<at::Tensor> one{tensor};
    group.allreduce(one)->wait();
    static_cast<void>(tensor[0].item<float>());  // a GPU's work is done only now
  };
  reduce_once();  // connections are made by the first operation
  double best_s = std::numeric_limits<double>::infinity();
  for (int round = 0; round < measured_rounds; ++round) {
    const auto start = Clock::now();
    reduce_once();
    best_s = std::min(best_s, std::chrono::duration<double>(Clock::now() - start).count());
  }
  const double n = group.getSize();
  return static_cast<double>(measured_bytes) / best_s * 2.0 * (n - 1.0) / n;
}

}  // namespace deda::comm

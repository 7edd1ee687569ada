#include "device/place.h"

#include <fmt/format.h>

#include "comm/device_map.h"
#include "core/error.h"

namespace deda::device {

Place choose(const comm::Communicator& ranks, DeviceChoice choice, std::string_view key) {
  comm::LoadedCudaPlugin cuda{nullptr, "the CPU was asked for"};
  if (choice != DeviceChoice::cpu) cuda = comm::load_cuda_plugin();
  const auto devices = cuda.plugin != nullptr ? cuda.plugin->devices() : std::vector<comm::VisibleDevice>{};
  if (choice == DeviceChoice::cuda && ranks.any(devices.empty())) {
    throw ConfigError(fmt::format("{} = \"cuda\" cannot be had: {}", key,
                                  cuda.plugin == nullptr ? cuda.reason
                                  : devices.empty()      ? "no GPU is visible"
                                                         : "another rank has no GPU"),
                      std::string{key}, fmt::format("Run `deda doctor`, or set {} = \"auto\".", key));
  }
  const auto places = comm::place_ranks(ranks, devices);
  const auto& mine = places.at(static_cast<std::size_t>(ranks.rank()));
  Place place;
  place.cores = mine.cores;
  place.lines = comm::describe_places(places);
  if (mine.device < 0) return place;
  cuda.plugin->set_device(mine.device);
  place.device = c10::Device(cuda.plugin->device_type(), static_cast<c10::DeviceIndex>(mine.device));
  place.name = mine.device_name;
  place.plugin = cuda.plugin;
  return place;
}

}  // namespace deda::device

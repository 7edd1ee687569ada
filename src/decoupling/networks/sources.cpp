#include "decoupling/networks/sources.h"

#include <fmt/format.h>

#include <memory>

#include "comm/c10d/cuda_plugin.h"
#include "comm/device_map.h"
#include "core/error.h"
#include "decoupling/networks/box_sources.h"
#include "decoupling/networks/semantic_masks.h"
#include "decoupling/weights_identity.h"

namespace deda::decoupling {

namespace {

c10::ScalarType type_of(NetworkPrecision precision) {
  switch (precision) {
    case NetworkPrecision::fp16:
      return c10::kHalf;
    case NetworkPrecision::bf16:
      return c10::kBFloat16;
    case NetworkPrecision::fp32:
      break;
  }
  return c10::kFloat;
}

}  // namespace

std::string register_network_sources(const comm::Communicator& ranks, const DecoupleConfig& config) {
  comm::LoadedCudaPlugin cuda;
  if (config.device != NetworkDevice::cpu) cuda = comm::load_cuda_plugin();
  std::vector<comm::VisibleDevice> devices;
  if (cuda.plugin != nullptr) devices = cuda.plugin->devices();
  if (config.device == NetworkDevice::cuda && ranks.any(devices.empty()))
    throw ConfigError("decouple.device is cuda, but a rank has no GPU: " +
                          (cuda.plugin == nullptr ? cuda.reason : std::string{"none is visible"}),
                      "decouple.device", "Run `deda doctor`.");
  const auto places = comm::place_ranks(ranks, devices);
  const comm::RankPlace& here = places.at(static_cast<std::size_t>(ranks.rank()));
  NetworkPlace place;
  place.dtype = type_of(config.precision);
  place.at_once = config.networks_at_once;
  if (here.device >= 0) {
    cuda.plugin->set_device(here.device);
    place.device = c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(here.device));
    if (place.at_once == 0) place.at_once = 1;
  }
  const auto pool = std::make_shared<NetworkPool>(place);
  register_mask_source("semantic", [pool](const DecoupleConfig& own, const data::Dataset& dataset) {
    require_networks(own, "semantic");
    return std::make_unique<SemanticMasks>(own, dataset, pool);
  });
  register_box_sources(pool);
  return here.device < 0 ? "cpu" : fmt::format("{} ({})", place.device.str(), here.device_name);
}

}  // namespace deda::decoupling

#include "decoupling/networks/sources.h"

#include <fmt/format.h>

#include <memory>

#include "decoupling/needed_networks.h"
#include "decoupling/networks/box_sources.h"
#include "decoupling/networks/semantic_masks.h"
#include "device/kernels.h"
#include "device/place.h"

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
  const auto here = device::choose(ranks, config.device, "decouple.device");
  NetworkPlace place;
  place.device = here.device;
  place.dtype = type_of(config.precision);
  place.at_once = config.networks_at_once;
  if (here.plugin != nullptr) {
    device::use_reproducible_kernels();
    if (place.at_once == 0) place.at_once = 1;
  }
  const auto pool = std::make_shared<NetworkPool>(place);
  register_mask_source("semantic", [pool](const DecoupleConfig& own, const data::Dataset& dataset) {
    require_networks(own, "semantic");
    return std::make_unique<SemanticMasks>(own, dataset, pool);
  });
  register_box_sources(pool);
  return here.plugin == nullptr ? "cpu" : fmt::format("{} ({})", place.device.str(), here.name);
}

}  // namespace deda::decoupling

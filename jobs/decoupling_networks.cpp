#include "jobs/decoupling_networks.h"

#include "core/log.h"
#include "decoupling/needed_networks.h"
#include "decoupling/networks/sources.h"

namespace deda::jobs {

std::string prepare_network_sources(const comm::Communicator& ranks,
                                    const decoupling::DecoupleConfig& config) {
  if (decoupling::needed_networks(config).empty()) return {};
  const std::string place = decoupling::register_network_sources(ranks, config);
  if (ranks.is_root()) log_info("networks of the mask sources run on {}", place);
  return place == "cpu" ? std::string{} : place;
}

}  // namespace deda::jobs

#include "comm/device_map.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"

namespace deda::comm {

namespace {

// The cores that the launcher or the batch system left to this process, as text: the same for ranks that
// share them.
std::string core_mask() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return "all";
  std::string mask;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) mask += std::to_string(core) + ",";
  }
  return mask;
}

std::string to_text(const RankResources& resources) {
  nlohmann::json json{{"host", resources.host},
                      {"mask", resources.core_mask},
                      {"cores", resources.core_count},
                      {"devices", nlohmann::json::array()}};
  for (const VisibleDevice& device : resources.devices) json["devices"].push_back({device.id, device.name});
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RankResources from_text(const std::string& text) {
  const auto json = nlohmann::json::parse(text);
  RankResources resources{json["host"], json["mask"], json["cores"], {}};
  for (const auto& device : json["devices"]) resources.devices.push_back({device[0], device[1]});
  return resources;
}

// One line of problem for a host that cannot give each rank a GPU of its own.
Problem too_few_devices(const std::string& host, int ranks, std::size_t devices) {
  return {
      fmt::format("{} ranks on this host, but {} GPU{} for them", ranks, devices, devices == 1 ? "" : "s"),
      host, "NCCL does not support two ranks on one GPU: start at most one rank per GPU, or run on the CPU."};
}

void deal_out_devices(const std::vector<RankResources>& resources, std::vector<RankPlace>& places) {
  std::map<std::string, std::set<std::string>> taken, seen;
  std::map<std::string, int> ranks_of_host;
  std::set<std::string> lacking;
  for (std::size_t r = 0; r < resources.size(); ++r) {
    const std::string& host = resources[r].host;
    ++ranks_of_host[host];
    const auto& devices = resources[r].devices;
    for (const VisibleDevice& device : devices) seen[host].insert(device.id);
    const auto free = std::find_if(devices.begin(), devices.end(),
                                   [&](const VisibleDevice& d) { return !taken[host].contains(d.id); });
    if (free == devices.end()) {
      lacking.insert(host);
      continue;
    }
    taken[host].insert(free->id);
    places[r].device = static_cast<int>(free - devices.begin());
    places[r].device_name = free->name;
  }
  std::vector<Problem> problems;
  for (const std::string& host : lacking)
    problems.push_back(too_few_devices(host, ranks_of_host[host], seen[host].size()));
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

// "0-3" or "0,2,5"; ranks in ascending order.
std::string list_numbers(const std::vector<int>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += last == i ? std::to_string(numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[last]);
    i = last + 1;
  }
  return text;
}

// srun without a PMI that MPI understands starts n lonely processes that all believe to be rank 0.
std::string lonely_step_warning(std::size_t ranks) {
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (ranks != 1 || tasks == nullptr || std::atoi(tasks) <= 1) return {};
  return fmt::format(
      "Slurm started {} tasks in this step, but MPI knows of this one only. If they belong together, use "
      "srun --mpi=pmix.",
      tasks);
}

}  // namespace

std::vector<RankPlace> deal_out(const std::vector<RankResources>& resources) {
  std::vector<RankPlace> places(resources.size());
  std::map<std::pair<std::string, std::string>, int> sharing;
  for (const RankResources& rank : resources) ++sharing[{rank.host, rank.core_mask}];
  for (std::size_t r = 0; r < resources.size(); ++r) {
    places[r].host = resources[r].host;
    places[r].cores =
        std::max(1, resources[r].core_count / sharing[{resources[r].host, resources[r].core_mask}]);
  }
  const bool any_device = std::any_of(resources.begin(), resources.end(),
                                      [](const RankResources& r) { return !r.devices.empty(); });
  if (any_device) deal_out_devices(resources, places);
  return places;
}

std::vector<RankPlace> place_ranks(const Communicator& ranks, const std::vector<VisibleDevice>& devices) {
  const RankResources mine{ranks.host_names()[static_cast<std::size_t>(ranks.rank())], core_mask(),
                           usable_cores(), devices};
  std::vector<RankResources> all;
  for (const std::string& text : ranks.all_gather(to_text(mine))) all.push_back(from_text(text));
  return deal_out(all);
}

std::vector<std::string> describe_places(const std::vector<RankPlace>& places) {
  std::vector<std::string> hosts;  // in the order of their first rank
  std::map<std::string, std::vector<int>> ranks_of_host;
  for (std::size_t r = 0; r < places.size(); ++r) {
    auto& ranks = ranks_of_host[places[r].host];
    if (ranks.empty()) hosts.push_back(places[r].host);
    ranks.push_back(static_cast<int>(r));
  }
  std::vector<std::string> lines;
  for (const std::string& host : hosts) {
    const auto& ranks = ranks_of_host[host];
    const RankPlace& first = places[static_cast<std::size_t>(ranks.front())];
    std::vector<int> devices;
    for (const int r : ranks) devices.push_back(places[static_cast<std::size_t>(r)].device);
    const std::string where =
        first.device < 0 ? "the CPU" : fmt::format("GPU {} ({})", list_numbers(devices), first.device_name);
    lines.push_back(fmt::format("{}: rank{} {} on {}, {} core{}{}", host, ranks.size() == 1 ? "" : "s",
                                list_numbers(ranks), where, first.cores, first.cores == 1 ? "" : "s",
                                ranks.size() == 1 ? "" : " each"));
  }
  if (auto warning = lonely_step_warning(places.size()); !warning.empty())
    lines.push_back(std::move(warning));
  return lines;
}

}  // namespace deda::comm

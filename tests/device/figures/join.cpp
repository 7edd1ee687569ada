// Our figures beside a peer's. A peer's line names itself and the figure with the peer behind it:
// {"figure": "training.resnet18.448px.b16.bf16.network.eager", "peer": "eager", ...}.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "device/figures/subcommands.h"

namespace deda::figures {
namespace {

using Json = nlohmann::ordered_json;

// Lines that are no figures (a program's other output) are passed over.
std::vector<Json> read_figures(const std::filesystem::path& path) {
  std::vector<Json> figures;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    auto json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.contains("figure")) figures.push_back(std::move(json));
  }
  return figures;
}

// "NAME.eager" of the peer "eager" stands beside our NAME.
std::string figure_of_ours(const Json& line) {
  auto name = line.at("figure").get<std::string>();
  const auto tail = "." + line.value("peer", "");
  if (tail.size() > 1 && name.size() > tail.size() && name.ends_with(tail))
    name.resize(name.size() - tail.size());
  return name;
}

// Ratios of one and the same kernel differ by so much from one run to the next.
constexpr double level_within = 0.02;

// Of these less is better.
bool is_cost(const std::string& unit) {
  return unit == "s" || unit == "ms" || unit == "GB";
}

bool has_value(const Json& line) {
  return line.contains("value") && line.at("value").is_number();
}

const char* verdict_on_goal(double value, double goal, const std::string& unit) {
  return (is_cost(unit) ? value <= goal : value >= goal) ? "reached" : "missed";
}

void print_pair(const Json& ours, const Json& peer) {
  const auto unit = ours.value("unit", "");
  const double value = ours.at("value"), other = peer.at("value");
  const double ratio = is_cost(unit) ? other / value : value / other;
  Json line{{"figure", ours.at("figure")},
            {"value", value},
            {"unit", unit},
            {"peer", peer.value("peer", "")},
            {"peer_value", other},
            {"ratio", ratio},
            {"verdict", std::abs(ratio - 1) <= level_within ? "level"
                        : ratio > 1                         ? "ahead"
                                                            : "behind"}};
  if (!std::isfinite(ratio)) line["error"] = "no ratio can be had";
  std::printf("%s\n", line.dump().c_str());
}

}  // namespace

int join_figures(const Options& options) {
  std::multimap<std::string, Json> peers;
  for (auto& line : read_figures(options.peers)) peers.emplace(figure_of_ours(line), std::move(line));
  for (auto& ours : read_figures(options.ours)) {
    if (has_value(ours) && ours.contains("goal"))
      ours["verdict"] =
          verdict_on_goal(ours.at("value"), ours.at("goal").get<double>(), ours.value("unit", ""));
    std::printf("%s\n", ours.dump().c_str());
    const auto [first, last] = peers.equal_range(ours.at("figure").get<std::string>());
    for (auto peer = first; peer != last; ++peer) {
      if (has_value(ours) && has_value(peer->second)) print_pair(ours, peer->second);
    }
  }
  return 0;
}

}  // namespace deda::figures

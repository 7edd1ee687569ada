// results.jsonl: one line per part, joined from what its programs printed; and the Markdown table of all
// lines.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "check.h"
#include "core/error.h"
#include "core/files.h"

namespace deda::check {
namespace {

// The figure of that name; "NAME #2" where a program prints the same name again.
std::string free_name(const json& figures, const std::string& name) {
  std::string unused = name;
  for (int i = 2; figures.contains(unused); ++i) unused = fmt::format("{} #{}", name, i);
  return unused;
}

// "NAME.eager" of the peer "eager" stands beside our NAME.
std::string figure_of_ours(const std::string& name, const std::string& peer) {
  const auto tail = "." + peer;
  const bool has_tail =
      name.size() > tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
  return has_tail ? name.substr(0, name.size() - tail.size()) : name;
}

// Ratios of one and the same kernel differ by so much from one run to the next.
constexpr double level_within = 0.02;

// Of these less is better.
bool is_cost(const std::string& unit) {
  return unit == "s" || unit == "ms" || unit == "GB";
}

double number_in(const json& line) {
  const auto value = line.value("value", json{});
  return value.is_number() ? value.get<double>() : std::nan("");
}

// A peer's line beside ours of the same figure; the ratio is above 1 where ours is better.
json beside_ours(const json& ours, json line) {
  const auto unit = line.value("unit", std::string{});
  const double mine = number_in(ours), other = number_in(line);
  line["peer_value"] = line.value("value", json{});
  line["value"] = ours.value("value", json{});
  const double ratio = is_cost(unit) ? other / mine : mine / other;
  if (std::isfinite(ratio)) line["ratio"] = ratio;
  return line;
}

// Lines that are no JSON object with a figure are passed over: programs may also print text. Peers are joined
// here and not by what started them, so that a part that was cut keeps the ratios it has.
json read_figures(std::istream& lines) {
  json figures = json::object();
  std::string text;
  while (std::getline(lines, text)) {
    auto line = json::parse(text, nullptr, false);
    if (!line.is_object() || !line.contains("figure") || !line["figure"].is_string()) continue;
    auto name = line["figure"].get<std::string>();
    line.erase("figure");
    if (const auto peer = line.value("peer", json{}); peer.is_string()) {
      name = figure_of_ours(name, peer.get<std::string>());
      if (figures.contains(name)) line = beside_ours(figures[name], line);
      name = fmt::format("{} : {}", name, peer.get<std::string>());
    }
    figures[free_name(figures, name)] = line;
  }
  return figures;
}

std::string cell(const json& value) {
  if (value.is_null()) return "";
  std::string text;
  if (value.is_number_integer()) {
    text = value.dump();
  } else if (value.is_number()) {
    text = fmt::format("{:.4g}", value.get<double>());
  } else {
    text = value.is_string() ? value.get<std::string>() : value.dump();
  }
  std::string safe;
  for (const char c : text)
    safe += c == '|' ? std::string{"\\|"} : c == '\n' ? std::string{" "} : std::string{c};
  return safe;
}

std::string verdict(const json& figure) {
  if (figure.contains("error")) return "error";
  if (figure.contains("passed")) return figure["passed"].get<bool>() ? "reached" : "**MISSED**";
  if (figure.contains("ratio")) {
    const double ratio = figure["ratio"].get<double>();
    if (std::abs(ratio - 1) <= level_within) return "level";
    return ratio > 1 ? "ahead" : "behind";
  }
  const auto goal = figure.value("goal", json{});
  const double value = number_in(figure);
  if (!goal.is_number() || std::isnan(value)) return "";
  const double wanted = goal.get<double>();
  return (is_cost(figure.value("unit", std::string{})) ? value <= wanted : value >= wanted) ? "reached"
                                                                                            : "**MISSED**";
}

void print_figures(const json& line) {
  const auto part = cell(line.value("part", json{}));
  const auto figures = line.value("figures", json::object());
  for (const auto& [name, figure] : figures.items()) {
    const auto value =
        figure.contains("error") ? "error: " + cell(figure["error"]) : cell(figure.value("value", json{}));
    std::string peer = cell(figure.value("peer", json{}));
    if (figure.contains("peer_value")) peer += ": " + cell(figure["peer_value"]);
    std::printf("| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", part.c_str(), cell(name).c_str(),
                value.c_str(), cell(figure.value("unit", json{})).c_str(), peer.c_str(),
                cell(figure.value("ratio", json{})).c_str(), cell(figure.value("goal", json{})).c_str(),
                verdict(figure).c_str(), cell(figure.value("note", json{})).c_str());
  }
}

}  // namespace

Outcome part(const Arguments& arguments) {
  json line{{"part", std::stoi(arguments.get("part", "0"))},
            {"name", arguments.get("name")},
            {"status", arguments.get("status")},
            {"seconds", std::stod(arguments.get("seconds", "0"))},
            {"reason", arguments.get("reason")},
            {"figures", json::object()}};
  if (arguments.has("figures")) {
    std::ifstream file(arguments.get("figures"));
    line["figures"] = read_figures(file);
  }
  std::printf("%s\n", line.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  return Outcome::passed;
}

Outcome table(const Arguments& arguments) {
  std::ifstream file(arguments.required(0, "results.jsonl"));
  std::vector<json> lines;
  std::string text;
  while (std::getline(file, text)) {
    // A line that a crash cut is told, and the others stay.
    auto line = json::parse(text, nullptr, false);
    if (line.is_object())
      lines.push_back(std::move(line));
    else
      std::fprintf(stderr, "results.jsonl: a line cannot be read: %.80s\n", text.c_str());
  }
  std::printf("\n| part | what | status | seconds | reason |\n|---|---|---|---|---|\n");
  for (const auto& line : lines)
    std::printf("| %s | %s | %s | %s | %s |\n", cell(line.value("part", json{})).c_str(),
                cell(line.value("name", json{})).c_str(), cell(line.value("status", json{})).c_str(),
                cell(line.value("seconds", json{})).c_str(), cell(line.value("reason", json{})).c_str());
  std::printf(
      "\n| part | figure | value | unit | peer | ratio | goal | verdict | note "
      "|\n|---|---|---|---|---|---|---|---|---|\n");
  for (const auto& line : lines) print_figures(line);
  return Outcome::passed;
}

}  // namespace deda::check

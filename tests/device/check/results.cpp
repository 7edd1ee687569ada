// results.jsonl: one line per part, joined from what its programs printed; and the Markdown table of all
// lines.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <iostream>

#include "check.h"
#include "core/error.h"
#include "core/files.h"

namespace deda::check {
namespace {

using json = nlohmann::ordered_json;

// The figure of that name; "NAME #2" where a program prints the same name again.
std::string free_name(const json& figures, const std::string& name) {
  std::string unused = name;
  for (int i = 2; figures.contains(unused); ++i) unused = fmt::format("{} #{}", name, i);
  return unused;
}

// A peer's line ("peer" names the program) beside ours of the same figure, with the ratio ours : theirs.
void join_peer(json& ours, const json& line) {
  ours["peer"] = line.at("peer");
  ours["peer_value"] = line.value("value", json{});
  if (line.contains("error")) ours["peer_value"] = "error: " + line["error"].dump();
  const auto &a = ours["value"], &b = ours["peer_value"];
  if (a.is_number() && b.is_number() && b.get<double>() != 0)
    ours["ratio"] = a.get<double>() / b.get<double>();
  if (line.contains("note"))
    ours["note"] = ours.contains("note")
                       ? ours["note"].get<std::string>() + "; peer: " + line["note"].get<std::string>()
                       : "peer: " + line["note"].get<std::string>();
}

// Lines that are no JSON object with a figure are passed over: programs may also print text.
json read_figures(std::istream& lines) {
  json figures = json::object();
  std::string text;
  while (std::getline(lines, text)) {
    auto line = json::parse(text, nullptr, false);
    if (!line.is_object() || !line.contains("figure") || !line["figure"].is_string()) continue;
    const auto name = line["figure"].get<std::string>();
    const bool of_peer = line.contains("peer") && line["peer"].is_string() && !line.contains("ratio");
    if (of_peer && figures.contains(name) && !figures[name].contains("peer_value")) {
      join_peer(figures[name], line);
      continue;
    }
    line.erase("figure");
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
  // A number as goal is the least ratio to the peer, or without a peer the least value.
  const auto goal = figure.value("goal", json{});
  const auto measured = figure.contains("ratio")  ? figure["ratio"]
                        : figure.contains("peer") ? json{}
                                                  : figure.value("value", json{});
  if (!goal.is_number() || !measured.is_number()) return "";
  return measured.get<double>() >= goal.get<double>() ? "reached" : "**MISSED**";
}

void print_figures(const json& line) {
  const auto part = cell(line.value("part", json{}));
  for (const auto& [name, figure] : line.value("figures", json::object()).items()) {
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

#include "device/figures/report.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace deda::figures {
namespace {

void print_line(const nlohmann::ordered_json& json) {
  const auto text = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

}  // namespace

void print(const Figure& figure) {
  nlohmann::ordered_json json{{"figure", figure.name}, {"value", figure.value}, {"unit", figure.unit}};
  if (figure.goal) json["goal"] = *figure.goal;
  if (!figure.note.empty()) json["note"] = figure.note;
  print_line(json);
}

void print_text(const std::string& name, const std::string& value, const std::string& goal,
                std::optional<bool> passed) {
  nlohmann::ordered_json json{{"figure", name}, {"value", value}};
  if (!goal.empty()) json["goal"] = goal;
  if (passed) json["passed"] = *passed;
  print_line(json);
}

void print_error(const std::string& name, const std::string& reason) {
  print_line({{"figure", name}, {"error", reason.substr(0, reason.find('\n'))}});
}

}  // namespace deda::figures

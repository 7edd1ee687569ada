// Figures as JSON lines on standard output, each flushed: what is printed survives whatever comes after it.
#pragma once

#include <optional>
#include <string>

namespace deda::figures {

struct Figure {
  std::string name;  // the same for ours and a peer's, so that they can be joined
  double value = 0;
  std::string unit;
  std::optional<double> goal = std::nullopt;
  std::string note = {};
};

void print(const Figure& figure);
// What is told and not measured: `passed` where it was asked for.
void print_text(const std::string& name, const std::string& value, const std::string& goal = {},
                std::optional<bool> passed = std::nullopt);
void print_error(const std::string& name, const std::string& reason);

}  // namespace deda::figures

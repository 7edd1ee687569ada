// toml++, the parser, as this project uses it. Internal to src/core: config.cpp and toml_tree.cpp include it.
//
// toml++ 3.3 asserts on some broken texts ("[.]") and, with NDEBUG, takes the assertion for granted. Here it
// throws instead, whatever the build type: a typo is no crash.
#pragma once

#include <stdexcept>
namespace deda::detail {
[[noreturn]] inline void refuse_toml() {
  throw std::invalid_argument("the text breaks the rules of TOML");
}
}  // namespace deda::detail
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? void() : ::deda::detail::refuse_toml())
#include <toml++/toml.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deda {

inline constexpr std::uint64_t largest_toml_bytes = std::uint64_t{1} << 20;

// toml++ builds one table inside another for each dot and takes them down by recursion; no configuration is
// that deep.
inline bool nests_too_deep(std::string_view text) {
  constexpr int deepest = 256;
  int dots = 0;
  for (const char c : text) {
    if (c == '\n' || c == '=' || c == ',' || c == '"' || c == '#') dots = 0;
    if (c == '.' && ++dots > deepest) return true;
  }
  return false;
}

// The table, or where and why the text is no TOML.
struct ParsedToml {
  std::optional<toml::table> table;
  toml::source_region error_at;
  std::string reason;
};

inline ParsedToml parse_toml(std::string_view text) {
  try {
    return {toml::parse(text), {}, {}};
  } catch (const toml::parse_error& error) {
    return {std::nullopt, error.source(), std::string{error.description()}};
  } catch (const std::invalid_argument& error) {
    return {std::nullopt, {}, error.what()};
  }
}

}  // namespace deda

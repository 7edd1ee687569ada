// A TOML file as a plain tree that knows its lines, for files whose keys are not fixed (studies: axes,
// grids). Configurations are read by core/config.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deda {

struct TomlNode {
  enum class Kind : std::uint8_t { table, list, text, integer, number, boolean, other };
  Kind kind = Kind::table;
  std::string text;  // of a text itself; of numbers and booleans as TOML writes them ("0.5", "true")
  std::vector<std::pair<std::string, TomlNode>> members;  // of a table, in the order of the file
  std::vector<TomlNode> elements;                         // of a list
  std::string where;                                      // "FILE:LINE"

  const TomlNode* find(std::string_view key) const;  // null where there is none
  // As --set takes it: "0.5", "\"text\"", "[1, 2]".
  std::string as_toml() const;
};

// ConfigError where the file cannot be read or is no TOML.
TomlNode read_toml(const std::filesystem::path& file);

std::string_view name_of(TomlNode::Kind kind);  // "a list", "a number": for messages

}  // namespace deda

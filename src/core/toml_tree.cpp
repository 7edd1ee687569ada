#include "core/toml_tree.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "core/toml_parser.h"
#include "core/toml_text.h"

namespace deda {
namespace {

using Kind = TomlNode::Kind;

std::string toml_number(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".enai") == std::string::npos) text += ".0";
  return text;
}

TomlNode tree_of(const toml::node& node, const std::string& file);

TomlNode table_of(const toml::table& table, const std::string& file) {
  TomlNode tree;
  // toml++ sorts by name; people wrote the rows of their tables in an order.
  std::vector<std::pair<toml::source_position, std::pair<std::string, const toml::node*>>> sorted;
  for (const auto& [key, node] : table)
    sorted.push_back({key.source().begin, {std::string{key.str()}, &node}});
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::pair{a.first.line, a.first.column} < std::pair{b.first.line, b.first.column};
  });
  for (const auto& [position, member] : sorted) {
    TomlNode inner = tree_of(*member.second, file);
    if (position.line > 0) inner.where = fmt::format("{}:{}", file, position.line);
    tree.members.emplace_back(member.first, std::move(inner));
  }
  return tree;
}

TomlNode tree_of(const toml::node& node, const std::string& file) {
  TomlNode tree;
  if (const auto* table = node.as_table()) {
    tree = table_of(*table, file);
  } else if (const auto* array = node.as_array()) {
    tree.kind = Kind::list;
    for (const auto& element : *array) tree.elements.push_back(tree_of(element, file));
  } else if (const auto* text = node.as_string()) {
    tree.kind = Kind::text;
    tree.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    tree.kind = Kind::integer;
    tree.text = std::to_string(integer->get());
  } else if (const auto* number = node.as_floating_point()) {
    tree.kind = Kind::number;
    tree.text = toml_number(number->get());
  } else if (const auto* boolean = node.as_boolean()) {
    tree.kind = Kind::boolean;
    tree.text = boolean->get() ? "true" : "false";
  } else {
    tree.kind = Kind::other;
  }
  const auto line = node.source().begin.line;
  tree.where = line > 0 ? fmt::format("{}:{}", file, line) : file;
  return tree;
}

}  // namespace

const TomlNode* TomlNode::find(std::string_view key) const {
  const auto found =
      std::find_if(members.begin(), members.end(), [&](const auto& member) { return member.first == key; });
  return found == members.end() ? nullptr : &found->second;
}

std::string TomlNode::as_toml() const {
  switch (kind) {
    case Kind::text:
      return toml_string(text);
    case Kind::list: {
      std::string list;
      for (const auto& element : elements) list += (list.empty() ? "" : ", ") + element.as_toml();
      return '[' + list + ']';
    }
    case Kind::table: {
      std::string table;
      for (const auto& [key, member] : members)
        table += fmt::format("{}{} = {}", table.empty() ? "" : ", ", toml_string(key), member.as_toml());
      return "{ " + table + " }";
    }
    default:
      return text;
  }
}

TomlNode read_toml(const std::filesystem::path& file) {
  std::string text;
  try {
    text = read_text(file, largest_toml_bytes);
  } catch (const Error& error) {
    throw ConfigError(error.problems());
  }
  if (nests_too_deep(text)) throw ConfigError("keys are nested too deep", file.string());
  const ParsedToml parsed = parse_toml(text);
  if (!parsed.table)
    throw ConfigError("no valid TOML: " + parsed.reason,
                      parsed.error_at.begin.line > 0
                          ? fmt::format("{}:{}", file.string(), parsed.error_at.begin.line)
                          : file.string(),
                      "Mend this first; texts need double quotes.");
  return tree_of(*parsed.table, file.string());
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::table:
      return "a table";
    case Kind::list:
      return "a list";
    case Kind::text:
      return "a text";
    case Kind::integer:
      return "a whole number";
    case Kind::number:
      return "a number";
    case Kind::boolean:
      return "true or false";
    case Kind::other:
      return "a date or time";
  }
  return "";
}

}  // namespace deda

// A configuration as text: TOML that reads back, values by key, and the table of keys for --help.
// All three are made from one listing of the fields.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/config.h"
#include "core/error.h"
#include "core/escaped_name.h"
#include "core/toml_text.h"

namespace deda {

namespace {

using Json = nlohmann::json;  // keys in sorted order

// Shortest digits that read back to the same double, always recognisable as a float.
std::string toml_double(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".enai") == std::string::npos) text += ".0";
  return text;
}

template <class Element, class Format>
std::string toml_list(const std::vector<Element>& values, Format format) {
  std::string text;
  for (const Element& value : values) text += (text.empty() ? "" : ", ") + format(value);
  return '[' + text + ']';
}

std::string toml_integer(std::int64_t value) {
  return std::to_string(value);
}

// JSON has no infinities; as text they still differ from every number.
Json json_double(double value) {
  return std::isfinite(value) ? Json(value) : Json(toml_double(value));
}

struct ListedField {
  std::string key, help, type, toml, range;
  Json json;
};

struct ListedSection {
  std::string key, path, help;
  std::vector<ListedField> fields;
  std::deque<ListedSection> sections;  // a deque: references stay valid while it grows
};

std::string range_text(const Field& field) {
  const auto bound = [](double value) {
    return value == std::floor(value) && std::abs(value) < 1e15 ? fmt::format("{:.0f}", value)
                                                                : fmt::format("{}", value);
  };
  const bool below = std::isfinite(field.min), above = std::isfinite(field.max);
  if (below && above) return fmt::format("{} to {}", bound(field.min), bound(field.max));
  if (below) return "at least " + bound(field.min);
  return above ? "at most " + bound(field.max) : "";
}

// Collects every field with its value in each notation.
class Listing final : public ConfigVisitor {
 public:
  const ListedSection& root() const { return root_; }

  void field(const Field& f, bool& value) override {
    add(f, "true/false", value ? "true" : "false", value, "");
  }
  void field(const Field& f, std::int64_t& value) override {
    add(f, "integer", toml_integer(value), value, range_text(f));
  }
  void field(const Field& f, double& value) override {
    add(f, "number", toml_double(value), json_double(value), range_text(f));
  }
  void field(const Field& f, std::string& value) override { add(f, "text", toml_string(value), value, ""); }
  void field(const Field& f, std::filesystem::path& value) override {
    add(f, "path", toml_string(path_text(value)), path_text(value), "");
  }
  void field(const Field& f, std::vector<std::string>& value) override {
    add(f, "list of texts", toml_list(value, toml_string), value, "");
  }
  void field(const Field& f, std::vector<std::int64_t>& value) override {
    add(f, "list of integers", toml_list(value, toml_integer), value, range_text(f));
  }
  void field(const Field& f, std::vector<double>& value) override {
    Json json = Json::array();
    for (const double number : value) json.push_back(json_double(number));
    add(f, "list of numbers", toml_list(value, toml_double), std::move(json), range_text(f));
  }
  void choice_index(const Field& f, std::size_t& value, const std::vector<std::string_view>& names) override {
    add(f, "name", toml_string(names.at(value)), std::string{names.at(value)},
        fmt::format("{}", fmt::join(names, ", ")));
  }
  void begin_section(std::string_view key, std::string_view help) override {
    ListedSection section;
    section.key = key;
    section.path = current().path.empty() ? std::string{key} : current().path + '.' + std::string{key};
    section.help = help;
    current().sections.push_back(std::move(section));
    open_.push_back(&current().sections.back());
  }
  void end_section() override { open_.pop_back(); }
  void require(bool, std::string_view, std::string_view, std::string_view) override {}

 private:
  ListedSection& current() { return *open_.back(); }
  void add(const Field& f, std::string type, std::string toml, Json json, std::string range) {
    current().fields.push_back({std::string{f.key}, std::string{f.help}, std::move(type), std::move(toml),
                                std::move(range), std::move(json)});
  }

  ListedSection root_;
  std::vector<ListedSection*> open_{&root_};
};

void print_section(const ListedSection& section, std::string& text) {
  if (!section.path.empty()) {
    if (!text.empty()) text += '\n';
    if (!section.help.empty()) text += fmt::format("# {}\n", section.help);
    text += fmt::format("[{}]\n", section.path);
  }
  for (const ListedField& field : section.fields) {
    const std::string range = field.range.empty() ? "" : fmt::format(" ({})", field.range);
    if (!field.help.empty() || !range.empty()) text += fmt::format("# {}{}\n", field.help, range);
    text += fmt::format("{} = {}\n", field.key, field.toml);
  }
  for (const ListedSection& inner : section.sections) print_section(inner, text);
}

void collect_values(const ListedSection& section, std::vector<ConfigValue>& values) {
  const std::string prefix = section.path.empty() ? "" : section.path + '.';
  for (const ListedField& field : section.fields)
    values.push_back({prefix + field.key, field.json.dump(-1, ' ', false, Json::error_handler_t::replace)});
  for (const ListedSection& inner : section.sections) collect_values(inner, values);
}

void help_section(const ListedSection& section, std::size_t width, std::string& text) {
  if (!section.path.empty()) text += fmt::format("\n[{}]  {}\n", section.path, section.help);
  for (const ListedField& field : section.fields) {
    const std::string range = field.range.empty() ? "" : "; " + field.range;
    text += fmt::format("  {:<{}}  {} [{}{}; default {}]\n", field.key, width, field.help, field.type, range,
                        field.toml);
  }
  for (const ListedSection& inner : section.sections) help_section(inner, width, text);
}

std::size_t widest_key(const ListedSection& section) {
  std::size_t width = 0;
  for (const ListedField& field : section.fields) width = std::max(width, field.key.size());
  for (const ListedSection& inner : section.sections) width = std::max(width, widest_key(inner));
  return width;
}

}  // namespace

std::string print_described(ConfigDescription& config) {
  Listing listing;
  config.describe(listing);
  std::string text;
  print_section(listing.root(), text);
  return text;
}

std::vector<ConfigValue> values_described(ConfigDescription& config) {
  Listing listing;
  config.describe(listing);
  std::vector<ConfigValue> values;
  collect_values(listing.root(), values);
  return values;
}

std::string to_json(const std::vector<ConfigValue>& values) {
  Json object = Json::object();
  for (const ConfigValue& value : values) {
    Json* place = &object;
    std::string_view rest = value.key;
    for (std::size_t dot; (dot = rest.find('.')) != std::string_view::npos; rest.remove_prefix(dot + 1))
      place = &(*place)[std::string{rest.substr(0, dot)}];
    (*place)[std::string{rest}] = Json::parse(value.json);
  }
  return object.dump();
}

std::string help_described(ConfigDescription& config) {
  Listing listing;
  config.describe(listing);
  std::string text;
  help_section(listing.root(), widest_key(listing.root()), text);
  return text;
}

}  // namespace deda

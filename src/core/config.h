// Typed configuration: TOML text <-> plain structs, with every problem listed at once.
//
// A section is a plain struct with defaults and one member template that names its fields once:
//
//   struct TrainConfig {
//     std::int64_t epochs = 300;
//     Recipe recipe = Recipe::from_scratch;
//     void describe(ConfigVisitor& v) {
//       v.field({.key = "epochs", .help = "passes over the training images", .min = 1}, epochs);
//       v.choice({.key = "recipe", .help = "..."}, recipe, {{"from_scratch", Recipe::from_scratch}, ...});
//       v.section("optimizer", "SGD of recipe A", optimizer);
//     }
//   };
//
// From that one description come: reading TOML with file, line and key in each problem and the nearest valid
// name for an unknown key; `--print-config`; `--help`; the values by key, of which src/pipeline makes keys of
// results. Order of precedence: defaults < --config files in order < --set a.b=v in order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deda {

struct Field {
  std::string_view key;
  std::string_view help;  // one sentence, with the unit and the paper's section where it has one
  double min = -std::numeric_limits<double>::infinity();  // numbers only, inclusive
  double max = std::numeric_limits<double>::infinity();
};

class ConfigVisitor {
 public:
  virtual ~ConfigVisitor() = default;
  virtual void field(const Field& field, bool& value) = 0;
  virtual void field(const Field& field, std::int64_t& value) = 0;
  virtual void field(const Field& field, double& value) = 0;
  virtual void field(const Field& field, std::string& value) = 0;
  virtual void field(const Field& field,
                     std::filesystem::path& value) = 0;  // relative to the working directory
  virtual void field(const Field& field, std::vector<std::string>& value) = 0;
  virtual void field(const Field& field, std::vector<std::int64_t>& value) = 0;
  virtual void field(const Field& field, std::vector<double>& value) = 0;

  // An enumeration by name; `value` is an index into `names`.
  virtual void choice_index(const Field& field, std::size_t& value,
                            const std::vector<std::string_view>& names) = 0;
  template <class E>
  void choice(const Field& field, E& value, std::initializer_list<std::pair<std::string_view, E>> names) {
    std::vector<std::string_view> keys;
    std::size_t index = 0;
    for (const auto& [name, e] : names) {
      if (e == value) index = keys.size();
      keys.push_back(name);
    }
    choice_index(field, index, keys);
    value = (names.begin() + index)->second;
  }

  virtual void begin_section(std::string_view key, std::string_view help) = 0;
  virtual void end_section() = 0;
  template <class Section>
  void section(std::string_view key, std::string_view help, Section& section) {
    begin_section(key, help);
    section.describe(*this);
    end_section();
  }
  // Called at the end of a describe() for rules that span fields; a problem found here is listed with the
  // rest. `key` is relative to the current section and gives the line where it was set.
  virtual void require(bool holds, std::string_view key, std::string_view what, std::string_view hint) = 0;
};

struct ConfigSources {
  std::vector<std::filesystem::path> files;
  std::vector<std::string> overrides;  // "a.b=v"; the value is TOML, a bare word counts as a string
};

// Type-erased heart of the template functions below.
class ConfigDescription {
 public:
  virtual ~ConfigDescription() = default;
  virtual void describe(ConfigVisitor& visitor) = 0;
};
void read_described(ConfigDescription& config,
                    const ConfigSources& sources);       // throws ConfigError with all problems
std::string print_described(ConfigDescription& config);  // TOML with help as comments
// One setting: "train.learning_rate" and its value as compact JSON (numbers in the shortest digits that read
// back).
struct ConfigValue {
  std::string key, json;
};
std::vector<ConfigValue> values_described(ConfigDescription& config);
std::string help_described(ConfigDescription& config);  // key, type, default, range, help: for --help

namespace detail {
template <class Config>
struct Described final : ConfigDescription {
  explicit Described(Config& described) : config{described} {}
  void describe(ConfigVisitor& visitor) override { config.describe(visitor); }
  Config& config;
};
}  // namespace detail

template <class Config>
void read_config(Config& config, const ConfigSources& sources) {
  detail::Described<Config> described{config};
  read_described(described, sources);
}
template <class Config>
std::string print_config(Config config) {
  detail::Described<Config> described{config};
  return print_described(described);
}
// Every setting in the order of its description.
template <class Config>
std::vector<ConfigValue> config_values(Config config) {
  detail::Described<Config> described{config};
  return values_described(described);
}
// The same as one JSON object by section.
std::string to_json(const std::vector<ConfigValue>& values);

template <class Config>
std::string help_config(Config config) {
  detail::Described<Config> described{config};
  return help_described(described);
}

// The candidate nearest to `word` by edit distance, or "" when none is near (for "did you mean").
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace deda

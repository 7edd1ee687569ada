// Reading TOML into described structs. The only file that sees toml++.
//
// toml++ 3.3 asserts on some broken texts ("[.]") and, with NDEBUG, takes the assertion for granted. Here it
// throws instead, whatever the build type: a typo is no crash.
#include <stdexcept>
namespace deda::detail {
[[noreturn]] inline void refuse_toml() {
  throw std::invalid_argument("the text breaks the rules of TOML");
}
}  // namespace deda::detail
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? void() : ::deda::detail::refuse_toml())
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "core/config.h"
#include "core/config_keys.h"
#include "core/error.h"
#include "core/files.h"
#include "core/toml_text.h"

namespace deda {

namespace {

constexpr std::uint64_t largest_config_bytes = std::uint64_t{1} << 20;

// A file or one --set, parsed.
struct Source {
  std::string name;  // "configs/demo.toml" or "--set train.epochs"
  bool is_override = false;
  std::string override_text;  // the raw value of a --set
  toml::table table;

  std::string at(const toml::source_region& region) const {
    if (is_override || region.begin.line == 0) return name;
    return fmt::format("{}:{}:{}", name, region.begin.line, region.begin.column);
  }
  // "file:line:column: a.b"; a --set names its key already.
  std::string at(const toml::source_region& region, const std::string& key) const {
    return is_override ? name : at(region) + ": " + key;
  }
};

std::string join_key(const std::vector<std::string>& sections, std::string_view key) {
  std::string dotted;
  for (const std::string& section : sections) dotted += section + '.';
  return dotted += key;
}

// "3", "\"abc\"", "a list": what stands in the source, short enough for a message.
std::string shown(const toml::node& node) {
  constexpr std::size_t longest = 60;
  if (node.is_table()) return "a section";
  if (node.is_array()) return "a list";
  std::string text;
  if (const auto* string = node.as_string())
    text = fmt::format("\"{}\"", string->get());
  else if (const auto* integer = node.as_integer())
    text = std::to_string(integer->get());
  else if (const auto* number = node.as_floating_point())
    text = fmt::format("{}", number->get());
  else if (const auto* boolean = node.as_boolean())
    text = boolean->get() ? "true" : "false";
  else
    return "a date or time";
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  return text;
}

// A value that does not fit its field: what is wrong and what to write.
struct Misfit {
  std::string what, hint;
};

Misfit wrong_type(std::string_view wanted, const toml::node& node, std::string hint) {
  return {fmt::format("{} is wanted here, found {}", wanted, shown(node)), std::move(hint)};
}

std::optional<Misfit> outside_range(const Field& field, double value, const toml::node& node) {
  if (value >= field.min && value <= field.max) return std::nullopt;  // NaN is in no range
  const bool below = std::isfinite(field.min), above = std::isfinite(field.max);
  std::string range = below && above ? fmt::format("from {} to {}", field.min, field.max)
                      : below        ? fmt::format("at least {}", field.min)
                      : above        ? fmt::format("at most {}", field.max)
                                     : std::string{"a number"};
  return Misfit{fmt::format("{} is outside the range of this key", shown(node)),
                fmt::format("It must be {}.", range)};
}

// One overload per type: fills `value` or says why not.
std::optional<Misfit> take(const Field&, const toml::node& node, bool& value) {
  if (const auto* boolean = node.as_boolean()) return value = boolean->get(), std::nullopt;
  return wrong_type("true or false", node, "Write true or false, without quotes.");
}

std::optional<Misfit> take(const Field& field, const toml::node& node, std::int64_t& value) {
  if (const auto* integer = node.as_integer()) {
    if (auto misfit = outside_range(field, static_cast<double>(integer->get()), node)) return misfit;
    return value = integer->get(), std::nullopt;
  }
  const auto* number = node.as_floating_point();
  constexpr double exact_limit = 9007199254740992.0;  // 2^53: beyond it a double no longer names one integer
  const bool whole = number != nullptr && number->get() == std::floor(number->get()) &&
                     std::abs(number->get()) < exact_limit;
  return wrong_type("a whole number", node,
                    whole ? fmt::format("Write {:.0f}, without a decimal point.", number->get()) : "");
}

std::optional<Misfit> take(const Field& field, const toml::node& node, double& value) {
  double number = 0;
  if (const auto* floating = node.as_floating_point())
    number = floating->get();
  else if (const auto* integer = node.as_integer())
    number = static_cast<double>(integer->get());
  else
    return wrong_type("a number", node, node.is_string() ? "Write it without quotes." : "");
  if (auto misfit = outside_range(field, number, node)) return misfit;
  return value = number, std::nullopt;
}

std::optional<Misfit> take(const Field&, const toml::node& node, std::string& value) {
  if (const auto* string = node.as_string()) return value = string->get(), std::nullopt;
  return wrong_type("a text", node, "Put it between double quotes.");
}

std::optional<Misfit> take(const Field& field, const toml::node& node, std::filesystem::path& value) {
  std::string text;
  if (auto misfit = take(field, node, text)) return misfit;
  return value = text, std::nullopt;
}

class Reader final : public ConfigVisitor {
 public:
  Reader(const std::vector<Source>& sources, bool complete) : sources_{sources}, complete_{complete} {
    std::vector<const toml::table*> roots;
    for (const Source& source : sources_) roots.push_back(&source.table);
    open_tables_.push_back(std::move(roots));
  }

  void field(const Field& f, bool& value) override { read_scalar(f, value); }
  void field(const Field& f, std::int64_t& value) override { read_scalar(f, value); }
  void field(const Field& f, double& value) override { read_scalar(f, value); }
  void field(const Field& f, std::string& value) override { read_text_like(f, value); }
  void field(const Field& f, std::filesystem::path& value) override { read_text_like(f, value); }
  void field(const Field& f, std::vector<std::string>& value) override { read_list(f, value); }
  void field(const Field& f, std::vector<std::int64_t>& value) override { read_list(f, value); }
  void field(const Field& f, std::vector<double>& value) override { read_list(f, value); }

  void choice_index(const Field& f, std::size_t& value, const std::vector<std::string_view>& names) override {
    const std::vector<std::string> candidates(names.begin(), names.end());
    each_value(f, [&](const Source&, const toml::node& node) -> std::optional<Misfit> {
      const std::string all = fmt::format("One of: {}.", fmt::join(candidates, ", "));
      const auto* string = node.as_string();
      if (string == nullptr) return wrong_type("a name in quotes", node, all);
      const auto found = std::find(candidates.begin(), candidates.end(), string->get());
      if (found == candidates.end()) {
        const std::string suggestion = did_you_mean(string->get(), candidates);
        return Misfit{fmt::format("unknown name {}", shown(node)),
                      suggestion.empty() ? all : suggestion + ' ' + all};
      }
      value = static_cast<std::size_t>(found - candidates.begin());
      return std::nullopt;
    });
  }

  void begin_section(std::string_view key, std::string_view) override {
    open_known_.back()->sections[std::string{key}];
    std::vector<const toml::table*> inner(sources_.size(), nullptr);
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const toml::table* outer = open_tables_.back()[i];
      const toml::node* node = outer == nullptr ? nullptr : outer->get(key);
      if (node == nullptr) continue;
      inner[i] = node->as_table();
      if (inner[i] == nullptr) {
        const std::string dotted = join_key(path_, key);
        problems_.push_back({fmt::format("a section is wanted here, found {}", shown(*node)),
                             sources_[i].at(node->source(), dotted),
                             fmt::format("Write [{}] and its keys below.", dotted)});
      }
    }
    open_tables_.push_back(std::move(inner));
    open_known_.push_back(&open_known_.back()->sections[std::string{key}]);
    path_.emplace_back(key);
  }

  void end_section() override {
    open_tables_.pop_back();
    open_known_.pop_back();
    path_.pop_back();
  }

  void require(bool holds, std::string_view key, std::string_view what, std::string_view hint) override {
    const std::string dotted = join_key(path_, key);
    // A rule over a value that could not be read would blame the default.
    if (holds || !complete_ || misread_.contains(dotted)) return;
    const auto set_at = set_at_.find(dotted);
    problems_.push_back({std::string{what}, set_at == set_at_.end() ? dotted + " (default)" : set_at->second,
                         std::string{hint}});
  }

  // After describe(): the keys that nothing asked for.
  void list_unknown_keys() {
    for (const Source& source : sources_) list_unknown_keys(source, source.table, known_, {});
  }
  std::vector<Problem> take_problems() { return std::move(problems_); }

 private:
  // Calls `use` for the key's value in each source, in order of precedence; `use` returns what does not fit.
  template <class Use>
  void each_value(const Field& f, Use use) {
    open_known_.back()->fields.emplace_back(f.key);
    const std::string dotted = join_key(path_, f.key);
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const toml::table* table = open_tables_.back()[i];
      const toml::node* node = table == nullptr ? nullptr : table->get(f.key);
      if (node == nullptr) continue;
      set_at_[dotted] = sources_[i].at(node->source(), dotted);
      if (const std::optional<Misfit> misfit = use(sources_[i], *node)) {
        misread_.insert(dotted);
        problems_.push_back({misfit->what, set_at_[dotted], misfit->hint});
      }
    }
  }

  template <class Value>
  void read_scalar(const Field& f, Value& value) {
    each_value(f, [&](const Source&, const toml::node& node) { return take(f, node, value); });
  }

  // In `--set run.name=7` the 7 is the text that was wanted, whatever else TOML could read in it.
  template <class Value>
  void read_text_like(const Field& f, Value& value) {
    each_value(f, [&](const Source& source, const toml::node& node) -> std::optional<Misfit> {
      if (source.is_override && !node.is_string() && !node.is_table())
        return value = source.override_text, std::nullopt;
      return take(f, node, value);
    });
  }

  template <class Element>
  void read_list(const Field& f, std::vector<Element>& value) {
    each_value(f, [&](const Source& source, const toml::node& node) -> std::optional<Misfit> {
      const auto* array = node.as_array();
      if (array == nullptr)
        return wrong_type("a list", node, node.is_table() ? "" : fmt::format("Write [{}].", shown(node)));
      std::vector<Element> elements;
      for (std::size_t i = 0; i < array->size(); ++i) {
        const toml::node& item = *array->get(i);
        elements.emplace_back();
        const std::optional<Misfit> misfit = take(f, item, elements.back());
        if (!misfit) continue;
        const std::string dotted = join_key(path_, f.key);
        misread_.insert(dotted);
        problems_.push_back(
            {misfit->what, source.at(item.source(), fmt::format("{}[{}]", dotted, i)), misfit->hint});
      }
      return value = std::move(elements), std::nullopt;
    });
  }

  void list_unknown_keys(const Source& source, const toml::table& table, const KnownSection& known,
                         const std::vector<std::string>& path) {
    for (const auto& [key, node] : table) {
      const std::string name{key.str()};
      if (const auto section = known.sections.find(name); section != known.sections.end()) {
        std::vector<std::string> inner = path;
        inner.push_back(name);
        if (const auto* inside = node.as_table()) list_unknown_keys(source, *inside, section->second, inner);
        continue;
      }
      if (std::find(known.fields.begin(), known.fields.end(), name) != known.fields.end()) continue;
      problems_.push_back({fmt::format("unknown {}", node.is_table() ? "section" : "key"),
                           source.at(key.source(), join_key(path, name)),
                           unknown_key_hint(name, known, known_)});
    }
  }

  const std::vector<Source>& sources_;
  bool complete_;  // all sources could be parsed
  KnownSection known_;
  std::vector<KnownSection*> open_known_{&known_};
  std::vector<std::vector<const toml::table*>>
      open_tables_;  // per open section, per source; null where it is absent
  std::vector<std::string> path_;
  std::map<std::string, std::string> set_at_;  // dotted key -> where its last value stands
  std::set<std::string> misread_;
  std::vector<Problem> problems_;
};

// toml++ builds one table inside another for each dot and takes them down by recursion; no configuration is
// that deep.
bool nests_too_deep(std::string_view text) {
  constexpr int deepest = 256;
  int dots = 0;
  for (const char c : text) {
    if (c == '\n' || c == '=' || c == ',' || c == '"' || c == '#') dots = 0;
    if (c == '.' && ++dots > deepest) return true;
  }
  return false;
}

// The table, or where and why the text is no TOML.
struct Parsed {
  std::optional<toml::table> table;
  toml::source_region error_at;
  std::string reason;
};

Parsed parse_toml(std::string_view text) {
  try {
    return {toml::parse(text), {}, {}};
  } catch (const toml::parse_error& error) {
    return {std::nullopt, error.source(), std::string{error.description()}};
  } catch (const std::invalid_argument& error) {
    return {std::nullopt, {}, error.what()};
  }
}

std::optional<Problem> parse_file(const std::filesystem::path& path, std::vector<Source>& sources) {
  std::string text;
  try {
    text = read_text(path, largest_config_bytes);
  } catch (const Error& error) {
    return error.problems().front();
  }
  if (nests_too_deep(text))
    return Problem{"keys are nested too deep", path.string(), "Is it a configuration file?"};
  Parsed parsed = parse_toml(text);
  Source source;
  source.name = path.string();
  if (!parsed.table)
    return Problem{"no valid TOML: " + parsed.reason, source.at(parsed.error_at),
                   "Mend this first; texts need double quotes."};
  source.table = std::move(*parsed.table);
  sources.push_back(std::move(source));
  return std::nullopt;
}

std::optional<Problem> parse_override(const std::string& text, std::vector<Source>& sources) {
  const std::size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  const bool one_line = key.find_first_of("\n\r#\"'[]{}") == std::string::npos && !nests_too_deep(key);
  if (equals == std::string::npos || !one_line || !parse_toml(key + " = 0").table) {
    constexpr std::size_t longest_shown = 80;
    return Problem{fmt::format("\"{}\" is not of the form section.key=value", text.substr(0, longest_shown)),
                   "--set", "Example: --set train.epochs=10"};
  }
  Source source;
  source.name = "--set " + key;
  source.is_override = true;
  source.override_text = text.substr(equals + 1);
  const bool may_be_toml = source.override_text.find_first_of("\n\r") == std::string::npos &&
                           !nests_too_deep(source.override_text);
  Parsed parsed;
  if (may_be_toml) parsed = parse_toml(key + " = " + source.override_text);
  if (!parsed.table) parsed = parse_toml(key + " = " + toml_string(source.override_text));
  if (!parsed.table)
    return Problem{"the value cannot be read: " + parsed.reason, source.name, "It must be UTF-8 text."};
  source.table = std::move(*parsed.table);
  sources.push_back(std::move(source));
  return std::nullopt;
}

}  // namespace

void read_described(ConfigDescription& config, const ConfigSources& wanted) {
  std::vector<Problem> problems;
  std::vector<Source> sources;
  for (const auto& file : wanted.files) {
    if (auto problem = parse_file(file, sources)) problems.push_back(std::move(*problem));
  }
  for (const auto& text : wanted.overrides) {
    if (auto problem = parse_override(text, sources)) problems.push_back(std::move(*problem));
  }
  Reader reader{sources, problems.empty()};
  config.describe(reader);
  reader.list_unknown_keys();
  for (Problem& problem : reader.take_problems()) problems.push_back(std::move(problem));
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace deda

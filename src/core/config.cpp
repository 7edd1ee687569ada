// Reading TOML into described structs.
#include "core/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "core/config_keys.h"
#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "core/loose_values.h"
#include "core/toml_parser.h"
#include "core/toml_text.h"

namespace deda {

namespace {

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

std::optional<Misfit> outside_range(const Field& field, double value, const std::string& found) {
  if (value >= field.min && value <= field.max) return std::nullopt;  // NaN is in no range
  const bool below = std::isfinite(field.min), above = std::isfinite(field.max);
  std::string range = below && above ? fmt::format("from {} to {}", field.min, field.max)
                      : below        ? fmt::format("at least {}", field.min)
                      : above        ? fmt::format("at most {}", field.max)
                                     : std::string{"a number"};
  return Misfit{fmt::format("{} is outside the range of this key", found),
                fmt::format("It must be {}.", range)};
}

// One overload per type: fills `value` or says why not.
std::optional<Misfit> take(const Field&, const toml::node& node, bool& value) {
  if (const auto* boolean = node.as_boolean()) return value = boolean->get(), std::nullopt;
  return wrong_type("true or false", node, "Write true or false, without quotes.");
}

std::optional<Misfit> take(const Field& field, const toml::node& node, std::int64_t& value) {
  if (const auto* integer = node.as_integer()) {
    if (auto misfit = outside_range(field, static_cast<double>(integer->get()), shown(node))) return misfit;
    return value = integer->get(), std::nullopt;
  }
  const auto* number = node.as_floating_point();
  const auto whole = number == nullptr ? std::nullopt : loose::integer(fmt::format("{}", number->get()));
  return wrong_type("a whole number", node,
                    whole ? fmt::format("Write {}, without a decimal point.", *whole) : "");
}

std::optional<Misfit> take(const Field& field, const toml::node& node, double& value) {
  double number = 0;
  if (const auto* floating = node.as_floating_point())
    number = floating->get();
  else if (const auto* integer = node.as_integer())
    number = static_cast<double>(integer->get());
  else
    return wrong_type("a number", node, node.is_string() ? "Write it without quotes." : "");
  if (auto misfit = outside_range(field, number, shown(node))) return misfit;
  return value = number, std::nullopt;
}

// Texts are UTF-8 whatever was typed: names that are not stand there as results write them
// (core/escaped_name.h).
std::string utf8_text(const std::string& parsed) {
  std::string bytes = without_private_characters(parsed);
  return is_utf8(bytes) ? bytes : escaped_name(bytes);
}

std::optional<Misfit> take_path(const std::string& parsed, std::filesystem::path& value) {
  const std::string bytes = without_private_characters(parsed);
  const auto path = loose::with_home(is_utf8(bytes) ? path_of_name(bytes) : std::filesystem::path{bytes});
  if (!path)
    return Misfit{
        fmt::format("\"{}\" begins with ~, and {}", escaped_name(bytes),
                    std::getenv("HOME") == nullptr ? "HOME is not set" : "only one's own ~/ is understood"),
        "Write the folder in full, or ./~ for a folder of that name."};
  return value = *path, std::nullopt;
}

std::optional<Misfit> take(const Field&, const toml::node& node, std::string& value) {
  if (const auto* string = node.as_string()) return value = utf8_text(string->get()), std::nullopt;
  return wrong_type("a text", node, "Put it between double quotes.");
}

std::optional<Misfit> take(const Field&, const toml::node& node, std::filesystem::path& value) {
  if (const auto* string = node.as_string()) return take_path(string->get(), value);
  return wrong_type("a text", node, "Put it between double quotes.");
}

// The same from a text of --set that TOML reads otherwise, where only one meaning is possible. nullopt: it
// fits; a misfit without `what`: no such value.
std::optional<Misfit> take_loosely(const Field&, const std::string& text, bool& value) {
  const auto found = loose::boolean(text);
  return found ? (value = *found, std::nullopt) : std::optional{Misfit{"", "true"}};
}
std::optional<Misfit> take_loosely(const Field& field, const std::string& text, std::int64_t& value) {
  if (const auto found = loose::integer(text)) {
    if (auto misfit = outside_range(field, static_cast<double>(*found), text)) return misfit;
    return value = *found, std::nullopt;
  }
  std::string suggestion = loose::suggested_number(text);
  const auto real = loose::number(suggestion.empty() ? text : suggestion);
  if (real && std::abs(*real) < 1e15)
    suggestion = fmt::format("{:.0f}", std::clamp(std::round(*real), field.min, field.max));
  return Misfit{"", suggestion};
}
std::optional<Misfit> take_loosely(const Field& field, const std::string& text, double& value) {
  const auto found = loose::number(text);
  if (!found) return Misfit{"", loose::suggested_number(text)};
  if (auto misfit = outside_range(field, *found, text)) return misfit;
  return value = *found, std::nullopt;
}
std::optional<Misfit> take_loosely(const Field&, const std::string& text, std::string& value) {
  return value = utf8_text(text), std::nullopt;
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
    each_value(f, [&](const Source& source, const toml::node& node) -> std::optional<Misfit> {
      const std::string all = fmt::format("One of: {}.", fmt::join(candidates, ", "));
      const std::optional<std::string> word = word_of(source, node);
      if (!word) return wrong_type("a name in quotes", node, all);
      const auto found = place_of(*word, candidates);
      if (found == candidates.end()) {
        const std::string suggestion = did_you_mean(*word, candidates);
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

  // The name that stands there; a number counts as one where names are numbers (diffusion.offset_gain = 300).
  static std::optional<std::string> word_of(const Source& source, const toml::node& node) {
    if (const auto* string = node.as_string()) return string->get();
    if (node.is_table() || node.is_array()) return std::nullopt;
    return source.is_override ? loose::bare(source.override_text) : shown(node);
  }
  static std::vector<std::string>::const_iterator place_of(const std::string& word,
                                                           const std::vector<std::string>& candidates) {
    const auto found = std::find(candidates.begin(), candidates.end(), word);
    const auto number = loose::number(word);
    if (found != candidates.end() || !number) return found;
    return std::find_if(candidates.begin(), candidates.end(),
                        [&](const std::string& name) { return loose::number(name) == number; });
  }

  // What was typed behind --set, where it is one value and no inner table.
  static std::optional<std::string> typed_text(const Source& source, const toml::node& node) {
    if (!source.is_override || node.is_table()) return std::nullopt;
    return source.override_text;
  }

  template <class Value>
  void read_scalar(const Field& f, Value& value) {
    each_value(f, [&](const Source& source, const toml::node& node) -> std::optional<Misfit> {
      auto misfit = take(f, node, value);
      const auto typed = typed_text(source, node);
      if (!misfit || !typed) return misfit;
      const auto loosely = take_loosely(f, *typed, value);
      if (!loosely || !loosely->what.empty()) return loosely;
      if (!loosely->hint.empty()) misfit->hint = fmt::format("Write {}={}", source.name, loosely->hint);
      return misfit;
    });
  }

  // In `--set run.name=7` the 7 is the text that was wanted, whatever else TOML could read in it.
  void read_text_like(const Field& f, std::string& value) {
    each_value(f, [&](const Source& source, const toml::node& node) -> std::optional<Misfit> {
      if (source.is_override && !node.is_string() && !node.is_table())
        return value = utf8_text(source.override_text), std::nullopt;
      return take(f, node, value);
    });
  }
  void read_text_like(const Field& f, std::filesystem::path& value) {
    each_value(f, [&](const Source& source, const toml::node& node) -> std::optional<Misfit> {
      if (source.is_override && !node.is_string() && !node.is_table())
        return take_path(source.override_text, value);
      return take(f, node, value);
    });
  }

  template <class Element>
  void read_list(const Field& f, std::vector<Element>& value) {
    each_value(f, [&](const Source& source, const toml::node& node) -> std::optional<Misfit> {
      std::vector<Element> elements;
      std::vector<Problem> problems;
      std::optional<Misfit> misfit;
      if (const auto* array = node.as_array())
        take_elements(f, source, *array, elements, problems);
      else
        misfit = wrong_type("a list", node, node.is_table() ? "" : fmt::format("Write [{}].", shown(node)));
      if (const auto typed = typed_text(source, node); typed && (misfit || !problems.empty())) {
        if (auto loosely = take_list_loosely<Element>(f, *typed))
          return value = std::move(*loosely), std::nullopt;
        if (misfit) misfit->hint = fmt::format("Write {}=[{}]", source.name, example_of(value));
      }
      for (Problem& problem : problems) problems_.push_back(std::move(problem));
      if (misfit) return misfit;
      if (!problems.empty()) misread_.insert(join_key(path_, f.key));
      return value = std::move(elements), std::nullopt;
    });
  }

  template <class Element>
  void take_elements(const Field& f, const Source& source, const toml::array& array,
                     std::vector<Element>& elements, std::vector<Problem>& problems) const {
    for (std::size_t i = 0; i < array.size(); ++i) {
      const toml::node& item = *array.get(i);
      elements.emplace_back();
      if (const auto misfit = take(f, item, elements.back()))
        problems.push_back({misfit->what,
                            source.at(item.source(), fmt::format("{}[{}]", join_key(path_, f.key), i)),
                            misfit->hint});
    }
  }

  template <class Element>
  static std::optional<std::vector<Element>> take_list_loosely(const Field& f, const std::string& typed) {
    std::vector<Element> elements;
    for (const std::string& text : loose::list(typed)) {
      elements.emplace_back();
      if (take_loosely(f, text, elements.back())) return std::nullopt;
    }
    return elements;
  }

  static std::string example_of(const std::vector<std::string>&) { return "first,second"; }
  template <class Number>
  static std::string example_of(const std::vector<Number>& numbers) {
    return numbers.empty() ? "1,2" : fmt::format("{}", fmt::join(numbers, ","));
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

std::optional<Problem> parse_file(const std::filesystem::path& path, std::vector<Source>& sources) {
  std::string text;
  try {
    text = read_text(path, largest_toml_bytes);
  } catch (const Error& error) {
    return error.problems().front();
  }
  if (nests_too_deep(text))
    return Problem{"keys are nested too deep", path.string(), "Is it a configuration file?"};
  ParsedToml parsed = parse_toml(text);
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
  ParsedToml parsed;
  // Names of files need not be UTF-8, TOML has to be.
  const std::string utf8 = with_private_characters(source.override_text);
  if (may_be_toml) parsed = parse_toml(key + " = " + utf8);
  if (!parsed.table) parsed = parse_toml(key + " = " + toml_string(utf8));
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

#include "report/run_groups.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <compare>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>

#include "core/error.h"
#include "pipeline/settings.h"

namespace deda::report {

namespace {

constexpr const char* no_value = "-";
constexpr std::string_view seed_key = "run.seed", method_key = "augment.method",
                           synthetic_key = "augment.p_syn", method_section = "augment",
                           dataset_section = "dataset";

// A stage whose result a training may need, in the order of the method: a stage is made anew when an earlier
// one changes.
struct NeededStage {
  std::string_view name;
  std::vector<std::string_view> sections;  // of the configuration, that it reads
  std::string_view replaced_by;  // names a folder to take instead; what the sections say then made nothing
};

const std::vector<NeededStage>& needed_stages() {
  static const std::vector<NeededStage> stages = {
      {"decouple", {"decouple"}, "train.store"},
      {"invert", {"invert", "diffusion", "models"}, ""},
      {"generate", {"generate", "invert", "diffusion", "models"}, "train.synthetic_store"},
  };
  return stages;
}

// How a setting takes part in results (pipeline/settings.h). A training tells by itself which settings had an
// effect on it; of the stages before it only their whole configuration is known. Files and folders count by
// content: another path proves no other content, an equal one no equal content.
bool takes_part(std::string_view key, std::initializer_list<pipeline::Part> parts) {
  for (const auto& row : pipeline::setting_rows()) {
    if (row.key == key) return std::find(parts.begin(), parts.end(), row.part) != parts.end();
  }
  return false;  // of another version of the program
}

std::string_view section_of(std::string_view key) {
  return key.substr(0, key.find('.'));
}

const NeededStage* find_stage(std::string_view name) {
  const auto& stages = needed_stages();
  const auto found = std::find_if(stages.begin(), stages.end(),
                                  [&](const NeededStage& stage) { return stage.name == name; });
  return found == stages.end() ? nullptr : &*found;
}

bool reads(const NeededStage& stage, std::string_view section) {
  return std::find(stage.sections.begin(), stage.sections.end(), section) != stage.sections.end();
}

// Belongs to a stage before training: only methods with parts have it.
bool is_of_needed_stage(std::string_view key) {
  const auto& stages = needed_stages();
  return std::any_of(stages.begin(), stages.end(),
                     [&](const NeededStage& stage) { return reads(stage, section_of(key)); });
}

const std::string* find(const ValuesByKey& values, std::string_view key) {
  const auto found = values.find(std::string{key});
  return found == values.end() ? nullptr : &found->second;
}

// Of the pictures themselves.
bool is_of_dataset(std::string_view input) {
  return input == "pictures" || section_of(input) == dataset_section;
}

bool both_and_unequal(const ValuesByKey& one, const ValuesByKey& other, std::string_view key) {
  const std::string *a = find(one, key), *b = find(other, key);
  return a != nullptr && b != nullptr && *a != *b;
}

bool unequal(const ValuesByKey& one, const ValuesByKey& other, std::string_view key) {
  const std::string *a = find(one, key), *b = find(other, key);
  return a == nullptr || b == nullptr ? a != b : *a != *b;
}

std::set<std::string> keys_of(const ValuesByKey& one, const ValuesByKey& other) {
  std::set<std::string> keys;
  for (const auto& [key, value] : one) keys.insert(key);
  for (const auto& [key, value] : other) keys.insert(key);
  return keys;
}

const ValuesByKey& needs_of(const RunGroup& group) {
  return group.runs.front()->provenance->needs;
}
const ValuesByKey& inputs_of(const RunGroup& group) {
  return group.runs.front()->provenance->inputs;
}

// Texts without their quotes where that is clear, lists in brackets, numbers as they are.
std::string for_people(const nlohmann::json& value) {
  if (value.is_array()) {
    std::string list;
    for (const auto& element : value) list += (list.empty() ? "" : ", ") + for_people(element);
    return '[' + list + ']';
  }
  std::string json = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (!value.is_string()) return json;
  const std::string text = value;
  // An empty cell would look like a fault, and a line break would be one.
  const bool bare =
      !text.empty() && std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < ' '; });
  return bare ? text : json;
}
std::string for_people(const std::string& json) {
  return for_people(nlohmann::json::parse(json));
}

std::string first_digits(const std::string& digest) {
  constexpr std::size_t digits = 8;
  return digest.substr(0, digits);
}

struct Column {
  enum class Kind : std::uint8_t { setting, need, input, input_by_path, folder };
  Kind kind = Kind::setting;
  std::string key;
  auto operator<=>(const Column&) const = default;
};
using Columns = std::set<Column>;

// The group took the store that a setting names instead of the one that its own configuration makes.
bool is_replaced(const NeededStage& stage, const RunGroup& group) {
  const std::string* folder = find(group.configuration, stage.replaced_by);
  return folder != nullptr && *folder != "\"\"";
}

// Whether a setting can tell why the results that both groups have of this stage are unequal.
bool concerns(const NeededStage& stage, std::string_view key, const RunGroup& one, const RunGroup& other) {
  const std::string_view section = section_of(key);
  if (!reads(stage, section) || takes_part(key, {pipeline::Part::none})) return false;
  if (stage.name != "generate" || section != "invert") return true;
  // Identifiers that are listed themselves need no second look; unless learnt they have no part in it.
  const auto learned = [](const RunGroup& group) {
    const std::string* identifier = find(group.configuration, "generate.identifier");
    return identifier == nullptr || *identifier != "\"class_name\"";
  };
  const bool listed = needs_of(one).contains("invert") && needs_of(other).contains("invert");
  return !listed && (learned(one) || learned(other));
}

// What the groups' configurations have unequal of the keys that `concerns` takes: settings into `columns`,
// paths into `hints`. Whether there was a setting.
template <class Concerns>
bool add_configured(const RunGroup& one, const RunGroup& other, const Concerns& concerns, Columns& columns,
                    Columns& hints) {
  bool explained = false;
  for (const std::string& key : keys_of(one.configuration, other.configuration)) {
    if (!concerns(key) || !unequal(one.configuration, other.configuration, key)) continue;
    const bool is_path = takes_part(key, {pipeline::Part::content});
    (is_path ? hints : columns).insert({Column::Kind::setting, key});
    explained = explained || !is_path;
  }
  return explained;
}

// Both groups were made from a result of the same stage and the results are unequal: by what setting? Where
// none tells, by the digits of the key, with the paths beside them as a hint.
void add_need(const std::string& need, const RunGroup& one, const RunGroup& other, Columns& columns) {
  const NeededStage unknown{need, {need}, ""};
  const NeededStage* known = find_stage(need);
  const NeededStage& stage = known != nullptr ? *known : unknown;
  bool explained = false;
  Columns hints;
  if (is_replaced(stage, one) || is_replaced(stage, other)) {
    if (both_and_unequal(one.configuration, other.configuration, stage.replaced_by))
      hints.insert({Column::Kind::setting, std::string{stage.replaced_by}});
  } else {
    explained = add_configured(
        one, other, [&](const std::string& key) { return concerns(stage, key, one, other); }, columns, hints);
    for (const NeededStage& earlier : needed_stages()) {
      if (known == nullptr || &earlier == known) break;
      if (both_and_unequal(needs_of(one), needs_of(other), earlier.name)) explained = true;
    }
    for (const auto& [name, digest] : inputs_of(one)) {
      if ((is_of_dataset(name) || reads(stage, section_of(name))) &&
          both_and_unequal(inputs_of(one), inputs_of(other), name))
        explained = true;
    }
  }
  if (explained) return;
  columns.insert({Column::Kind::need, need});
  columns.merge(hints);
}

// Files by the path that is configured for them, if the paths are unequal where the contents are, else by
// content.
Column column_of_input(const std::string& name, const std::vector<RunGroup>& groups) {
  std::vector<const RunGroup*> having;
  for (const RunGroup& group : groups) {
    if (group.settings_known() && inputs_of(group).contains(name)) having.push_back(&group);
  }
  bool by_path = true;
  for (const RunGroup* one : having) {
    by_path = by_path && one->configuration.contains(name);
    for (const RunGroup* other : having) {
      by_path = by_path && unequal(inputs_of(*one), inputs_of(*other), name) ==
                               unequal(one->configuration, other->configuration, name);
    }
  }
  return {by_path ? Column::Kind::input_by_path : Column::Kind::input, name};
}

// Whether the settings in this section tell which pictures the group trained and tested with.
bool makes_dataset(std::string_view section, const RunGroup& group) {
  const std::string* layout = find(group.configuration, "dataset.layout");
  return section == dataset_section || (section == "toy" && layout != nullptr && *layout == "\"toy\"");
}

// The groups read unequal files of one name. Of pictures the settings tell which they are (so many a class)
// or how they were drawn, where those are unequal.
void add_input(const std::string& name, const RunGroup& one, const RunGroup& other,
               const std::vector<RunGroup>& all, Columns& columns) {
  const auto concerns = [&](const std::string& key) {
    const std::string_view section = section_of(key);
    return is_of_dataset(name) && key != name && makes_dataset(section, one) && makes_dataset(section, other);
  };
  Columns hints;
  if (add_configured(one, other, concerns, columns, hints)) return;
  columns.insert(column_of_input(name, all));
  columns.merge(hints);
}

// What the two groups have both and unequal.
void add_pair(const RunGroup& one, const RunGroup& other, const std::vector<RunGroup>& all,
              Columns& columns) {
  for (const auto& [key, value] : one.settings) {
    // The row's title tells the method, and with it whether there are synthetic CDPs at all ("deda-real":
    // none).
    if (key == method_key || (key == synthetic_key && one.method != other.method)) continue;
    if (both_and_unequal(one.settings, other.settings, key)) columns.insert({Column::Kind::setting, key});
  }
  for (const auto& [need, key] : needs_of(one)) {
    if (both_and_unequal(needs_of(one), needs_of(other), need)) add_need(need, one, other, columns);
  }
  for (const std::string& name : keys_of(inputs_of(one), inputs_of(other))) {
    const bool counts = is_of_needed_stage(name) ? both_and_unequal(inputs_of(one), inputs_of(other), name)
                                                 : unequal(inputs_of(one), inputs_of(other), name);
    if (counts) add_input(name, one, other, all, columns);
  }
}

// What only one of two groups of one method has. It goes with some other difference as a rule (a schedule
// with its milestones), and would then only widen the table.
void add_one_sided(const RunGroup& one, const RunGroup& other, const std::vector<RunGroup>& all,
                   Columns& columns) {
  for (const std::string& key : keys_of(one.settings, other.settings)) {
    if (unequal(one.settings, other.settings, key)) columns.insert({Column::Kind::setting, key});
  }
  for (const std::string& need : keys_of(needs_of(one), needs_of(other))) {
    if (unequal(needs_of(one), needs_of(other), need)) columns.insert({Column::Kind::need, need});
  }
  for (const std::string& name : keys_of(inputs_of(one), inputs_of(other))) {
    if (unequal(inputs_of(one), inputs_of(other), name)) add_input(name, one, other, all, columns);
  }
}

std::string setting_cell(const RunGroup& group, const std::string& key) {
  if (const std::string* value = find(group.settings, key)) return for_people(*value);
  const std::string* configured = find(group.configuration, key);
  if (configured == nullptr) return no_value;
  if (makes_dataset(section_of(key), group)) return for_people(*configured);
  // Of a stage before training, if this group has one and it was made by this setting.
  for (const auto& [need, digest] : needs_of(group)) {
    const NeededStage* stage = find_stage(need);
    const bool own = stage == nullptr ? need == section_of(key)
                                      : reads(*stage, section_of(key)) && !is_replaced(*stage, group);
    if (own || (stage != nullptr && stage->replaced_by == key)) return for_people(*configured);
  }
  return no_value;
}

// The name of an unknown run's folder, or its path where another one has the same name.
std::string folder_cell(const RunGroup& group, const std::vector<RunGroup>& groups) {
  if (group.settings_known()) return no_value;
  const auto& folder = group.runs.front()->folder;
  const auto namesakes = std::count_if(groups.begin(), groups.end(), [&](const RunGroup& other) {
    return !other.settings_known() && other.runs.front()->folder.filename() == folder.filename();
  });
  return namesakes > 1 ? folder.string() : folder.filename().string();
}

std::string cell(const RunGroup& group, const Column& column, const std::vector<RunGroup>& groups) {
  if (column.kind == Column::Kind::folder) return folder_cell(group, groups);
  if (!group.settings_known()) return no_value;
  if (column.kind == Column::Kind::setting) return setting_cell(group, column.key);
  const std::string* digest =
      find(column.kind == Column::Kind::need ? needs_of(group) : inputs_of(group), column.key);
  if (digest == nullptr) return no_value;
  return column.kind == Column::Kind::input_by_path ? for_people(group.configuration.at(column.key))
                                                    : first_digits(*digest);
}

void fill_cells(std::vector<RunGroup>& groups, const Columns& columns) {
  for (RunGroup& group : groups) {
    group.cells.clear();
    for (const Column& column : columns) group.cells.push_back(cell(group, column, groups));
  }
}

template <class Use>
void for_pairs(const std::vector<RunGroup>& groups, const Use& use) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t j = i + 1; j < groups.size(); ++j) {
      if (groups[i].settings_known() && groups[j].settings_known()) use(groups[i], groups[j]);
    }
  }
}

// The columns of a table; fills the groups' cells.
Columns choose_columns(std::vector<RunGroup>& groups) {
  Columns columns;
  for_pairs(groups, [&](const RunGroup& a, const RunGroup& b) { add_pair(a, b, groups, columns); });
  fill_cells(groups, columns);
  for_pairs(groups, [&](const RunGroup& a, const RunGroup& b) {
    if (a.method == b.method && a.cells == b.cells) add_one_sided(a, b, groups, columns);
  });
  std::set<std::string> unknown;  // methods
  for (const RunGroup& group : groups) {
    if (!group.settings_known() && !unknown.insert(group.method).second)
      columns.insert({Column::Kind::folder, "folder"});
  }
  fill_cells(groups, columns);
  return columns;
}

// Short names; with the section where two would be the same, or the same as a heading that every table has.
std::vector<SettingColumn> with_headings(const Columns& columns) {
  const auto in_full = [](const Column& column) {
    return column.kind != Column::Kind::setting && column.kind != Column::Kind::input_by_path;
  };
  const auto short_name = [&](const Column& column) {
    return in_full(column) ? column.key : column.key.substr(column.key.rfind('.') + 1);
  };
  std::multiset<std::string> names = {"method", "seed", "test"};
  for (const Column& column : columns) names.insert(short_name(column));
  std::vector<SettingColumn> named;
  for (const Column& column : columns)
    named.push_back({column.key, names.count(short_name(column)) > 1 ? column.key : short_name(column)});
  return named;
}

std::optional<double> number_of(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && std::isfinite(value) ? std::optional{value} : std::nullopt;
}

// Numbers by value, before texts.
bool before(const std::string& one, const std::string& other) {
  const auto a = number_of(one), b = number_of(other);
  if (a && b && *a != *b) return *a < *b;
  return std::tuple{!a, one} < std::tuple{!b, other};
}

}  // namespace

ValuesByKey values_by_key(const std::string& json, const std::string& where) {
  ValuesByKey values;
  const auto add = [&](const auto& self, const nlohmann::json& object, const std::string& prefix) -> void {
    for (const auto& [name, value] : object.items()) {
      if (value.is_object())
        self(self, value, prefix + name + '.');
      else
        values[prefix + name] = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
  };
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, false);
  if (!object.is_object())
    throw DataError("the settings of its provenance are no JSON object", where,
                    "Train the run again, or take its folder out of the comparison.");
  add(add, object, "");
  return values;
}

GroupedRuns group_runs(const std::vector<const RunResults*>& runs) {
  GroupedRuns grouped;
  for (const RunResults* run : runs) {
    RunGroup group{.method = run->method, .runs = {run}, .settings = {}, .configuration = {}, .cells = {}};
    if (run->provenance) {
      const std::string where = run->folder.string();
      group.settings = values_by_key(run->provenance->settings, where);
      group.settings.erase(std::string{seed_key});
      group.configuration = values_by_key(run->provenance->configuration, where);
    }
    const auto same = std::find_if(grouped.groups.begin(), grouped.groups.end(), [&](const RunGroup& other) {
      return group.settings_known() && other.settings_known() && group.method == other.method &&
             group.settings == other.settings && needs_of(group) == needs_of(other) &&
             inputs_of(group) == inputs_of(other);
    });
    if (same == grouped.groups.end())
      grouped.groups.push_back(std::move(group));
    else
      same->runs.push_back(run);
  }
  grouped.columns = with_headings(choose_columns(grouped.groups));
  std::stable_sort(grouped.groups.begin(), grouped.groups.end(), [](const RunGroup& a, const RunGroup& b) {
    const auto rank = [](const RunGroup& group) {
      return std::tuple{group.method != "plain", group.method, !group.settings_known()};
    };
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return std::lexicographical_compare(a.cells.begin(), a.cells.end(), b.cells.begin(), b.cells.end(),
                                        before);
  });
  return grouped;
}

std::vector<std::string> unequal_beside_method(const RunGroup& one, const RunGroup& other) {
  std::vector<std::string> keys;
  for (const std::string& key : keys_of(one.settings, other.settings)) {
    const bool of_method = section_of(key) == method_section || is_of_needed_stage(key);
    if (key != method_key && (of_method ? both_and_unequal(one.settings, other.settings, key)
                                        : unequal(one.settings, other.settings, key)))
      keys.push_back(key);
  }
  for (const auto& [need, digest] : needs_of(one)) {
    if (both_and_unequal(needs_of(one), needs_of(other), need)) keys.push_back(need);
  }
  for (const std::string& name : keys_of(inputs_of(one), inputs_of(other))) {
    if (is_of_needed_stage(name) ? both_and_unequal(inputs_of(one), inputs_of(other), name)
                                 : unequal(inputs_of(one), inputs_of(other), name))
      keys.push_back(name);
  }
  return keys;
}

}  // namespace deda::report

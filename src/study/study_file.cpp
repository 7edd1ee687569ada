#include "study/study_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <set>

#include "core/config.h"
#include "core/error.h"
#include "core/toml_tree.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;
using Kind = TomlNode::Kind;
using Names = std::vector<std::string>;

std::string meant(const std::string& word, const Names& names) {
  const std::string nearest = nearest_name(word, names);
  if (!nearest.empty()) return fmt::format("Did you mean \"{}\"?", nearest);
  return names.empty() ? std::string{} : fmt::format("Valid here: {}.", fmt::join(names, ", "));
}

bool holds(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Names names_of(const std::vector<AxisValue>& values) {
  Names names;
  for (const auto& value : values) names.push_back(value.name);
  return names;
}

// What people call a value: a text without its quotes, a number as it was typed.
std::string label_of(const TomlNode& node) {
  return node.kind == Kind::text ? node.text : node.as_toml();
}

constexpr std::pair<const char*, Value> value_names[] = {{"last", Value::last},
                                                         {"best", Value::best},
                                                         {"mean_last_10", Value::mean_last_10},
                                                         {"held_out", Value::held_out}};

class Reader {
 public:
  Study read(const fs::path& file) {
    study_.file = file;
    read_file(file, {});
    if (study_.name.empty()) study_.name = file.stem().string();
    if (study_.grids.empty() && problems_.empty())
      add("has no grid", file.string(), "Write [[grid]] and its axes.");
    check();
    if (!problems_.empty()) throw ConfigError(std::move(problems_));
    return std::move(study_);
  }

 private:
  // What a file's [study] says for its own grids.
  struct Surroundings {
    std::vector<fs::path> base;
    std::vector<Setting> settings;
  };

  void add(std::string what, std::string where, std::string hint = {}) {
    problems_.push_back({std::move(what), std::move(where), std::move(hint)});
  }

  void read_file(const fs::path& file, Surroundings around) {
    std::error_code error;
    const fs::path whole = fs::weakly_canonical(file, error);
    if (std::find(open_.begin(), open_.end(), whole) != open_.end()) {
      add("the file includes itself", open_where_, "Take it out of one of the lists `include`.");
      return;
    }
    if (!read_.insert(whole).second) return;  // by two ways: once is enough
    TomlNode root;
    try {
      root = read_toml(file);
    } catch (const ConfigError& problem) {
      for (auto found : problem.problems()) {
        if (!open_where_.empty()) found.hint += fmt::format(" (included at {})", open_where_);
        problems_.push_back(std::move(found));
      }
      return;
    }
    const fs::path here = file.parent_path();
    check_keys(root, {"include", "study", "axis", "grid", "table", "figure"});
    study_.included.push_back(file.string());
    const auto* about = root.find("study");
    if (about != nullptr && is(*about, Kind::table)) read_about(*about, here, around);
    if (const auto* list = root.find("include")) {
      for (const auto& name : texts_of(*list)) {
        const std::string before = open_where_;
        open_.push_back(whole);
        open_where_ = list->where;
        read_file(here / name, around);
        open_.pop_back();
        open_where_ = before;
      }
    }
    if (const auto* axes = root.find("axis"); axes != nullptr && is(*axes, Kind::table)) {
      for (const auto& [name, node] : axes->members) read_axis(name, node, here);
    }
    Names grids;
    each(root, "grid", [&](const TomlNode& node) {
      Grid grid = read_grid(node, here);
      grid.base = around.base;
      grid.settings.insert(grid.settings.begin(), around.settings.begin(), around.settings.end());
      if (grid.name.empty())
        grid.name = grids.empty() ? file.stem().string()
                                  : fmt::format("{} {}", file.stem().string(), grids.size() + 1);
      if (const auto* other = study_.find_grid(grid.name))
        add(fmt::format("a second grid \"{}\"", grid.name), grid.where,
            fmt::format("The first is at {}; give one of them another name.", other->where));
      grids.push_back(grid.name);
      study_.grids.push_back(std::move(grid));
    });
    each(root, "table", [&](const TomlNode& node) { read_table(node, here, grids); });
    each(root, "figure", [&](const TomlNode& node) { read_figure(node, here, grids); });
  }

  void read_about(const TomlNode& about, const fs::path& here, Surroundings& around) {
    check_keys(about, {"name", "output", "base", "set", "seeds", "ranks", "threads", "stop_after"});
    const auto is_new = [&](const char* key) {
      return about.find(key) != nullptr && said_.insert(key).second;
    };
    if (is_new("name")) {
      study_.name = text_of(about, "name");
      if (study_.name.empty() || study_.name.find('/') != std::string::npos)
        add(fmt::format("\"{}\" is no name for a folder", study_.name), about.find("name")->where,
            "Use letters, digits, - and _.");
    }
    if (is_new("output")) study_.output = text_of(about, "output");
    if (is_new("ranks")) study_.ranks = whole_number_of(about, "ranks", 1);
    if (is_new("threads")) study_.threads = whole_number_of(about, "threads", 1);
    if (is_new("stop_after")) study_.stop_after = whole_number_of(about, "stop_after", 1);
    if (is_new("seeds")) study_.seeds = seeds_in(*about.find("seeds"));
    if (const auto* base = about.find("base")) {
      around.base.clear();
      for (const auto& name : texts_of(*base)) around.base.push_back(existing(here / name, base->where));
    }
    if (const auto* set = about.find("set"); set != nullptr && is(*set, Kind::table))
      flatten(*set, "", around.settings);
  }

  void read_axis(const std::string& name, const TomlNode& node, const fs::path& here) {
    if (!is(node, Kind::table)) return;
    Axis axis{.name = name, .values = {}, .where = node.where};
    for (const auto& [label, value] : node.members) {
      AxisValue read{.name = label, .files = {}, .settings = {}, .where = value.where};
      if (!is(value, Kind::table)) continue;
      for (const auto& [key, inner] : value.members) {
        if (key == "config") {
          for (const auto& file : texts_of(inner)) read.files.push_back(existing(here / file, inner.where));
        } else {
          flatten_member(key, inner, "", read.settings);
        }
      }
      axis.values.push_back(std::move(read));
    }
    if (axis.values.empty()) add(fmt::format("axis \"{}\" has no values", name), node.where);
    if (const auto* other = study_.find_axis(name)) {
      add(fmt::format("a second axis \"{}\"", name), node.where,
          fmt::format("The first is at {}.", other->where));
      return;
    }
    study_.axes.push_back(std::move(axis));
  }

  // An axis of one grid alone: a key and its values.
  Axis read_vary(const std::string& key, const TomlNode& list) {
    Axis axis{.name = key, .values = {}, .where = list.where};
    if (!is(list, Kind::list)) return axis;
    if (list.elements.empty())
      add(fmt::format("{} varies over no value, so that the grid is empty", key), list.where,
          "Name at least one.");
    for (const auto& element : list.elements) {
      const std::string label = label_of(element);
      if (holds(names_of(axis.values), label))
        add(fmt::format("{} has the value {} twice", key, label), element.where);
      axis.values.push_back({label, {}, {Setting{key, element.as_toml(), element.where}}, element.where});
    }
    return axis;
  }

  Grid read_grid(const TomlNode& node, const fs::path&) {
    check_keys(node, {"name", "axes", "fix", "vary", "zip", "exclude", "seeds", "nested", "optional", "set"});
    Grid grid;
    grid.where = node.where;
    grid.name = text_of(node, "name");
    grid.optional = text_of(node, "optional");
    grid.nested = text_of(node, "nested");
    if (const auto* axes = node.find("axes")) grid.axes = texts_of(*axes);
    if (const auto* seeds = node.find("seeds")) grid.seeds = seeds_in(*seeds);
    if (const auto* set = node.find("set"); set != nullptr && is(*set, Kind::table))
      flatten(*set, "", grid.settings);
    if (const auto* fix = node.find("fix"); fix != nullptr && is(*fix, Kind::table)) {
      for (const auto& [axis, value] : fix->members) grid.fix[axis] = label_of(value);
    }
    if (const auto* vary = node.find("vary"); vary != nullptr && is(*vary, Kind::table)) {
      std::vector<std::pair<std::string, const TomlNode*>> lists;
      collect_lists(*vary, "", lists);
      for (const auto& [key, list] : lists) grid.vary.push_back(read_vary(key, *list));
    }
    if (const auto* zip = node.find("zip"); zip != nullptr && is(*zip, Kind::table)) {
      std::vector<std::pair<std::string, const TomlNode*>> lists;
      collect_lists(*zip, "", lists);
      Zip read;
      for (const auto& [key, list] : lists) read.axes.push_back(read_zipped(key, *list));
      for (const auto& axis : read.axes) {
        if (axis.values.size() != read.axes.front().values.size())
          add(fmt::format("the lists of a zip have different lengths: {} has {}, {} has {}",
                          read.axes.front().name, read.axes.front().values.size(), axis.name,
                          axis.values.size()),
              axis.where);
      }
      if (!read.axes.empty()) grid.zips.push_back(std::move(read));
    }
    if (const auto* excludes = node.find("exclude"); excludes != nullptr && is(*excludes, Kind::list)) {
      for (const auto& element : excludes->elements) {
        Grid::Exclude exclude{{}, element.where};
        if (!is(element, Kind::table)) continue;
        for (const auto& [axis, value] : element.members) exclude.labels[axis] = label_of(value);
        grid.excludes.push_back(std::move(exclude));
      }
    }
    return grid;
  }

  // In a zip a name may stand twice: another partner makes another point.
  Axis read_zipped(const std::string& key, const TomlNode& list) {
    Axis axis{.name = key, .values = {}, .where = list.where};
    if (!is(list, Kind::list)) return axis;
    for (const auto& element : list.elements)
      axis.values.push_back(
          {label_of(element), {}, {Setting{key, element.as_toml(), element.where}}, element.where});
    return axis;
  }

  void read_table(const TomlNode& node, const fs::path& here, const Names& grids) {
    check_keys(node, {"title", "grids", "rows", "columns", "value", "group", "baseline", "paper", "average",
                      "note"});
    TableLayout table;
    table.where = node.where;
    table.title = text_of(node, "title");
    if (table.title.empty()) add("a table needs a title", node.where, "Write title = \"Table 2\".");
    table.grids = node.find("grids") == nullptr ? grids : texts_of(*node.find("grids"));
    if (const auto* rows = node.find("rows")) table.rows = texts_of(*rows);
    if (const auto* columns = node.find("columns")) table.columns = texts_of(*columns);
    if (table.rows.empty()) add("a table needs rows", node.where, "Write rows = \"method\".");
    table.value = value_of(node);
    if (node.find("group") != nullptr) table.group = text_of(node, "group");
    table.baseline = text_of(node, "baseline");
    if (const auto* paper = node.find("paper"))
      table.paper = existing(here / text_of(node, "paper"), paper->where);
    if (const auto* average = node.find("average")) {
      if (is(*average, Kind::boolean)) table.average = average->text == "true";
    }
    table.note = text_of(node, "note");
    study_.tables.push_back(std::move(table));
  }

  void read_figure(const TomlNode& node, const fs::path& here, const Names& grids) {
    check_keys(node, {"title", "kind", "grids", "panels", "x", "series", "value", "group", "paper", "note"});
    FigureLayout figure;
    figure.where = node.where;
    figure.title = text_of(node, "title");
    if (figure.title.empty()) add("a figure needs a title", node.where, "Write title = \"Figure 8\".");
    const std::string kind = node.find("kind") == nullptr ? "lines" : text_of(node, "kind");
    if (kind == "bars")
      figure.kind = FigureLayout::Kind::bars;
    else if (kind == "curves")
      figure.kind = FigureLayout::Kind::curves;
    else if (kind != "lines")
      add(fmt::format("there is no kind of figure \"{}\"", kind), node.find("kind")->where,
          meant(kind, {"lines", "bars", "curves"}));
    figure.grids = node.find("grids") == nullptr ? grids : texts_of(*node.find("grids"));
    figure.panels = text_of(node, "panels");
    figure.x = text_of(node, "x");
    figure.series = text_of(node, "series");
    figure.value = value_of(node);
    if (node.find("group") != nullptr) figure.group = text_of(node, "group");
    if (const auto* paper = node.find("paper"))
      figure.paper = existing(here / text_of(node, "paper"), paper->where);
    figure.note = text_of(node, "note");
    study_.figures.push_back(std::move(figure));
  }

  // ---- what names mean

  Names labels_of(const Grid& grid) const {
    Names labels = grid.axes;
    for (const auto& [axis, value] : grid.fix) labels.push_back(axis);
    for (const auto& axis : grid.vary) labels.push_back(axis.name);
    for (const auto& zip : grid.zips) {
      for (const auto& axis : zip.axes) labels.push_back(axis.name);
    }
    return labels;
  }

  Names axis_names() const {
    Names names;
    for (const auto& axis : study_.axes) names.push_back(axis.name);
    return names;
  }

  Names grid_names() const {
    Names names;
    for (const auto& grid : study_.grids) names.push_back(grid.name);
    return names;
  }

  void check() {
    for (const auto& grid : study_.grids) check_grid(grid);
    for (const auto& table : study_.tables) {
      check_grids(table.grids, table.where);
      Names wanted = table.rows;
      for (const auto& column : table.columns) {
        if (column != "group") wanted.push_back(column);  // of test pictures: every run has all of them
      }
      check_labels(table.grids, wanted, table.where, "table");
      if (!table.baseline.empty() && !table.rows.empty()) check_baseline(table);
    }
    for (const auto& figure : study_.figures) {
      check_grids(figure.grids, figure.where);
      Names wanted;
      if (!figure.x.empty() && figure.x != "vary") wanted.push_back(figure.x);
      if (!figure.series.empty()) wanted.push_back(figure.series);
      if (!figure.panels.empty() && figure.panels != "grid") wanted.push_back(figure.panels);
      check_labels(figure.grids, wanted, figure.where, "figure");
    }
  }

  void check_grid(const Grid& grid) {
    std::set<std::string> seen;
    for (const auto& label : labels_of(grid)) {
      if (!seen.insert(label).second)
        add(fmt::format("\"{}\" stands twice in grid \"{}\"", label, grid.name), grid.where);
    }
    for (const auto& name : grid.axes) {
      if (study_.find_axis(name) == nullptr)
        add(fmt::format("unknown axis \"{}\"", name), grid.where, meant(name, axis_names()));
    }
    for (const auto& [name, value] : grid.fix) {
      const auto* axis = study_.find_axis(name);
      if (axis == nullptr)
        add(fmt::format("unknown axis \"{}\"", name), grid.where, meant(name, axis_names()));
      else if (!holds(names_of(axis->values), value))
        add(fmt::format("axis \"{}\" has no value \"{}\"", name, value), grid.where,
            meant(value, names_of(axis->values)));
    }
    for (const auto& exclude : grid.excludes) {
      for (const auto& [name, value] : exclude.labels) {
        if (!holds(labels_of(grid), name))
          add(fmt::format("grid \"{}\" has no axis \"{}\" to exclude by", grid.name, name), exclude.where,
              meant(name, labels_of(grid)));
      }
    }
    if (!grid.nested.empty() && std::none_of(grid.vary.begin(), grid.vary.end(),
                                             [&](const Axis& axis) { return axis.name == grid.nested; }))
      add(fmt::format("nested = \"{}\" is no key that this grid varies", grid.nested), grid.where);
    if (!grid.nested.empty() && grid.nested != "generate.copies")
      add(fmt::format("nested = \"{}\": only copies nest, the first ones of a larger store", grid.nested),
          grid.where, "Write nested = \"generate.copies\", or leave it out.");
  }

  void check_grids(const Names& grids, const std::string& where) {
    for (const auto& name : grids) {
      if (study_.find_grid(name) == nullptr)
        add(fmt::format("there is no grid \"{}\"", name), where, meant(name, grid_names()));
    }
  }

  void check_labels(const Names& grids, const Names& wanted, const std::string& where, const char* what) {
    for (const auto& label : wanted) {
      for (const auto& name : grids) {
        const auto* grid = study_.find_grid(name);
        if (grid == nullptr || holds(labels_of(*grid), label)) continue;
        add(fmt::format("the {} asks for \"{}\", which grid \"{}\" does not have", what, label, name), where,
            meant(label, labels_of(*grid)));
        break;
      }
    }
  }

  void check_baseline(const TableLayout& table) {
    const std::string& rows = table.rows.back();
    Names names;
    if (const auto* axis = study_.find_axis(rows)) names = names_of(axis->values);
    for (const auto& grid : study_.grids) {
      for (const auto& axis : grid.vary) {
        if (axis.name == rows)
          for (const auto& name : names_of(axis.values)) names.push_back(name);
      }
    }
    if (!names.empty() && !holds(names, table.baseline))
      add(fmt::format("baseline \"{}\" is no value of \"{}\"", table.baseline, rows), table.where,
          meant(table.baseline, names));
  }

  // ---- pieces of TOML

  bool is(const TomlNode& node, Kind kind) {
    if (node.kind == kind) return true;
    add(fmt::format("{} is wanted here, found {}", deda::name_of(kind), deda::name_of(node.kind)),
        node.where);
    return false;
  }

  void check_keys(const TomlNode& table, const Names& known) {
    for (const auto& [key, node] : table.members) {
      if (!holds(known, key)) add(fmt::format("unknown key \"{}\"", key), node.where, meant(key, known));
    }
  }

  void each(const TomlNode& root, const char* key, const std::function<void(const TomlNode&)>& use) {
    const auto* list = root.find(key);
    if (list == nullptr) return;
    if (list->kind != Kind::list) {
      add(fmt::format("[[{}]] is wanted, with two brackets", key), list->where);
      return;
    }
    for (const auto& element : list->elements) {
      if (is(element, Kind::table)) use(element);
    }
  }

  std::string text_of(const TomlNode& table, const char* key) {
    const auto* node = table.find(key);
    return node != nullptr && is(*node, Kind::text) ? node->text : std::string{};
  }

  Names texts_of(const TomlNode& node) {  // one text, or a list of them
    if (node.kind == Kind::text) return {node.text};
    Names texts;
    if (!is(node, Kind::list)) return texts;
    for (const auto& element : node.elements) {
      if (is(element, Kind::text)) texts.push_back(element.text);
    }
    return texts;
  }

  std::int64_t whole_number_of(const TomlNode& table, const char* key, std::int64_t least) {
    const auto* node = table.find(key);
    if (node == nullptr || !is(*node, Kind::integer)) return least;
    const std::int64_t value = std::stoll(node->text);
    if (value < least) add(fmt::format("{} = {} is less than {}", key, value, least), node->where);
    return std::max(value, least);
  }

  Value value_of(const TomlNode& table) {
    const auto* node = table.find("value");
    if (node == nullptr || !is(*node, Kind::text)) return Value::last;
    Names names;
    for (const auto& [name, value] : value_names) {
      if (node->text == name) return value;
      names.emplace_back(name);
    }
    add(fmt::format("there is no value \"{}\" of a run", node->text), node->where, meant(node->text, names));
    return Value::last;
  }

  std::vector<std::int64_t> seeds_in(const TomlNode& node) {
    std::string text = node.text;
    if (node.kind == Kind::list) {
      text.clear();
      for (const auto& element : node.elements) text += element.text + ' ';
    }
    try {
      return seeds_of(text, node.where);
    } catch (const ConfigError& error) {
      for (const auto& problem : error.problems()) problems_.push_back(problem);
      return {1};
    }
  }

  fs::path existing(const fs::path& file, const std::string& where) {
    std::error_code error;
    if (!fs::is_regular_file(file, error))
      add(fmt::format("there is no file {}", file.string()), where,
          "Paths are taken from the folder of the study file.");
    return file.lexically_normal();
  }

  // "augment.p_aug" = 0.5, and the same written as tables.
  void flatten(const TomlNode& table, const std::string& prefix, std::vector<Setting>& settings) {
    for (const auto& [key, node] : table.members) flatten_member(key, node, prefix, settings);
  }
  void flatten_member(const std::string& key, const TomlNode& node, const std::string& prefix,
                      std::vector<Setting>& settings) {
    const std::string whole = prefix.empty() ? key : prefix + '.' + key;
    if (node.kind == Kind::table)
      flatten(node, whole, settings);
    else if (whole.find('.') == std::string::npos)
      add(fmt::format("\"{}\" is no setting of the form section.key", whole), node.where,
          "As in \"train.epochs\" = 10; a file of settings is config = \"FILE\".");
    else
      settings.push_back({whole, node.as_toml(), node.where});
  }
  void collect_lists(const TomlNode& table, const std::string& prefix,
                     std::vector<std::pair<std::string, const TomlNode*>>& lists) {
    for (const auto& [key, node] : table.members) {
      const std::string whole = prefix.empty() ? key : prefix + '.' + key;
      if (node.kind == Kind::table)
        collect_lists(node, whole, lists);
      else
        lists.emplace_back(whole, &node);
    }
  }

  Study study_;
  std::vector<Problem> problems_;
  std::vector<fs::path> open_;  // files whose `include` is being read
  std::string open_where_;      // where the innermost of them includes
  std::set<fs::path> read_;
  std::set<std::string> said_;  // keys of [study] that an outer file has set
};

// "[1], [2]" and "0, 0.5": the values of --vary, separated by commas outside brackets and quotes.
Names vary_values(const std::string& text) {
  Names values;
  std::string value;
  int depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',' && depth == 0) {
      values.push_back(std::move(value));
      value.clear();
      continue;
    }
    value += c;
  }
  values.push_back(std::move(value));
  for (auto& each : values) {
    const auto first = each.find_first_not_of(' '), last = each.find_last_not_of(' ');
    each = first == std::string::npos ? std::string{} : each.substr(first, last - first + 1);
  }
  return values;
}

}  // namespace

std::string_view name_of(Value value) {
  for (const auto& [name, each] : value_names) {
    if (each == value) return name;
  }
  return "";
}

const Axis* Study::find_axis(const std::string& wanted) const {
  const auto found =
      std::find_if(axes.begin(), axes.end(), [&](const Axis& axis) { return axis.name == wanted; });
  return found == axes.end() ? nullptr : &*found;
}

const Grid* Study::find_grid(const std::string& wanted) const {
  const auto found =
      std::find_if(grids.begin(), grids.end(), [&](const Grid& grid) { return grid.name == wanted; });
  return found == grids.end() ? nullptr : &*found;
}

Study read_study(const fs::path& file) {
  return Reader{}.read(file);
}

Study study_of(const OneLine& line) {
  std::vector<Problem> problems;
  Study study;
  Grid grid;
  grid.name = "grid";
  grid.where = "command line";
  grid.base = line.configurations;
  for (const auto& file : line.configurations) {
    std::error_code error;
    if (!fs::is_regular_file(file, error))
      problems.push_back({"there is no such file", file.string(), "Check --config."});
  }
  for (const auto& setting : line.settings) {
    const auto equals = setting.find('=');
    if (equals == std::string::npos || setting.substr(0, equals).find('.') == std::string::npos)
      problems.push_back({fmt::format("\"{}\" is not of the form section.key=value", setting), "--set",
                          "Example: --set train.epochs=10"});
    else
      grid.settings.push_back({setting.substr(0, equals), setting.substr(equals + 1), "--set"});
  }
  for (const auto& vary : line.vary) {
    const auto equals = vary.find('=');
    const std::string key = vary.substr(0, equals);
    if (equals == std::string::npos || key.find('.') == std::string::npos) {
      problems.push_back({fmt::format("\"{}\" is not of the form section.key=value,value", vary), "--vary",
                          "Example: --vary augment.p_aug=0,0.25,0.5"});
      continue;
    }
    if (key == "run.seed") {
      problems.push_back({"seeds are not varied", "--vary", "Write --seeds 1-3."});
      continue;
    }
    Axis axis{.name = key, .values = {}, .where = "--vary " + key};
    for (const auto& value : vary_values(vary.substr(equals + 1))) {
      if (value.empty())
        problems.push_back({fmt::format("{} has an empty value", key), "--vary",
                            "Example: --vary augment.p_aug=0,0.25,0.5"});
      else if (holds(names_of(axis.values), value))
        problems.push_back({fmt::format("{} has the value {} twice", key, value), "--vary", {}});
      axis.values.push_back({value, {}, {Setting{key, value, axis.where}}, axis.where});
    }
    for (const auto& other : grid.vary) {
      if (other.name == key)
        problems.push_back({fmt::format("{} varies twice", key), "--vary", "Give all its values at once."});
    }
    grid.vary.push_back(std::move(axis));
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  study.name = line.name;
  if (study.name.empty()) {
    study.name = line.configurations.empty() ? "study" : line.configurations.back().stem().string();
    for (const auto& axis : grid.vary) study.name += '-' + axis.name.substr(axis.name.find('.') + 1);
  }
  // Rows: what varies first; columns: the second. One key is a line as well.
  TableLayout table;
  table.title = study.name;
  table.grids = {grid.name};
  table.where = "command line";
  if (!grid.vary.empty()) {
    table.rows = {grid.vary.front().name};
    for (std::size_t i = 1; i < grid.vary.size(); ++i) table.columns.push_back(grid.vary[i].name);
    FigureLayout figure;
    figure.title = study.name;
    figure.grids = table.grids;
    figure.x = grid.vary.front().name;
    if (grid.vary.size() > 1) figure.series = grid.vary[1].name;
    if (grid.vary.size() > 2) figure.panels = grid.vary[2].name;
    figure.where = "command line";
    study.figures.push_back(std::move(figure));
  }
  study.tables.push_back(std::move(table));
  study.grids.push_back(std::move(grid));
  return study;
}

std::vector<std::int64_t> seeds_of(const std::string& text, const std::string& where) {
  constexpr const char* hint = "Write 1-3, or 1,2,5.";
  constexpr std::int64_t most = 1000;
  std::string words = text;
  std::replace(words.begin(), words.end(), ',', ' ');
  std::vector<std::int64_t> seeds;
  std::vector<Problem> problems;
  const auto number = [&](std::string_view word) -> std::optional<std::int64_t> {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return value;
  };
  for (std::size_t at = words.find_first_not_of(' '); at != std::string::npos;
       at = words.find_first_not_of(' ', at)) {
    const auto end = std::min(words.find(' ', at), words.size());
    const std::string word = words.substr(at, end - at);
    at = end;
    const auto dash = word.find('-', 1);  // not a sign
    const auto first = number(std::string_view{word}.substr(0, dash));
    const auto last = dash == std::string::npos ? first : number(std::string_view{word}.substr(dash + 1));
    if (!first || !last || *last < *first || *last - *first >= most) {
      problems.push_back({fmt::format("\"{}\" is no seed and no range of seeds", word), where, hint});
      continue;
    }
    for (std::int64_t seed = *first; seed <= *last; ++seed) {
      if (std::find(seeds.begin(), seeds.end(), seed) != seeds.end())
        problems.push_back({fmt::format("seed {} stands twice", seed), where, hint});
      seeds.push_back(seed);
    }
  }
  if (seeds.empty() && problems.empty()) problems.push_back({"no seed is given", where, hint});
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return seeds;
}

}  // namespace deda::study

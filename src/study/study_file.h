// A study file: which runs make which tables and figures. Axes give names for people to settings; grids are
// products of axes; tables and figures say how their cells are laid out. (README.md here has the format.)
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace deda::study {

// Settings of one value of an axis, of a varied key, or of a whole study.
struct Setting {
  std::string key;    // "augment.p_aug"
  std::string toml;   // "0.5": as --set takes it
  std::string where;  // "FILE:LINE" of the study file, for messages; "--vary" from the command line
};

struct AxisValue {
  std::string name;                          // "De-DA"
  std::vector<std::filesystem::path> files;  // further configurations, later ones win
  std::vector<Setting> settings;             // win over all files
  std::string where;
};

struct Axis {
  std::string name;  // "method"
  std::vector<AxisValue> values;
  std::string where;
};

// Axes whose values go together place by place, as if they were one.
struct Zip {
  std::vector<Axis> axes;  // all of one length
};

using Labels = std::map<std::string, std::string>;  // axis or varied key -> the value's name

struct Grid {
  std::string name;                        // of `name`; else "grid 1"
  std::vector<std::string> axes;           // their product; the last one changes fastest
  std::map<std::string, std::string> fix;  // axis -> the one value taken
  std::vector<Axis> vary;                  // axes of this grid alone: a key and its values
  std::vector<Zip> zips;
  struct Exclude {
    Labels labels;  // points that have all of these are left out
    std::string where;
  };
  std::vector<Exclude> excludes;
  std::vector<std::int64_t> seeds;          // empty: the study's
  std::string nested;                       // a key of `vary`: all points read the store of the largest value
  std::string optional;                     // not empty: only with --with NAME, and this is why
  std::vector<std::filesystem::path> base;  // configurations under its axes
  std::vector<Setting> settings;            // over those, under the axes
  std::string where;
};

// Which number of a run stands in a cell.
enum class Value : std::uint8_t { last, best, mean_last_10, held_out };
std::string_view name_of(Value value);

struct TableLayout {
  std::string title;
  std::vector<std::string> grids;          // by name; empty: all
  std::vector<std::string> rows, columns;  // axes or varied keys; several are nested, the first outermost.
                                           // A column "group" is no axis: one for each group of test pictures
  Value value = Value::last;
  std::string group = "all";    // of test pictures
  std::string baseline;         // a value of the last row axis that differences are taken to; may be empty
  std::filesystem::path paper;  // CSV of the paper's numbers; empty: none
  bool average = false;         // a last column: the mean over all columns
  std::string note;             // a sentence below the table
  std::string where;
};

struct FigureLayout {
  std::string title;
  enum class Kind : std::uint8_t { lines, bars, curves } kind = Kind::lines;
  std::vector<std::string> grids;
  std::string panels;  // "grid", an axis or a varied key: a panel each; empty: one panel
  std::string x;       // an axis or a varied key; "vary": the varied key of the panel's grid
  std::string series;  // an axis: a line each; may be empty
  Value value = Value::last;
  std::string group = "all";
  std::filesystem::path paper;
  std::string note;
  std::string where;
};

struct Study {
  std::string name;
  std::filesystem::path file;    // empty: from the command line
  std::filesystem::path output;  // all studies of a group share it: equal stages are made once; empty:
                                 // run.output of the configurations
  std::vector<std::int64_t> seeds{1};
  std::int64_t ranks =
      1;  // per training: batch norm and sums see it, so it is the study's, not the machine's
  std::int64_t threads = 1;     // per rank on a CPU, for the same reason
  std::int64_t stop_after = 3;  // different items that fail with the same message end the study
  std::vector<Axis> axes;
  std::vector<Grid> grids;
  std::vector<TableLayout> tables;
  std::vector<FigureLayout> figures;
  std::vector<std::string> included;  // study files, for messages

  const Axis* find_axis(const std::string& name) const;
  const Grid* find_grid(const std::string& name) const;
};

// Reads a study file and what it includes: an included file may be a study of its own; its grids keep their
// base and settings, the outermost file that says a name, an output, seeds, ranks or threads wins. One
// ConfigError lists all that is wrong with it, with file and line. What a run's configuration holds is
// checked by plan_study (study_plan.h).
Study read_study(const std::filesystem::path& file);

// The one-line form: configurations, --set, and grids of --vary ("augment.p_aug=0,0.5,1"; several are one
// product). `name`: of the study's folder; empty: made of the configuration's name and what varies.
struct OneLine {
  std::vector<std::filesystem::path> configurations;
  std::vector<std::string> settings;  // "a.b=v"
  std::vector<std::string> vary;      // "a.b=v,v,v" or "a.b=[..],[..]"
  std::string name;
};
Study study_of(const OneLine& line);

// "1-3", "1,2,5", "1 2 3". ConfigError for anything else, and for a seed that stands there twice.
std::vector<std::int64_t> seeds_of(const std::string& text, const std::string& where);

}  // namespace deda::study

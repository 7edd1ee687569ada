#include "study/paper_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/config.h"
#include "core/error.h"
#include "io/formats/text_table.h"

namespace deda::study {
namespace {

using Names = std::vector<std::string>;

// A CSV file whose first row names its columns.
class NamedColumns {
 public:
  explicit NamedColumns(const std::filesystem::path& file) : table_{io::read_csv(file)} {}
  std::size_t rows() const { return table_.rows.empty() ? 0 : table_.rows.size() - 1; }
  const io::TextRow& row(std::size_t i) const { return table_.rows[i + 1]; }
  const Names& header() const {
    static const Names none;
    return table_.rows.empty() ? none : table_.rows.front().cells;
  }
  bool has(const std::string& column) const { return place_of(column) < header().size(); }
  bool is_whole(std::size_t i) const { return row(i).cells.size() == header().size(); }
  std::string cell(std::size_t i, const std::string& column) const {
    const std::size_t place = place_of(column);
    return place < row(i).cells.size() ? row(i).cells[place] : std::string{};
  }
  std::string where(std::size_t i) const { return table_.where(row(i)); }

 private:
  std::size_t place_of(const std::string& column) const {
    const Names& names = header();
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), column) - names.begin());
  }
  io::TextTable table_;
};

bool holds(const Names& names, const std::string& name) {
  return std::any_of(names.begin(), names.end(), [&](const auto& each) { return is_same_label(each, name); });
}

// The digits at the end of the file's name: "table2" -> "2".
std::string number_of_table(const std::filesystem::path& file) {
  const std::string stem = file.stem().string();
  const std::size_t last = stem.find_last_not_of("0123456789");
  return last == std::string::npos ? stem : stem.substr(last + 1);
}

class Reader {
 public:
  Reader(const std::filesystem::path& file, const KnownLabels& known) : known_{known} { result_.file = file; }

  PaperNumbers read(const Names& wanted) {
    try {
      read_numbers(wanted);
      read_averages();
    } catch (const Error& error) {
      for (const Problem& problem : error.problems()) result_.problems.push_back(to_string(problem));
    }
    return std::move(result_);
  }

 private:
  void add(const std::string& where, const std::string& what) {
    result_.problems.push_back(fmt::format("{}: {}", where, what));
  }

  void read_numbers(const Names& wanted) {
    const NamedColumns table{result_.file};
    bool is_complete = true;
    const auto require = [&](const std::string& column) {
      if (table.has(column)) return;
      is_complete = false;
      const std::string nearest = nearest_name(column, table.header());
      add(fmt::format("{}:1", result_.file.string()),
          fmt::format("has no column \"{}\"{}", column,
                      nearest.empty() ? "" : fmt::format("; it has \"{}\"", nearest)));
    };
    for (const std::string& axis : wanted) require(axis);
    require("accuracy");
    if (!is_complete) return;
    by_pictures_ = table.has(group_label);
    for (std::size_t i = 0; i < table.rows(); ++i) read_number(table, i);
    tell_unknown_labels();
    drop_ambiguous();
  }

  void read_number(const NamedColumns& table, std::size_t i) {
    if (!table.is_whole(i)) return add(table.where(i), "has another number of cells than the header");
    PaperNumber number;
    number.line = table.row(i).line;
    const auto percent = io::to_number(table.cell(i, "accuracy"));
    if (!percent || !std::isfinite(*percent) || *percent < 0 || *percent > 100)
      return add(table.where(i), fmt::format("\"{}\" is no accuracy in percent", table.cell(i, "accuracy")));
    number.percent = *percent;
    const std::string images = table.cell(i, table.has("group_images") ? "group_images" : "test_images");
    const auto count = io::to_integer(images);
    if (!images.empty() && (!count || *count < 1))
      add(table.where(i), fmt::format("\"{}\" is no number of test pictures", images));
    number.images = std::max<std::int64_t>(count.value_or(0), 0);
    number.is_share = table.cell(i, "is_k_over_n") != "no";
    bool is_known = true;
    for (const auto& [axis, values] : known_) {
      if (!table.has(axis)) continue;
      const std::string label = table.cell(i, axis);
      number.labels[axis] = label;
      if (values.empty() || holds(values, label)) continue;
      is_known = false;
      unknown_[axis][label].push_back(number.line);
    }
    cells_of_[table.cell(i, "method")].push_back(number);
    if (is_known) result_.numbers.push_back(std::move(number));
  }

  // In one sentence for an axis: a study may leave methods out. A name is only suggested where the file does
  // not have it itself.
  void tell_unknown_labels() {
    for (const auto& [axis, labels] : unknown_) {
      std::vector<std::pair<int, std::string>> found;  // by first line
      for (const auto& [label, lines] : labels) {
        const std::string nearest = nearest_name(label, known_.at(axis));
        const bool is_own =
            std::any_of(result_.numbers.begin(), result_.numbers.end(),
                        [&](const auto& number) { return is_same_label(number.labels.at(axis), nearest); });
        found.emplace_back(
            lines.front(),
            fmt::format("\"{}\"{}{}", label, lines.size() > 1 ? fmt::format(" ({} lines)", lines.size()) : "",
                        nearest.empty() || is_own ? "" : fmt::format(" (did you mean \"{}\"?)", nearest)));
      }
      std::sort(found.begin(), found.end());
      Names names;
      for (const auto& [line, name] : found) names.push_back(name);
      add(fmt::format("{}:{}", result_.file.string(), found.front().first),
          fmt::format("no value{} of \"{}\" in this study: {}", names.size() == 1 ? "" : "s", axis,
                      fmt::join(names, ", ")));
    }
  }

  // Two numbers for the same labels: neither is taken.
  void drop_ambiguous() {
    std::map<Labels, std::vector<int>> lines;
    for (const PaperNumber& number : result_.numbers) lines[number.labels].push_back(number.line);
    for (const PaperNumber& number : result_.numbers) {
      const auto& same = lines[number.labels];
      if (same.size() > 1 && same.front() == number.line)
        add(fmt::format("{}:{}", result_.file.string(), number.line),
            fmt::format("line{} {} {} the same labels; none is taken", same.size() > 2 ? "s" : "",
                        fmt::join(same.begin() + 1, same.end(), ", "), same.size() > 2 ? "have" : "has"));
    }
    std::erase_if(result_.numbers,
                  [&](const PaperNumber& number) { return lines[number.labels].size() > 1; });
  }

  void read_averages() {
    const std::filesystem::path file = result_.file.parent_path() / "averages.csv";
    std::error_code error;
    if (!std::filesystem::is_regular_file(file, error)) return;
    const NamedColumns table{file};
    const std::string ours = number_of_table(result_.file);
    for (std::size_t i = 0; i < table.rows(); ++i) {
      if (table.cell(i, "table") != ours) continue;
      const std::string row = table.cell(i, "method");
      const auto printed = io::to_number(table.cell(i, "printed_average"));
      const auto cells = cells_of_.find(row);
      if (!printed) {
        add(table.where(i), fmt::format("\"{}\" is no average", table.cell(i, "printed_average")));
      } else if (cells == cells_of_.end()) {
        add(table.where(i), fmt::format("{} has no cells for \"{}\"", result_.file.string(), row));
      } else if (const double recomputed = average_of(cells->second);
                 std::abs(*printed - recomputed) > rounding_of_averages) {
        result_.misprints.push_back({row, *printed, recomputed});
      }
    }
  }

  // Groups of one test set weigh as many pictures as they have; datasets weigh the same.
  double average_of(const std::vector<PaperNumber>& cells) const {
    double sum = 0, weights = 0;
    for (const PaperNumber& cell : cells) {
      const double weight = by_pictures_ ? static_cast<double>(cell.images) : 1.0;
      sum += weight * cell.percent;
      weights += weight;
    }
    return sum / weights;
  }

  const KnownLabels& known_;
  PaperNumbers result_;
  bool by_pictures_ = false;
  std::map<std::string, std::vector<PaperNumber>> cells_of_;                // by method
  std::map<std::string, std::map<std::string, std::vector<int>>> unknown_;  // axis -> label -> lines
};

bool fits(const PaperNumber& number, const Labels& labels) {
  return std::all_of(number.labels.begin(), number.labels.end(), [&](const auto& label) {
    const auto found = labels.find(label.first);
    return found == labels.end() || is_same_label(found->second, label.second);
  });
}

}  // namespace

bool is_same_label(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const auto first = io::to_number(a), second = io::to_number(b);
  return first && second && *first == *second;
}

const PaperNumber* PaperNumbers::find(const Labels& labels, std::string* problem) const {
  const PaperNumber* found = nullptr;
  for (const PaperNumber& number : numbers) {
    if (!fits(number, labels)) continue;
    if (found != nullptr) {
      if (problem != nullptr)
        *problem = fmt::format("{}: lines {} and {} both fit one cell; none is taken", file.string(),
                               found->line, number.line);
      return nullptr;
    }
    found = &number;
  }
  return found;
}

PaperNumbers read_paper_numbers(const std::filesystem::path& file, const KnownLabels& known,
                                const std::vector<std::string>& wanted) {
  return Reader{file, known}.read(wanted);
}

}  // namespace deda::study

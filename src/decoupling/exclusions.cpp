#include "decoupling/exclusions.h"

#include <fmt/format.h>

#include <sstream>
#include <unordered_set>

#include "core/config.h"
#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"

namespace deda::decoupling {

namespace {

constexpr std::size_t most_listed = 20, most_shown = 200;  // problems; characters of a line

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

std::set<std::string> read_exclusions(const std::filesystem::path& file, const data::Dataset& dataset) {
  std::set<std::string> excluded;
  if (file.empty()) return excluded;
  if (!std::filesystem::is_regular_file(file))
    throw ConfigError("there is no such file of excluded pictures: " + file.string(), "decouple.exclude",
                      "`deda decouple --review PAGE` writes one, or leave the key empty.");
  std::unordered_set<std::string> known;
  for (const data::Item& item : dataset.items) known.insert(item.path);
  std::vector<Problem> problems;
  std::istringstream lines(read_text(file));
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::string path = trimmed(line.substr(0, line.find('#')));
    if (path.empty()) continue;
    if (!is_utf8(path)) path = escaped_name(path);  // typed as the file is called, not as results write it
    if (known.count(path) != 0) {
      excluded.insert(path);
    } else if (problems.size() < most_listed) {
      problems.push_back({fmt::format("\"{}\" is no picture of {}", path.substr(0, most_shown), dataset.name),
                          fmt::format("{}:{}", file.string(), number),
                          "Paths are relative to the dataset's folder."});
    }
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  return excluded;
}

}  // namespace deda::decoupling

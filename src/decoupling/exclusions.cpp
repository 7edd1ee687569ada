#include "decoupling/exclusions.h"

#include <fmt/format.h>

#include <sstream>
#include <unordered_set>

#include "core/config.h"
#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "io/formats/text_encoding.h"

namespace deda::decoupling {

namespace {

constexpr std::size_t most_listed = 20, most_shown = 200;  // problems; characters of a line

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

using Known = std::unordered_set<std::string>;

bool is_comment(const std::string& text, std::size_t at) {
  const auto next = text.find_first_not_of(" \t", at);
  return next == std::string::npos || text[next] == '#';
}

// The picture that a line names: the whole line, a quoted path, or what stands before a '#' (the last that
// leaves the name of a picture, since names may hold one). Where none is a picture, the most likely text.
std::string named_in(const std::string& line, const Known& known) {
  if (known.count(line) != 0) return line;
  std::size_t end = 0;
  if (const auto path = read_double_quoted(line, end); path && is_comment(line, end))
    return known.count(*path) != 0 ? *path : escaped_name(*path);  // written as results write it, or as bytes
  for (std::size_t at = line.rfind('#'); at != std::string::npos && at > 0; at = line.rfind('#', at - 1)) {
    if (const std::string path = trimmed(line.substr(0, at)); known.count(path) != 0) return path;
  }
  const std::string text = trimmed(line.substr(0, line.find('#')));
  return is_utf8(text) ? text : escaped_name(text);  // typed as the file is called
}

}  // namespace

std::string exclusion_entry(const std::string& path) {
  const std::string as_quoted = double_quoted(path);
  const bool plain = as_quoted == '"' + path + '"' && path.find('#') == std::string::npos &&
                     trimmed(path) == path && !path.empty();
  return plain ? path : as_quoted;
}

std::set<std::string> read_exclusions(const std::filesystem::path& file, const data::Dataset& dataset) {
  std::set<std::string> excluded;
  if (file.empty()) return excluded;
  if (!std::filesystem::is_regular_file(file))
    throw ConfigError("there is no such file of excluded pictures: " + file.string(), "decouple.exclude",
                      "`deda decouple --review PAGE` writes one, or leave the key empty.");
  Known known;
  for (const data::Item& item : dataset.items) known.insert(item.path);
  std::vector<Problem> problems;
  std::istringstream lines(io::plain_text(read_text(file), file.string()));
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string text = trimmed(line);
    if (text.empty() || text[0] == '#') continue;
    const std::string path = named_in(text, known);
    if (known.count(path) != 0) {
      excluded.insert(path);
    } else if (problems.size() < most_listed) {
      problems.push_back(
          {fmt::format("\"{}\" is no picture of {}", readable_line(path.substr(0, most_shown)), dataset.name),
           fmt::format("{}:{}", file.string(), number),
           "Paths are relative to the dataset's folder; names with #, quotes or blanks at their ends "
           "stand in double quotes, as --review writes them."});
    }
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  return excluded;
}

}  // namespace deda::decoupling

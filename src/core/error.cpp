#include "core/error.h"

#include "core/escaped_name.h"

namespace deda {

std::string to_string(const Problem& problem) {
  std::string text;
  if (!problem.where.empty()) text += problem.where + ": ";
  text += problem.what;
  if (!problem.hint.empty()) {
    if (!text.empty() && text.back() != '.') text += '.';
    text += ' ' + problem.hint;
  }
  return text;
}

namespace {
std::string join(const std::vector<Problem>& problems) {
  std::string text;
  for (const Problem& problem : problems) {
    if (!text.empty()) text += '\n';
    text += to_string(problem);
  }
  return text;
}

// Messages travel as JSON, too (results, events, stores).
std::vector<Problem> readable_problems(std::vector<Problem> problems) {
  for (Problem& problem : problems) {
    problem = {readable(problem.what), readable(problem.where), readable(problem.hint)};
  }
  return problems;
}
}  // namespace

Error::Error(ExitCode code, std::vector<Problem> problems)
    : std::runtime_error(readable(join(problems))),
      code_{code},
      problems_{readable_problems(std::move(problems))} {}

Error::Error(ExitCode code, std::string what, std::string where, std::string hint)
    : Error(code, std::vector<Problem>{{std::move(what), std::move(where), std::move(hint)}}) {}

}  // namespace deda

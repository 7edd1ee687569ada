#include "jobs/method_list.h"

#include <algorithm>
#include <sstream>

namespace deda::jobs {

std::vector<std::string> words_of(std::string text) {
  std::replace(text.begin(), text.end(), ',', ' ');
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> settings_of_method(const std::string& method) {
  if (method == "deda-real") return {"augment.method=deda", "augment.p_syn=0"};
  return {"augment.method=" + method};
}

JobContext with_settings(const JobContext& context, const std::vector<std::string>& settings) {
  JobContext other = context;
  other.sources.overrides.insert(other.sources.overrides.end(), settings.begin(), settings.end());
  other.config = {};
  read_config(other.config, other.sources);
  if (context.output) other.config.run.output = *context.output;
  return other;
}

}  // namespace deda::jobs

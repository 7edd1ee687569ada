// Lists of methods on the command line: each is the configuration with further settings.
#pragma once

#include <string>
#include <vector>

#include "jobs/job.h"

namespace deda::jobs {

// Separated by blanks or commas.
std::vector<std::string> words_of(std::string text);

// What a method of the list means as settings. "deda-real": De-DA without synthetic CDPs.
std::vector<std::string> settings_of_method(const std::string& method);

// The same command line with further settings behind its own. ConfigError as for those.
JobContext with_settings(const JobContext& context, const std::vector<std::string>& settings);

}  // namespace deda::jobs

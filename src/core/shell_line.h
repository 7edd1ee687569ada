// A command as a person could paste it into a shell.
#pragma once

#include <string>
#include <vector>

namespace deda {

// Arguments in one line that bash reads back as they are; UTF-8, without control characters.
std::string shell_line(const std::vector<std::string>& arguments);

}  // namespace deda

#include "core/processor.h"

#include <fstream>
#include <map>
#include <sstream>

namespace deda {

namespace {

// The lines "key : value" of the first processor.
std::map<std::string, std::string> first_processor(const std::string& cpuinfo) {
  std::map<std::string, std::string> values;
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() && !values.empty()) break;
    const auto colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const auto end = line.find_last_not_of(" \t", colon - 1);
    values[line.substr(0, end + 1)] = line.substr(colon + 2);
  }
  return values;
}

bool has_flag(const std::string& flags, const std::string& flag) {
  return (" " + flags + " ").find(" " + flag + " ") != std::string::npos;
}

}  // namespace

std::string processor_name_in(const std::string& cpuinfo) {
  const auto values = first_processor(cpuinfo);
  const auto value = [&](const char* key) {
    const auto found = values.find(key);
    return found == values.end() ? std::string{} : found->second;
  };
  std::string name = value("model name"), details;
  const auto add = [&](const std::string& detail) { details += (details.empty() ? "" : ", ") + detail; };
  if (!value("cpu family").empty()) add("family " + value("cpu family"));
  if (!value("model").empty()) add("model " + value("model"));
  if (!value("CPU part").empty()) {  // ARM names no model
    if (name.empty()) name = "ARM processor";
    add("implementer " + value("CPU implementer"));
    add("part " + value("CPU part"));
  }
  if (name.empty()) name = value("cpu");  // POWER
  if (name.empty()) return "unknown processor";
  const std::string flags = value("flags");
  if (!flags.empty())
    add(has_flag(flags, "avx512f") ? "AVX-512" : has_flag(flags, "avx2") ? "AVX2" : "no AVX2");
  if (has_flag(flags, "amx_tile")) add("AMX");
  return details.empty() ? name : name + " (" + details + ")";
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::ostringstream text;
  text << file.rdbuf();
  return processor_name_in(text.str());
}

}  // namespace deda

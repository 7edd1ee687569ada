#include "study/driver_identity.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "core/error.h"
#include "core/files.h"

namespace deda::study {
namespace {

std::string host_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) return "unknown";
  return host.data();
}

// Field 22 of /proc/PID/stat; nothing where there is no such process, or only what its parent has not fetched
// yet. The second field is a name in brackets that may hold anything.
std::optional<std::uint64_t> start_of(std::int64_t process) {
  try {
    const std::string text = read_text(fmt::format("/proc/{}/stat", process));
    const auto end_of_name = text.rfind(')');
    if (end_of_name == std::string::npos) return std::nullopt;
    std::istringstream fields(text.substr(end_of_name + 1));
    constexpr int fields_before = 19;  // after the name, the start is the twentieth
    std::string field, state;
    fields >> state;
    if (state == "Z" || state == "X") return std::nullopt;
    for (int i = 1; i < fields_before; ++i) fields >> field;
    std::uint64_t start = 0;
    if (fields >> start) return start;
  } catch (const Error&) {  // it has just ended
  }
  return std::nullopt;
}

std::string user_name() {
  const auto* entry = ::getpwuid(::getuid());
  return entry == nullptr ? std::to_string(::getuid()) : std::string{entry->pw_name};
}

}  // namespace

DriverIdentity this_driver() {
  DriverIdentity driver;
  driver.host = host_name();
  driver.process = ::getpid();
  driver.process_start = start_of(driver.process).value_or(0);
  driver.user = user_name();
  if (const char* job = std::getenv("SLURM_JOB_ID")) driver.job = job;
  driver.id = fmt::format("{}-{}-{}", driver.host, driver.process, driver.process_start);
  return driver;
}

std::string to_json(const DriverIdentity& driver) {
  return nlohmann::ordered_json{{"id", driver.id},           {"host", driver.host},
                                {"process", driver.process}, {"process_start", driver.process_start},
                                {"user", driver.user},       {"job", driver.job},
                                {"slots", driver.slots}}
      .dump();
}

DriverIdentity driver_identity_from(const std::string& text, const std::string& where) {
  try {
    const auto json = nlohmann::json::parse(text);
    return {json.at("id").get<std::string>(),       json.at("host").get<std::string>(),
            json.at("process").get<std::int64_t>(), json.at("process_start").get<std::uint64_t>(),
            json.at("user").get<std::string>(),     json.at("job").get<std::string>(),
            json.value("slots", std::int64_t{0})};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("does not say who made it: {}", error.what()), where);
  }
}

bool has_ended_here(const DriverIdentity& driver) {
  if (driver.host != host_name()) return false;
  const auto start = start_of(driver.process);
  return !start || *start != driver.process_start;
}

}  // namespace deda::study

#include "study/claims.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;

double steady_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Claims::Claims(fs::path output, const DriverIdentity& driver, std::string study)
    : folder_{std::move(output) / "claims"}, driver_{driver}, study_{std::move(study)} {
  make_folder(folder_);
}

Claims::Claims(fs::path output) : folder_{std::move(output) / "claims"} {}

fs::path Claims::path_of(const std::string& item, std::int64_t number) const {
  return folder_ / fmt::format("{}.{}", item, number);
}

bool Claims::take(const std::string& item, std::int64_t number) {
  const auto path = path_of(item, number);
  const auto mine = folder_ / fmt::format(".{}.{}.{}", driver_.id, item, number);
  const nlohmann::ordered_json claim = {{"item", item},
                                        {"attempt", number},
                                        {"study", study_},
                                        {"driver", nlohmann::ordered_json::parse(to_json(driver_))}};
  write_atomically(mine, claim.dump() + '\n');
  const int result = ::link(mine.c_str(), path.c_str());
  const int error = errno;
  // Over NFS an answer may be lost although the link was made: the file knows (open(2)).
  struct stat status {};
  const bool linked = ::stat(mine.c_str(), &status) == 0 && status.st_nlink == 2;
  ::unlink(mine.c_str());
  if (result == 0 || linked) {
    latest_[item] = std::max(latest_[item], number);
    return true;
  }
  if (error != EEXIST)
    throw IoError(fmt::format("cannot claim an item: {}", std::generic_category().message(error)),
                  path.string(), "Studies need a file system with hard links and write permission.");
  latest_[item] = std::max(latest_[item], number);
  return false;
}

void Claims::refresh() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    const auto dot = name.rfind('.');
    if (name.front() == '.' || dot == std::string::npos) continue;
    std::int64_t number = 0;
    const auto [end, failure] = std::from_chars(name.data() + dot + 1, name.data() + name.size(), number);
    if (failure != std::errc{} || end != name.data() + name.size()) continue;
    auto& latest = latest_[name.substr(0, dot)];
    latest = std::max(latest, number);
  }
}

std::int64_t Claims::latest(const std::string& item) const {
  const auto found = latest_.find(item);
  return found == latest_.end() ? 0 : found->second;
}

std::optional<Claim> Claims::read(const std::string& item, std::int64_t number) {
  const auto key = std::pair{item, number};
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  const auto path = path_of(item, number);
  try {
    const auto json = nlohmann::json::parse(read_text(path));
    Claim claim{item, number, json.at("study").get<std::string>(),
                driver_identity_from(json.at("driver").dump(), path.string())};
    return known_[key] = std::move(claim);
  } catch (const Error&) {
    return std::nullopt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

Heartbeat::Heartbeat(const fs::path& study_folder, const DriverIdentity& driver)
    : file_{study_folder / "drivers" / (driver.id + ".json")}, driver_{driver} {
  make_folder(file_.parent_path());
  write(false);
  last_ = steady_s();
}

bool Heartbeat::beat() {
  const double now = steady_s();
  if (now - last_ < beat_every_s) return false;
  const bool slept = now - last_ > lease_s;
  write(false);
  last_ = now;
  return slept;
}

void Heartbeat::end() {
  write(true);
}

void Heartbeat::write(bool ended) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(to_json(driver_));
  json["counter"] = ++counter_;
  json["ended"] = ended;
  write_atomically(file_, json.dump() + '\n');
}

DriverWatch::DriverWatch(fs::path output, double lease) : output_{std::move(output)}, lease_{lease} {}

bool DriverWatch::is_dead(const std::string& study, const DriverIdentity& driver) {
  if (has_ended_here(driver)) return true;
  Seen& seen = seen_[driver.id];
  if (seen.ended) return true;
  const double now = steady_s();
  constexpr double look_every_s = 1;
  if (seen.counter < 0 || now - seen.looked >= look_every_s) {
    std::int64_t counter = 0;
    try {
      const auto json = nlohmann::json::parse(
          read_text(output_ / ("study-" + study) / "drivers" / (driver.id + ".json")), nullptr, false);
      if (json.is_object()) {
        counter = json.value("counter", std::int64_t{0});
        seen.ended = json.value("ended", false);
      }
    } catch (const Error&) {  // not written yet, or not readable: stands still
    }
    if (counter != seen.counter) {
      seen.counter = counter;
      seen.since = now;
    }
    seen.looked = now;
  }
  return seen.ended || now - seen.since > lease_;
}

}  // namespace deda::study

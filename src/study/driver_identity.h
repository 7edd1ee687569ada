// Who drives a study: a process on a host, told apart from a later one with the same number.
#pragma once

#include <cstdint>
#include <string>

namespace deda::study {

struct DriverIdentity {
  std::string id;  // "node7-1234-88231": unique among hosts that share an output folder; a file's name
  std::string host;
  std::int64_t process = 0;
  std::uint64_t process_start = 0;  // clock ticks since the host's start, of /proc/PID/stat
  std::string user;
  std::string job;         // the batch system's; empty: none
  std::int64_t slots = 0;  // how many items it runs at once; 0: not told
};

DriverIdentity this_driver();
// One JSON object, and back; DataError naming `where`.
std::string to_json(const DriverIdentity& driver);
DriverIdentity driver_identity_from(const std::string& json, const std::string& where);

// Whether it is known, without asking anybody, that the driver's process is gone: it was on this host and no
// process of its number began when it did. False where that cannot be known.
bool has_ended_here(const DriverIdentity& driver);

}  // namespace deda::study

// Who may start an item: the one whose link(2) makes OUTPUT/claims/ITEM.N. Claims are never removed or
// renamed, so nobody takes a live one for a dead one; attempt N + 1 may be claimed when attempt N has ended
// or its driver is dead. Works on every file system that has hard links, without locks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "study/driver_identity.h"

namespace deda::study {

struct Claim {
  std::string item;
  std::int64_t number = 0;
  std::string study;
  DriverIdentity driver;
};

class Claims {
 public:
  // Makes the folder; IoError with a hint where it cannot be written.
  Claims(std::filesystem::path output, const DriverIdentity& driver, std::string study);
  // For those that only look: no folder is made.
  explicit Claims(std::filesystem::path output);

  // True for exactly one caller on all hosts.
  bool take(const std::string& item, std::int64_t number);
  // Looks at the folder; latest() is as of then.
  void refresh();
  std::int64_t latest(const std::string& item) const;  // 0: never claimed
  // Nothing where the claim cannot be read.
  std::optional<Claim> read(const std::string& item, std::int64_t number);

 private:
  std::filesystem::path path_of(const std::string& item, std::int64_t number) const;
  std::filesystem::path folder_;
  DriverIdentity driver_;
  std::string study_;
  std::map<std::string, std::int64_t> latest_;
  std::map<std::pair<std::string, std::int64_t>, Claim> known_;
};

// Heartbeats: OUTPUT/study-NAME/drivers/ID.json, rewritten with a counter.
class Heartbeat {
 public:
  Heartbeat(const std::filesystem::path& study_folder, const DriverIdentity& driver);
  // Writes when it is time. True where this process slept longer than its lease: what it claimed may be
  // another's by now.
  bool beat();
  void end();  // an orderly end: at once dead for the others

 private:
  void write(bool ended);
  std::filesystem::path file_;
  DriverIdentity driver_;
  std::int64_t counter_ = 0;
  double last_ = 0;
};

inline constexpr double beat_every_s = 30;
inline constexpr double lease_s = 300;  // a counter that stands still for so long belongs to a dead driver

// Which drivers live, by the reader's own clock: no clocks are compared.
class DriverWatch {
 public:
  explicit DriverWatch(std::filesystem::path output, double lease = lease_s);
  // A driver that was never seen to stand still for the lease counts as alive.
  bool is_dead(const std::string& study, const DriverIdentity& driver);

 private:
  std::filesystem::path output_;
  double lease_;
  struct Seen {
    std::int64_t counter = -1;
    double since = 0;
    double looked = 0;
    bool ended = false;
  };
  std::map<std::string, Seen> seen_;
};

}  // namespace deda::study

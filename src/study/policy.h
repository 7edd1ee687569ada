// What becomes of an item after what has happened to it. Pure: from its attempts alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "study/ledger.h"

namespace deda::study {

// An attempt and whether its driver is still there.
struct KnownAttempt {
  Attempt attempt;
  bool driver_is_dead = false;
};

struct Verdict {
  enum class Kind : std::uint8_t {
    free,     // may be started now
    running,  // somebody works on it
    waiting,  // may be started at `not_before`
    failed,   // not again without --retry-failed; `message` says why
  } kind = Kind::free;
  double not_before = 0;  // seconds since 1970
  std::string message;
};

inline constexpr std::int64_t most_tries = 3;           // of what fails or is lost by itself
inline constexpr std::int64_t most_unasked_stops = 20;  // in a row, without any progress
inline constexpr double longest_wait_s = 15;            // for a folder that another run holds

// `attempts` in their order, those that are forgiven left out.
Verdict judge(const std::vector<KnownAttempt>& attempts);

// How a run that has ended is to be booked. `done`: its own result says so; `asked`: this driver asked it to
// stop; `failure`: what its result names as a failure (a loss that is no number), else empty; `first_error`:
// from its log.
struct EndFacts {
  int exit_code = 0, signal = 0;
  bool done = false, asked = false;
  std::string failure = {}, first_error = {};
};
void book(Attempt& attempt, const EndFacts& facts);

// The first error in a log from `offset` bytes on: what stands behind "deda: error:", or the first of several
// problems; else the last line that is not empty; at most 300 characters.
std::string first_error_in(const std::string& log_text);

}  // namespace deda::study

// Tells slow ranks from dead ones: what rank 0 knows of all ranks, and whether a rank that waits should go on
// waiting. Internal to src/comm; no MPI here, so that its test needs none.
#pragma once

#include <string>
#include <vector>

#include "comm/activity.h"

namespace deda::comm {

// A rank is at work when it uses this share of a core, however slow it is.
inline constexpr double least_share_of_a_core = 0.005;

struct RankState {
  std::string host;
  double silent_s = 0;  // since it was last heard; ended: since its goodbye
  bool ended = false;   // it said goodbye at the end of its work
  Activity activity{};  // when it was last heard
};

enum class Hope : int {
  reasonable,  // somebody works, or it is too early to say
  silent,      // a rank is not heard
  stuck,       // a rank neither works nor waits
  deadlock     // all wait, and nobody does anything
};

struct Judgement {
  Hope hope = Hope::reasonable;
  int rank = -1;     // silent, stuck: which
  std::string text;  // for people: which rank on which host, what is wrong with it
};

// `limit_s`: for how long a rank may be silent or quiet.
Judgement judge(const std::vector<RankState>& ranks, double limit_s);

// "rank 0 waits in barrier (end of the epoch) for 62 s; ranks 1, 2 work". Ranks in the same state stand
// together.
std::string describe(const std::vector<RankState>& ranks);

}  // namespace deda::comm

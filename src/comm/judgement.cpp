#include "comm/judgement.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace deda::comm {

namespace {

// A rank that did nothing for less is not worth a word: threads wait for each other all the time.
constexpr double noteworthy_quiet_s = 10.0;
constexpr std::size_t most_listed_ranks = 8;
constexpr std::size_t most_listed_states = 6;

std::string name(const std::vector<RankState>& ranks, std::size_t rank) {
  return fmt::format("rank {} on host {}", rank, ranks[rank].host);
}

// Ranks from one on in the same state, as one line.
struct Group {
  std::string state;
  std::vector<std::size_t> ranks;
  double longest_s = 0;  // it waits for; 0: it does not wait
};

std::string state_of(const RankState& rank) {
  if (rank.ended) return "at the end of the work";
  if (rank.silent_s > noteworthy_quiet_s) return fmt::format("not heard for {:.0f} s", rank.silent_s);
  if (rank.activity.waits) return "in " + rank.activity.operation;
  if (rank.activity.quiet_s > noteworthy_quiet_s)
    return fmt::format("has done nothing for {:.0f} s", rank.activity.quiet_s);
  return "at work";
}

std::string describe(const Group& group) {
  std::string which;
  for (std::size_t i = 0; i < std::min(most_listed_ranks, group.ranks.size()); ++i)
    which += (i > 0 ? ", " : "") + std::to_string(group.ranks[i]);
  if (group.ranks.size() > most_listed_ranks)
    which += fmt::format(" and {} more", group.ranks.size() - most_listed_ranks);
  std::string text = fmt::format("rank{} {}: {}", group.ranks.size() > 1 ? "s" : "", which, group.state);
  if (group.longest_s > 0) text += fmt::format(" for {:.0f} s", group.longest_s);
  return text;
}

}  // namespace

Judgement judge(const std::vector<RankState>& ranks, double limit_s) {
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankState& state = ranks[rank];
    if (state.ended || state.silent_s <= limit_s) continue;
    return {Hope::silent, static_cast<int>(rank),
            fmt::format(
                "{} was not heard for {:.0f} s: it was stopped, its host is down, or it cannot be reached",
                name(ranks, rank), state.silent_s)};
  }
  bool all_wait = std::any_of(ranks.begin(), ranks.end(), [](const RankState& rank) { return !rank.ended; });
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankState& state = ranks[rank];
    if (state.ended) {
      all_wait = all_wait && state.silent_s > limit_s;  // it moved until then
      continue;
    }
    const bool quiet = state.activity.quiet_s > limit_s;
    all_wait = all_wait && state.activity.waits && quiet;
    if (!quiet || state.activity.waits) continue;
    return {
        Hope::stuck, static_cast<int>(rank),
        fmt::format(
            "{} is stuck: for {:.0f} s it has used less than {} % of a core, read and written no files, and "
            "not waited for other ranks",
            name(ranks, rank), state.activity.quiet_s, 100 * least_share_of_a_core)};
  }
  if (!all_wait) return {};
  return {Hope::deadlock, -1, "all ranks wait for each other: " + describe(ranks)};
}

std::string describe(const std::vector<RankState>& ranks) {
  std::vector<Group> groups;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string state = state_of(ranks[rank]);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.state == state; });
    if (group == groups.end()) group = groups.insert(groups.end(), {state, {}, 0});
    group->ranks.push_back(rank);
    if (state.starts_with("in "))
      group->longest_s = std::max(group->longest_s, ranks[rank].activity.waited_s);
  }
  std::string text;
  for (std::size_t i = 0; i < std::min(most_listed_states, groups.size()); ++i)
    text += (i > 0 ? "; " : "") + describe(groups[i]);
  if (groups.size() > most_listed_states) text += "; ...";
  return text;
}

}  // namespace deda::comm

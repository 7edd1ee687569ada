#include "comm/heartbeat.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "comm/activity.h"
#include "comm/awake_time.h"
#include "comm/communicator_state.h"
#include "comm/judgement.h"
#include "comm/peer_failure.h"
#include "core/error.h"
#include "core/log.h"

namespace deda::comm {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// A beat is due this many times within the limit, but at least every longest_interval_s.
constexpr double beats_per_limit = 20.0;
constexpr double shortest_interval_s = 0.05, longest_interval_s = 5.0;
// Messages are looked for at least so often: what an error of another rank takes to be known.
constexpr double longest_tick_s = 0.5;
// Of a longer gap between two ticks, this many count; the rest was sleep (awake_time.h).
constexpr double counted_ticks = 4.0;
// A wait lasts at least so many beats before it is given up: the others' first words on a new situation need
// two.
constexpr double beats_before_giving_up = 4.0;
// A wait goes on so long after the news that another rank failed: it may be complete but for the last
// message. Where that rank's failure may still be recovered from, longer.
constexpr double grace_s = 1.0;
constexpr double share_of_limit_before_agreement = 0.1;
constexpr double longest_grace_before_agreement_s = 10.0;
// People are told of long waits: first after this share of the limit, then every half of it.
constexpr double share_of_limit_before_telling = 0.1, share_of_limit_between_telling = 0.5;
// While the ranks leave, ticks are short, so that a program ends at once; a rank that waits long for the
// others' end makes them longer.
constexpr double shortest_leaving_tick_s = 0.002, longest_leaving_tick_s = 0.05, leaving_tick_growth = 1.1;

constexpr int rank_zero = 0;  // the rank that judges
constexpr int beat_tag = 1;   // from a rank to rank 0
constexpr int word_tag = 2;   // and back

template <std::size_t bytes>
using Text = std::array<char, bytes>;

template <std::size_t bytes>
void put(Text<bytes>& place, std::string_view text) {
  std::size_t length = std::min(bytes - 1, text.size());
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; };
  if (length < text.size()) {
    while (length > 0 && continues(text[length])) --length;  // no half character at the end
  }
  place.fill('\0');
  std::copy_n(text.begin(), length, place.begin());
}
template <std::size_t bytes>
std::string get(const Text<bytes>& place) {
  return {place.data(), strnlen(place.data(), bytes)};
}

// The failure of a rank's work. Sent as bytes, as the messages below: all ranks run the same program.
struct Failure {
  std::int64_t announced_by = -1;  // -1: there is none
  std::int64_t origin = -1;  // the rank that failed first; another one where this failure follows from it
  std::int64_t exit_code = 0;
  std::int64_t meeting = 0;
  std::int64_t for_good = 0;
  Text<1024> message{};

  bool there() const { return announced_by >= 0; }
  bool same_as(const Failure& other) const {
    return announced_by == other.announced_by && meeting == other.meeting && for_good == other.for_good;
  }
};

// What a rank says of itself.
struct Beat {
  std::int64_t leaves = 0;  // its last one
  std::int64_t waits = 0;
  double waited_s = 0, quiet_s = 0;
  Text<128> operation{};
  Failure failure;
};

// What rank 0 says to all.
struct Word {
  std::int64_t leaves = 0;
  std::int64_t hope = 0;
  std::int64_t rank = -1;
  Text<1024> judgement{};
  Failure failure;
};
static_assert(std::is_trivially_copyable_v<Beat> && std::is_trivially_copyable_v<Word>);

// One direction each way between two ranks, with at most one message of each under way.
template <class Incoming, class Outgoing>
class Line {
 public:
  Line(MPI_Comm comm, int other, int in_tag, int out_tag)
      : comm_{comm}, other_{other}, in_tag_{in_tag}, out_tag_{out_tag} {}

  void listen() {
    check_mpi(MPI_Irecv(&in_, sizeof in_, MPI_BYTE, other_, in_tag_, comm_, &receiving_),
              "MPI_Irecv (heartbeat)");
  }
  // What came; the caller listens again.
  std::optional<Incoming> heard() {
    if (receiving_ == MPI_REQUEST_NULL || !complete(receiving_)) return std::nullopt;
    return in_;
  }
  bool free_to_send() { return sending_ == MPI_REQUEST_NULL || complete(sending_); }
  void send(const Outgoing& message) {
    out_ = message;
    check_mpi(MPI_Isend(&out_, sizeof out_, MPI_BYTE, other_, out_tag_, comm_, &sending_),
              "MPI_Isend (heartbeat)");
  }
  int other() const { return other_; }

 private:
  static bool complete(MPI_Request& request) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test (heartbeat)");
    return done != 0;
  }

  MPI_Comm comm_;
  int other_, in_tag_, out_tag_;
  Incoming in_{};
  Outgoing out_{};
  MPI_Request receiving_ = MPI_REQUEST_NULL, sending_ = MPI_REQUEST_NULL;
};
using LineToZero = Line<Word, Beat>;
using LineFromZero = Line<Beat, Word>;

std::atomic<Heartbeat*> current{nullptr};

bool wanted() {
  const char* text = std::getenv("DEDA_HEARTBEAT");
  return text == nullptr || std::string_view{text} != "off";
}

std::vector<std::string> gather_hosts(MPI_Comm comm, int size) {
  constexpr std::size_t longest = 64;
  Text<longest> mine{};
  put(mine, host_name());
  std::vector<Text<longest>> all(static_cast<std::size_t>(size));
  check_mpi(MPI_Allgather(&mine, longest, MPI_BYTE, all.data(), longest, MPI_BYTE, comm),
            "MPI_Allgather (hosts)");
  std::vector<std::string> hosts;
  for (const auto& host : all) hosts.push_back(get(host));
  return hosts;
}

// The beginning of what an error says, and its exit code.
Failure failure_of(const std::exception_ptr& error, int rank) {
  Failure failure;
  failure.announced_by = failure.origin = rank;
  failure.exit_code = static_cast<std::int64_t>(ExitCode::failure);
  try {
    std::rethrow_exception(error);
  } catch (const PeerFailure& e) {
    failure.origin = e.origin;
    failure.exit_code = static_cast<std::int64_t>(e.exit_code());
    put(failure.message, e.said);
  } catch (const Error& e) {
    failure.exit_code = static_cast<std::int64_t>(e.exit_code());
    put(failure.message, e.what());
  } catch (const std::exception& e) {
    put(failure.message, e.what());
  } catch (...) {
    put(failure.message, "an exception of unknown type");
  }
  return failure;
}

// Which of several failures all ranks should hear: one without recovery before one with it, an origin before
// one that follows from it, the lowest rank first.
bool weighs_more(const Failure& a, const Failure& b) {
  if (!b.there()) return a.there();
  if (!a.there()) return false;
  if (a.for_good != b.for_good) return a.for_good > b.for_good;
  const bool a_is_origin = a.origin == a.announced_by, b_is_origin = b.origin == b.announced_by;
  if (a_is_origin != b_is_origin) return a_is_origin;
  return a.announced_by < b.announced_by;
}

}  // namespace

struct Heartbeat::State {
  // Of this process; set once.
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0, size = 1;
  std::vector<std::string> hosts;
  double limit_s = 0, interval_s = 0, tick_s = 0;

  // Between the thread and the others.
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;  // at once, whatever the others do
  bool leaving = false;   // as soon as all others leave too
  bool left = false;      // all have
  bool hopeless = false;  // a rank will not come
  Failure own_failure;
  Word word;                         // the latest judgement
  Clock::time_point failed_since;    // word.failure is known
  std::atomic<bool> matters{false};  // there is something in `word` that may end a wait

  // Of the thread alone.
  AwakeTime awake{1.0};
  double now_s = 0;
  std::optional<LineToZero> to_zero;  // ranks but 0
  double zero_heard_at_s = 0;
  bool zero_left = false;
  std::vector<LineFromZero> lines;  // rank 0: to ranks 1, 2, ...
  std::vector<RankState> ranks;     // rank 0: what is known of each; index is the rank
  std::vector<double> heard_at_s;
  std::vector<Failure> failures;
  double told_at_s = 0;
  bool told = false, broken = false;
  double sent_at_s = 0;
  bool sent = false, said_goodbye = false;
  Failure sent_failure;

  std::thread thread;

  explicit State(MPI_Comm world) {
    check_mpi(MPI_Comm_dup(world, &comm), "MPI_Comm_dup (heartbeat)");
    check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm, &size), "MPI_Comm_size");
    hosts = gather_hosts(comm, size);
    limit_s = Communicator::timeout_s();
    interval_s = std::clamp(limit_s / beats_per_limit, shortest_interval_s, longest_interval_s);
    tick_s = std::min(interval_s, longest_tick_s);
    awake = AwakeTime{counted_ticks * tick_s};
    if (rank == rank_zero) {
      lines.reserve(static_cast<std::size_t>(size) - 1);  // MPI keeps their addresses
      for (int other = 1; other < size; ++other) lines.emplace_back(comm, other, beat_tag, word_tag).listen();
      for (const std::string& host : hosts) ranks.push_back({.host = host, .activity = {}});
      heard_at_s.resize(ranks.size());
      failures.resize(ranks.size());
    } else {
      to_zero.emplace(comm, rank_zero, word_tag, beat_tag).listen();
    }
    thread = std::thread([this] { run(); });
  }

  void run() {
    const OwnActivity::Mark serves{""};
    double leaving_tick_s = shortest_leaving_tick_s;
    while (true) {
      now_s = awake.now_s();
      if (!broken) {
        try {
          if (rank == rank_zero) {
            beat_of_zero();
          } else {
            beat_of_other();
          }
        } catch (const std::exception& error) {
          broken = true;
          Word last;  // nothing will be heard any more: waits must not last for ever
          last.hope = static_cast<std::int64_t>(Hope::silent);
          put(last.judgement, fmt::format("the heartbeat of this rank failed: {}", error.what()));
          take(last);
        }
      }
      std::unique_lock lock{mutex};
      if (stopping || left) return;
      if (broken && leaving) {
        hopeless = true;
        changed.notify_all();
      }
      if (leaving) leaving_tick_s = std::min(leaving_tick_growth * leaving_tick_s, longest_leaving_tick_s);
      changed.wait_for(lock, Seconds(leaving ? std::min(leaving_tick_s, tick_s) : tick_s));
    }
  }

  Beat own_beat() {
    const Activity activity = OwnActivity::of_process().look(now_s, least_share_of_a_core * limit_s);
    Beat beat;
    beat.waits = activity.waits;
    beat.waited_s = activity.waited_s;
    beat.quiet_s = activity.quiet_s;
    put(beat.operation, activity.operation);
    const std::lock_guard lock{mutex};
    beat.failure = own_failure;
    beat.leaves = leaving;
    return beat;
  }

  void take(const Word& new_word) {
    const std::lock_guard lock{mutex};
    if (new_word.failure.there() && !(word.failure.there() && word.failure.same_as(new_word.failure)))
      failed_since = Clock::now();
    word = new_word;
    matters = word.failure.there() || static_cast<Hope>(word.hope) != Hope::reasonable;
    if (leaving && static_cast<Hope>(word.hope) != Hope::reasonable && word.rank != rank) {
      hopeless = true;
      changed.notify_all();
    }
  }

  void beat_of_other() {
    while (const auto heard = to_zero->heard()) {
      zero_heard_at_s = now_s;
      take(*heard);
      if (heard->leaves != 0) {
        zero_left = true;
        break;
      }
      to_zero->listen();
    }
    const double silent_s = now_s - zero_heard_at_s;
    if (!zero_left && silent_s > limit_s) {
      std::vector<RankState> known(1);
      known[0].host = hosts[rank_zero];
      known[0].silent_s = silent_s;
      Word own;
      {
        const std::lock_guard lock{mutex};
        own.failure = word.failure;
      }
      const Judgement judgement = judge(known, limit_s);
      own.hope = static_cast<std::int64_t>(judgement.hope);
      own.rank = judgement.rank;
      put(own.judgement, judgement.text);
      take(own);
    }
    const bool can_send = to_zero->free_to_send();
    if (said_goodbye) {
      if (can_send && zero_left) finish();
      return;
    }
    const Beat beat = own_beat();
    const bool news = !beat.failure.same_as(sent_failure) || beat.leaves != 0;
    if (!can_send || (sent && !news && now_s - sent_at_s < interval_s)) return;
    to_zero->send(beat);
    sent = true;
    sent_at_s = now_s;
    sent_failure = beat.failure;
    said_goodbye = beat.leaves != 0;
  }

  void note(std::size_t from, const Beat& beat) {
    RankState& state = ranks[from];
    if (!state.ended) heard_at_s[from] = now_s;
    state.ended = beat.leaves != 0;
    state.activity = {.waits = beat.waits != 0,
                      .waited_s = beat.waited_s,
                      .operation = get(beat.operation),
                      .quiet_s = beat.quiet_s};
    failures[from] = beat.failure;
  }

  void beat_of_zero() {
    const Beat own = own_beat();
    note(rank_zero, own);
    for (LineFromZero& line : lines) {
      while (const auto beat = line.heard()) {
        note(static_cast<std::size_t>(line.other()), *beat);
        if (beat->leaves != 0) break;
        line.listen();
      }
    }
    for (std::size_t r = 0; r < ranks.size(); ++r) ranks[r].silent_s = now_s - heard_at_s[r];
    tell();

    const bool others_left =
        std::all_of(ranks.begin() + 1, ranks.end(), [](const auto& r) { return r.ended; });
    const Judgement judgement = judge(ranks, limit_s);
    Word next;
    next.leaves = own.leaves != 0 && others_left;
    next.hope = static_cast<std::int64_t>(judgement.hope);
    next.rank = judgement.rank;
    put(next.judgement, judgement.text);
    for (const Failure& failure : failures) {
      if (weighs_more(failure, next.failure)) next.failure = failure;
    }
    const bool news = next.leaves != 0 || next.hope != word.hope || next.rank != word.rank ||
                      !next.failure.same_as(word.failure);
    take(next);
    if (said_goodbye) {
      if (std::all_of(lines.begin(), lines.end(), [](auto& line) { return line.free_to_send(); })) finish();
      return;
    }
    if (sent && !news && now_s - sent_at_s < interval_s) return;
    const auto can_send = [](LineFromZero& line) { return line.free_to_send(); };
    if (next.leaves != 0 && !std::all_of(lines.begin(), lines.end(), can_send))
      return;  // goodbye is said once
    for (LineFromZero& line : lines) {
      // A rank that does not take its messages gets the next one when it does.
      if (line.free_to_send()) line.send(next);
    }
    sent = true;
    sent_at_s = now_s;
    said_goodbye = next.leaves != 0;
  }

  // What people want to know of a run that does not go on: who is waited for.
  void tell() {
    double longest_s = 0;
    for (const RankState& state : ranks) {
      if (state.activity.waits && !state.ended) longest_s = std::max(longest_s, state.activity.waited_s);
    }
    if (longest_s < share_of_limit_before_telling * limit_s) {
      told = false;
      return;
    }
    if (told && now_s - told_at_s < share_of_limit_between_telling * limit_s) return;
    told = true;
    told_at_s = now_s;
    log_info("waiting: {}", describe(ranks));
  }

  void finish() {
    const std::lock_guard lock{mutex};
    left = true;
    changed.notify_all();
  }
};

std::unique_ptr<Heartbeat> Heartbeat::start(MPI_Comm world) {
  int size = 1, granted = MPI_THREAD_SINGLE;
  check_mpi(MPI_Comm_size(world, &size), "MPI_Comm_size");
  if (size == 1) return nullptr;
  check_mpi(MPI_Query_thread(&granted), "MPI_Query_thread");
  int possible = granted == MPI_THREAD_MULTIPLE && wanted() ? 1 : 0;
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, &possible, 1, MPI_INT, MPI_MIN, world), "MPI_Allreduce (heartbeat)");
  if (possible == 0) return nullptr;
  std::unique_ptr<Heartbeat> heartbeat{new Heartbeat(world)};
  current = heartbeat.get();
  return heartbeat;
}

Heartbeat::Heartbeat(MPI_Comm world) : state_{std::make_unique<State>(world)} {}

Heartbeat::~Heartbeat() {
  current = nullptr;
  {
    const std::lock_guard lock{state_->mutex};
    state_->stopping = true;
  }
  state_->changed.notify_all();
  if (state_->thread.joinable()) state_->thread.join();
  if (state_->left) {
    MPI_Comm_free(&state_->comm);
  } else {
    [[maybe_unused]] static const State* kept = nullptr;  // MPI still knows the addresses of its messages
    kept = state_.release();
  }
}

Heartbeat* Heartbeat::running() {
  return current.load();
}

void Heartbeat::end_hopeless_wait(const Wait& wait, double waited_s) {
  State& state = *state_;
  if (!state.matters.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock{state.mutex};
  const Word& word = state.word;
  if (const Failure& failure = word.failure;
      failure.there() && failure.announced_by != state.rank && failure.meeting != wait.meeting) {
    const double grace = failure.for_good != 0 ? grace_s
                                               : std::min(longest_grace_before_agreement_s,
                                                          share_of_limit_before_agreement * state.limit_s);
    if (waited_s > grace && Seconds(Clock::now() - state.failed_since).count() > grace) {
      const std::string message = get(failure.message);
      throw PeerFailure(
          static_cast<int>(failure.origin), static_cast<ExitCode>(failure.exit_code),
          fmt::format("rank {} failed{}{}", failure.origin, message.empty() ? "" : ": ", message), message);
    }
  }
  const auto hope = static_cast<Hope>(word.hope);
  if (hope == Hope::reasonable || word.rank == state.rank) return;
  if (waited_s < beats_before_giving_up * state.interval_s) return;
  set_wait_abandoned();
  throw CommError(
      fmt::format("rank {} waited {:.0f} s in {} and gave up: {}", wait.rank, waited_s, place_of(wait),
                  get(word.judgement)),
      {},
      hope == Hope::deadlock
          ? "Run the same command to continue; if it happens again, please report it with these lines."
          : "Look at that host and for that rank's own message, then run the same command to continue. "
            "DEDA_TIMEOUT_S "
            "sets after how many seconds a rank is given up.");
}

void Heartbeat::announce_failure(std::int64_t meeting, bool for_good, const std::exception_ptr& error) {
  Failure failure = failure_of(error, state_->rank);
  failure.meeting = meeting;
  failure.for_good = for_good;
  {
    const std::lock_guard lock{state_->mutex};
    state_->own_failure = failure;
  }
  state_->changed.notify_all();
}

void Heartbeat::withdraw_failure(std::int64_t meeting) {
  const std::lock_guard lock{state_->mutex};
  if (state_->own_failure.meeting == meeting) state_->own_failure = Failure{};
}

bool Heartbeat::leave() {
  const OwnActivity::Mark waits{"the end of the program"};
  std::unique_lock lock{state_->mutex};
  state_->leaving = true;
  state_->changed.notify_all();
  state_->changed.wait(lock, [this] { return state_->left || state_->hopeless; });
  return state_->left;
}

}  // namespace deda::comm

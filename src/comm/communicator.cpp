#include "comm/communicator.h"

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <optional>

#include "comm/communicator_state.h"
#include "comm/heartbeat.h"
#include "comm/mpi_handle.h"
#include "comm/watched.h"
#include "core/error.h"

namespace deda::comm {

namespace {

constexpr double default_timeout_s = 600.0;
// MPI counts in int: longer messages travel in pieces of this many bytes.
constexpr std::size_t default_message_limit = std::size_t{1} << 30;

// Positive number from the environment, or `fallback` where it is not set.
double positive_from_environment(const char* name, double fallback, const char* unit) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (*end != '\0' || !(value > 0) || value > 1e15) {
    throw ConfigError(fmt::format("\"{}\" is not a positive number of {}", text, unit), name);
  }
  return value;
}

// DEDA_MPI_MESSAGE_BYTES makes pieces smaller (networks with small buffers; the tests of this file).
std::size_t message_limit() {
  const double value = positive_from_environment("DEDA_MPI_MESSAGE_BYTES",
                                                 static_cast<double>(default_message_limit), "bytes");
  return std::clamp<std::size_t>(static_cast<std::size_t>(value), 1, default_message_limit);
}

MPI_Op operation_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return MPI_SUM;
    case Reduction::minimum:
      return MPI_MIN;
    case Reduction::maximum:
      return MPI_MAX;
  }
  return MPI_SUM;
}

MPI_Comm duplicate_handle(MPI_Comm original, int rank) {
  MPI_Comm copy = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Comm_idup(original, &copy, &request), "MPI_Comm_idup");
  wait_watched(request, {.rank = rank, .operation = "duplicating a communicator", .what = "start-up"});
  check_mpi(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return copy;
}

}  // namespace

MpiEnvironment::MpiEnvironment(int& argc, char**& argv) {
  int already = 0;
  MPI_Initialized(&already);
  if (already) throw CommError("MPI is already running: a process has one MpiEnvironment");
  setenv("OMPI_MCA_fs_ufs_lock_algorithm", "3", /*overwrite=*/0);
  int granted = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted), "MPI_Init_thread");
  thread_multiple_ = granted == MPI_THREAD_MULTIPLE;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  heartbeat_ = Heartbeat::start(MPI_COMM_WORLD);
}

MpiEnvironment::~MpiEnvironment() {
  // MPI_Finalize waits for all ranks. After an error the others may never come: leave without it; the
  // launcher sees a rank end that way and ends the job.
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size > 1 && (std::uncaught_exceptions() > 0 || wait_abandoned())) return;
  if (heartbeat_ && !heartbeat_->leave()) return;
  heartbeat_.reset();
  MPI_Finalize();
}

std::string MpiEnvironment::library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  check_mpi(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
  std::string version(text, static_cast<std::size_t>(length));
  return version.substr(0, version.find(','));
}

Communicator::State::State(MPI_Comm original) {
  check_mpi(MPI_Comm_rank(original, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(original, &size), "MPI_Comm_size");
  static std::atomic<std::int64_t> made{0};
  if (size > 1) number = ++made;
  comm = duplicate_handle(original, rank);
  control = duplicate_handle(original, rank);
  MPI_Comm host = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &host),
            "MPI_Comm_split_type");
  MPI_Comm_rank(host, &local_rank);
  MPI_Comm_size(host, &local_size);
  MPI_Comm_free(&host);
}

Communicator::State::~State() {
  if (!mpi_is_running() || !broken.empty()) return;  // a pending operation still refers to the communicator
  MPI_Comm_free(&comm);
  MPI_Comm_free(&control);
}

std::string Communicator::State::broadcast(MPI_Comm on, const Wait& wait, std::string text, int root) {
  const auto length = run(on, wait, static_cast<std::int64_t>(text.size()),
                          [root](MPI_Comm c, std::int64_t& n, MPI_Request* request) {
                            return MPI_Ibcast(&n, 1, MPI_INT64_T, root, c, request);
                          });
  text.resize(static_cast<std::size_t>(length));
  const std::size_t piece = message_limit();
  for (std::size_t begin = 0; begin < text.size(); begin += piece) {
    const int count = static_cast<int>(std::min(piece, text.size() - begin));
    text = run(on, wait, std::move(text), [=](MPI_Comm c, std::string& t, MPI_Request* request) {
      return MPI_Ibcast(t.data() + begin, count, MPI_BYTE, root, c, request);
    });
  }
  return text;
}

namespace {

template <class State, class T>
std::vector<T> reduce_in_pieces(State& state, std::vector<T> values, Reduction reduction, MPI_Datatype type) {
  const std::size_t piece = std::max<std::size_t>(1, message_limit() / sizeof(T));
  for (std::size_t begin = 0; begin < values.size(); begin += piece) {
    const int count = static_cast<int>(std::min(piece, values.size() - begin));
    values = state.collective("all_reduce", {}, std::move(values),
                              [=](MPI_Comm on, std::vector<T>& v, MPI_Request* request) {
                                return MPI_Iallreduce(MPI_IN_PLACE, v.data() + begin, count, type,
                                                      operation_of(reduction), on, request);
                              });
  }
  return values;
}

// One round of a gather: each rank sends at most `slice` bytes, so that all counts and places fit int.
struct GatherRound {
  std::vector<std::uint8_t> mine, all;
  std::vector<int> counts, places;
};

template <class State>
std::vector<std::int64_t> gather_sizes(State& state, std::string_view name, std::size_t mine) {
  struct Buffers {
    std::int64_t mine;
    std::vector<std::int64_t> all;
  };
  Buffers sizes{static_cast<std::int64_t>(mine),
                std::vector<std::int64_t>(static_cast<std::size_t>(state.size))};
  sizes =
      state.collective(name, "sizes", std::move(sizes), [](MPI_Comm on, Buffers& b, MPI_Request* request) {
        return MPI_Iallgather(&b.mine, 1, MPI_INT64_T, b.all.data(), 1, MPI_INT64_T, on, request);
      });
  return std::move(sizes.all);
}

// Everybody's bytes; only `root` receives them, or all ranks without a root.
template <class State>
std::vector<std::vector<std::uint8_t>> gather_in_rounds(State& state, std::span<const std::uint8_t> bytes,
                                                        std::optional<int> root) {
  const std::string_view name = root ? "gather" : "all_gather";
  const std::vector<std::int64_t> sizes = gather_sizes(state, name, bytes.size());
  const bool receives = !root || *root == state.rank;
  std::vector<std::vector<std::uint8_t>> result(receives ? sizes.size() : 0);
  const std::int64_t longest = *std::max_element(sizes.begin(), sizes.end());
  const auto slice = std::max<std::int64_t>(1, static_cast<std::int64_t>(message_limit() / sizes.size()));
  for (std::int64_t begin = 0; begin < longest; begin += slice) {
    GatherRound round;
    int total = 0;
    for (const std::int64_t whole : sizes) {
      round.counts.push_back(static_cast<int>(std::clamp<std::int64_t>(whole - begin, 0, slice)));
      round.places.push_back(total);
      total += round.counts.back();
    }
    const int mine = round.counts[static_cast<std::size_t>(state.rank)];
    if (mine > 0) round.mine.assign(bytes.begin() + begin, bytes.begin() + begin + mine);
    if (receives) round.all.resize(static_cast<std::size_t>(total));
    round =
        state.collective(name, {}, std::move(round), [=](MPI_Comm on, GatherRound& r, MPI_Request* request) {
          if (root) {
            return MPI_Igatherv(r.mine.data(), mine, MPI_BYTE, r.all.data(), r.counts.data(), r.places.data(),
                                MPI_BYTE, *root, on, request);
          }
          return MPI_Iallgatherv(r.mine.data(), mine, MPI_BYTE, r.all.data(), r.counts.data(),
                                 r.places.data(), MPI_BYTE, on, request);
        });
    for (std::size_t r = 0; r < result.size(); ++r) {
      const auto from = round.all.begin() + round.places[r];
      result[r].insert(result[r].end(), from, from + round.counts[r]);
    }
  }
  return result;
}

}  // namespace

Communicator Communicator::world() {
  if (!mpi_is_running()) throw CommError("MPI is not running: make an MpiEnvironment first");
  return Communicator{std::make_shared<State>(MPI_COMM_WORLD)};
}
Communicator Communicator::endings() {
  Communicator ranks = world();
  ranks.state_->of_endings = true;
  return ranks;
}
Communicator Communicator::self() {
  if (!mpi_is_running()) throw CommError("MPI is not running: make an MpiEnvironment first");
  return Communicator{std::make_shared<State>(MPI_COMM_SELF)};
}

Communicator Communicator::duplicate() const {
  return Communicator{std::make_shared<State>(state_->comm)};
}

int Communicator::rank() const {
  return state_->rank;
}
int Communicator::size() const {
  return state_->size;
}
int Communicator::local_rank() const {
  return state_->local_rank;
}
int Communicator::local_size() const {
  return state_->local_size;
}
void* Communicator::native() const {
  return wrap_mpi_handle(state_->comm);
}

std::string host_name() {
  char name[MPI_MAX_PROCESSOR_NAME] = {};
  int length = 0;
  check_mpi(MPI_Get_processor_name(name, &length), "MPI_Get_processor_name");
  return {name, static_cast<std::size_t>(length)};
}

std::vector<std::string> Communicator::host_names() const {
  return all_gather(host_name());
}

void Communicator::barrier(std::string_view what) const {
  state_->collective("barrier", what, 0,
                     [](MPI_Comm on, int&, MPI_Request* request) { return MPI_Ibarrier(on, request); });
}

std::string Communicator::broadcast(std::string text, int root) const {
  return state_->broadcast(state_->comm, state_->wait_for("broadcast", {}), std::move(text), root);
}

std::vector<std::int64_t> Communicator::all_reduce(std::vector<std::int64_t> values,
                                                   Reduction reduction) const {
  return reduce_in_pieces(*state_, std::move(values), reduction, MPI_INT64_T);
}
std::vector<double> Communicator::all_reduce(std::vector<double> values, Reduction reduction) const {
  return reduce_in_pieces(*state_, std::move(values), reduction, MPI_DOUBLE);
}
std::int64_t Communicator::all_reduce(std::int64_t value, Reduction reduction) const {
  return all_reduce(std::vector<std::int64_t>{value}, reduction).front();
}

std::int64_t Communicator::exclusive_scan_sum(std::int64_t value) const {
  const auto pair =
      state_->collective("exclusive_scan_sum", {}, std::vector<std::int64_t>{value, 0},
                         [](MPI_Comm on, std::vector<std::int64_t>& v, MPI_Request* request) {
                           return MPI_Iexscan(&v[0], &v[1], 1, MPI_INT64_T, MPI_SUM, on, request);
                         });
  return rank() == 0 ? 0 : pair[1];  // MPI leaves rank 0's result undefined
}

std::vector<std::vector<std::uint8_t>> Communicator::gather(std::span<const std::uint8_t> bytes,
                                                            int root) const {
  return gather_in_rounds(*state_, bytes, root);
}
std::vector<std::vector<std::uint8_t>> Communicator::all_gather(std::span<const std::uint8_t> bytes) const {
  return gather_in_rounds(*state_, bytes, std::nullopt);
}
std::vector<std::string> Communicator::all_gather(const std::string& text) const {
  const auto all = all_gather(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  std::vector<std::string> texts;
  for (const auto& bytes : all) texts.emplace_back(bytes.begin(), bytes.end());
  return texts;
}

bool Communicator::any(bool value) const {
  return all_reduce(value ? 1 : 0, Reduction::maximum) != 0;
}

void Communicator::announce_failure(const std::exception_ptr& error) const {
  if (Heartbeat* heartbeat = Heartbeat::running()) heartbeat->announce_failure(state_->number, true, error);
}

double Communicator::timeout_s() {
  return positive_from_environment("DEDA_TIMEOUT_S", default_timeout_s, "seconds");
}

void Communicator::abort(int exit_code) {
  std::fflush(nullptr);
  if (mpi_is_running()) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace deda::comm

#include "pretended_device/recording.h"

#include <c10/util/Exception.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "pretended_device/activity.h"
#include "pretended_device/host_calls.h"
#include "pretended_device/streams.h"

namespace deda::pretended {

namespace {

// The recording under way. One at a time, as its number tells.
struct Recorder {
  std::mutex mutex;
  std::int64_t number = 0, last_number = 0;  // number 0: nothing is recorded
  std::set<c10::StreamId> streams;
  std::vector<std::function<void()>> calls;
  struct Memory {
    c10::Storage storage;
    std::vector<std::uint8_t> bytes;
  };
  std::map<void*, Memory> before;  // by address: what was there before the first operation on it
};

// Never destroyed: threads of the autograd engine may still ask when the process ends.
Recorder& recorder() {
  static auto* const the_recorder = new Recorder;
  return *the_recorder;
}

class RecordingScope {
 public:
  explicit RecordingScope(c10::Stream stream) {
    const std::lock_guard lock(recorder().mutex);
    TORCH_CHECK(recorder().number == 0, "the pretended device records one piece of work at a time");
    recorder().number = ++recorder().last_number;
    recorder().streams = {stream.id()};
  }
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;
  ~RecordingScope() { end(); }

  std::vector<std::function<void()>> end() {
    const std::lock_guard lock(recorder().mutex);
    for (const auto& [address, memory] : recorder().before)
      std::memcpy(address, memory.bytes.data(), memory.bytes.size());
    recorder().before.clear();
    recorder().number = 0;
    recorder().streams.clear();
    return std::exchange(recorder().calls, {});
  }
};

class Recording final : public comm::CapturedWork {
 public:
  explicit Recording(std::vector<std::function<void()>> calls) : calls_{std::move(calls)} {}
  void replay() const override {
    TORCH_CHECK(!current_stream_is_recorded(), "recorded work cannot be part of a recording");
    const HostScope host;
    for (const auto& call : calls_) call();
    count_replay();
  }

 private:
  std::vector<std::function<void()>> calls_;
};

}  // namespace

std::int64_t recording_of(c10::Stream stream) {
  const std::lock_guard lock(recorder().mutex);
  return recorder().streams.contains(stream.id()) ? recorder().number : 0;
}

bool current_stream_is_recorded() {
  return recording_of(current_stream()) != 0;
}

void record(std::function<void()> again) {
  const std::lock_guard lock(recorder().mutex);
  recorder().calls.push_back(std::move(again));
}

void keep_as_it_was(const c10::Storage& memory) {
  const std::lock_guard lock(recorder().mutex);
  if (recorder().number == 0 || memory.nbytes() == 0) return;
  const auto [entry, is_new] = recorder().before.try_emplace(memory.mutable_data());
  if (!is_new) return;
  const auto* const first = static_cast<const std::uint8_t*>(memory.data());
  entry->second = {memory, {first, first + memory.nbytes()}};
}

void stream_waits(c10::Stream stream, std::int64_t event_recording) {
  const std::lock_guard lock(recorder().mutex);
  if (recorder().number == 0) return;
  const bool joined = recorder().streams.contains(stream.id());
  if (event_recording != recorder().number) {
    TORCH_CHECK(!joined, "a recorded stream would wait for work outside of the recording");
    return;
  }
  TORCH_CHECK(
      joined || stream != default_stream(),
      "the default stream would wait for work that is being recorded: make what it holds (such as the "
      "gradient accumulators of parameters) on the recorded stream");
  recorder().streams.insert(stream.id());
}

std::unique_ptr<comm::CapturedWork> capture(const std::function<void()>& work, int warm_ups) {
  const auto stream = stream_from_pool();
  const StreamScope beside(stream);
  for (int i = 0; i < warm_ups; ++i) work();
  RecordingScope scope(stream);
  work();
  return std::make_unique<Recording>(scope.end());
}

}  // namespace deda::pretended

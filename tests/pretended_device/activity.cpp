#include "pretended_device/activity.h"

#include <c10/util/Exception.h>

#include <atomic>
#include <deque>
#include <mutex>

#include "pretended_device/pretended_device.h"
#include "pretended_device/recording.h"

namespace deda::pretended {

namespace {

std::atomic<bool> waiting_is_forbidden{false};

struct Activity {
  std::mutex mutex;
  Counters counters;
  std::deque<std::string> last_waits, last_operations;
};

// Never destroyed: threads of the autograd engine may still run when the process ends.
Activity& activity() {
  static auto* const the_activity = new Activity;
  return *the_activity;
}

void keep_name(std::deque<std::string>& names, const std::string& name) {
  names.push_back(name);
  if (names.size() > names_kept) names.pop_front();
}

void count_wait(const std::string& what) {
  const std::lock_guard lock(activity().mutex);
  ++activity().counters.waits;
  keep_name(activity().last_waits, what);
}

}  // namespace

void forbid_waiting(bool on) {
  waiting_is_forbidden = on;
}

void host_waits(const std::string& what) {
  TORCH_CHECK(!waiting_is_forbidden, what, " makes the host wait for the device, which is forbidden now");
  host_waits_on_purpose(what);
}

void host_waits_on_purpose(const std::string& what) {
  TORCH_CHECK(!current_stream_is_recorded(), what,
              " makes the host wait for the device, which cannot be recorded");
  count_wait(what);
}

void count_operation(const std::string& name) {
  const std::lock_guard lock(activity().mutex);
  ++activity().counters.operations;
  keep_name(activity().last_operations, name);
}

void count_copy_to_device(std::int64_t bytes) {
  const std::lock_guard lock(activity().mutex);
  ++activity().counters.copies_to_device;
  activity().counters.bytes_to_device += bytes;
}

void count_copy_to_host(std::int64_t bytes) {
  const std::lock_guard lock(activity().mutex);
  ++activity().counters.copies_to_host;
  activity().counters.bytes_to_host += bytes;
}

void count_replay() {
  const std::lock_guard lock(activity().mutex);
  ++activity().counters.replays;
}

Counters counters() {
  const std::lock_guard lock(activity().mutex);
  auto result = activity().counters;
  result.last_waits.assign(activity().last_waits.begin(), activity().last_waits.end());
  result.last_operations.assign(activity().last_operations.begin(), activity().last_operations.end());
  return result;
}

void reset_counters() {
  const std::lock_guard lock(activity().mutex);
  activity().counters = {};
  activity().last_waits.clear();
  activity().last_operations.clear();
}

}  // namespace deda::pretended

// Bookkeeping of what the device is asked to do, and the one place that decides whether the host may wait.
#pragma once

#include <cstdint>
#include <string>

namespace deda::pretended {

void forbid_waiting(bool on);

// The host is about to wait for the device because of `what`. Counts it; throws c10::Error where waiting is
// forbidden or the current stream is being recorded.
void host_waits(const std::string& what);
// Likewise, but allowed while waiting is forbidden: an explicit wait for the device or for an event.
void host_waits_on_purpose(const std::string& what);

void count_operation(const std::string& name);
void count_copy_to_device(std::int64_t bytes);
void count_copy_to_host(std::int64_t bytes);
void count_replay();

}  // namespace deda::pretended

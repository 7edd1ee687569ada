// Work that is written down while it runs and can be run again: what a CUDA graph is.
#pragma once

#include <c10/core/Storage.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "comm/c10d/cuda_plugin.h"

namespace deda::pretended {

bool current_stream_is_recorded();
// Only where current_stream_is_recorded(). `again` does on the host what was just done, with the same memory.
void record(std::function<void()> again);

// Only while recording, before an operation touches `memory` of the device. On a GPU recording computes
// nothing; here operations must run for their results to have shapes, so what they wrote is undone at the end
// (some write to arguments without saying so: batch norm's running statistics).
void keep_as_it_was(const c10::Storage& memory);

// A number for the recording that `stream` takes part in; 0: none.
std::int64_t recording_of(c10::Stream stream);
// `stream` will wait for an event that was recorded while `event_recording` was that number on its stream.
// A stream from the pool joins a recording so; throws where a GPU would end the recording with an error.
void stream_waits(c10::Stream stream, std::int64_t event_recording);

std::unique_ptr<comm::CapturedWork> capture(const std::function<void()>& work, int warm_ups);

}  // namespace deda::pretended

#include "pretended_device/streams.h"

#include <c10/util/Exception.h>

#include <atomic>

#include "pretended_device/pretended_device.h"

namespace deda::pretended {

namespace {
constexpr c10::StreamId default_id = 0;
thread_local c10::StreamId current_id = default_id;

c10::Stream of(c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, device, id);
}
}  // namespace

c10::Stream default_stream() {
  return of(default_id);
}

c10::Stream stream_from_pool() {
  static std::atomic<c10::StreamId> last{default_id};
  return of(++last);
}

c10::Stream current_stream() {
  return of(current_id);
}

c10::Stream exchange_stream(c10::Stream stream) {
  TORCH_CHECK(stream.device() == device, "a stream of ", stream.device(), " is none of the pretended device");
  return of(std::exchange(current_id, stream.id()));
}

}  // namespace deda::pretended

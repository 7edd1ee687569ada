// Streams of the device: plain numbers, one current per thread. All work runs at once, so that only recording
// and events look at them.
#pragma once

#include <c10/core/Stream.h>

namespace deda::pretended {

c10::Stream default_stream();
c10::Stream stream_from_pool();  // another one with every call
c10::Stream current_stream();    // of this thread
c10::Stream exchange_stream(c10::Stream stream);

// Makes `stream` the current one of this thread for a scope.
class StreamScope {
 public:
  explicit StreamScope(c10::Stream stream) : before_{exchange_stream(stream)} {}
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;
  ~StreamScope() { exchange_stream(before_); }

 private:
  c10::Stream before_;
};

}  // namespace deda::pretended

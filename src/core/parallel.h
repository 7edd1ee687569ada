// Independent pieces of work on several threads.
#pragma once

#include <cstddef>
#include <functional>

namespace deda {

// Cores that the launcher or the batch system left to this process (its affinity, not the machine's number); at
// least 1.
int usable_cores();

// Calls work(i) for i = first, first + step, ... below `end`, on `threads` threads with the calling one among
// them, in any order. After an exception no further piece is begun; the first one is thrown when all threads
// have ended.
void parallel_for(int threads, std::size_t first, std::size_t end, std::size_t step,
                  const std::function<void(std::size_t)>& work);

}  // namespace deda

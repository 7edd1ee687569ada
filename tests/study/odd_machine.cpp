// Loaded before a program (LD_PRELOAD): a machine whose scratch has no flock, or whose clock is wrong.
//   DEDA_TEST_NO_FLOCK=1            flock fails with ENOSYS, as on some parallel file systems
//   DEDA_TEST_CLOCK_SHIFT=SECONDS   the time of day is that much ahead
// Asked at every call, so that children of one program may differ.
#include <dlfcn.h>
#include <errno.h>
#include <time.h>

#include <cstdlib>

extern "C" {

int deda_test_odd_machine = 1;  // tests look for it to know that this is loaded

int flock(int file, int operation) {
  if (std::getenv("DEDA_TEST_NO_FLOCK") != nullptr) {
    errno = ENOSYS;
    return -1;
  }
  static const auto real = reinterpret_cast<int (*)(int, int)>(dlsym(RTLD_NEXT, "flock"));
  return real(file, operation);
}

int clock_gettime(clockid_t clock, timespec* time) {
  static const auto real =
      reinterpret_cast<int (*)(clockid_t, timespec*)>(dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, time);
  const char* shift = std::getenv("DEDA_TEST_CLOCK_SHIFT");
  if (result == 0 && clock == CLOCK_REALTIME && shift != nullptr) time->tv_sec += std::atol(shift);
  return result;
}
}

// What every benchmark measures with.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace deda::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class Work>
double seconds_of(const Work& work) {
  const auto start = Clock::now();
  work();
  return seconds_since(start);
}

// The upper one of the two in the middle where their number is even.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Of 256 MiB, once: what this machine's memory gives at the moment.
inline double memory_copy_gigabytes_per_second() {
  constexpr std::size_t bytes = std::size_t{256} << 20;
  std::vector<char> from(bytes, 1), to(bytes);
  const double seconds = seconds_of([&] { std::memcpy(to.data(), from.data(), bytes); });
  return static_cast<double>(bytes) / seconds / 1e9;
}

// Of the last minute, for the reader to see whether the machine was busy; -1: unknown.
inline double load_average() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

}  // namespace deda::bench

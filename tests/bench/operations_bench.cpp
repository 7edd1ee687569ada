// How fast RandAugment's operations are at the paper's size (448 pixels) on one core: by operation at
// torchvision's default magnitude, and as RandAugment draws them.
//   bench_operations [samples per turn]
//   bench_operations --pictures FILE     writes the pictures, [24, 448, 448, 3] bytes
//   bench_operations --json SAMPLES      one turn for operations_bench.py, which lets torchvision take turns
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "augment/policy.h"
#include "bench/measure.h"
#include "core/random.h"

namespace {

using namespace deda;
using namespace deda::bench;

// Of the processor, so that a busy machine spoils ratios less.
template <class Work>
double processor_seconds_of(const Work& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

constexpr int side = 448, pictures = 24, bin = 9;
constexpr std::size_t bytes = std::size_t{side} * side * 3;

// Photograph-like: slopes, waves and noise, dark and light ones.
std::vector<std::vector<std::uint8_t>> make_pictures() {
  std::vector<std::vector<std::uint8_t>> made;
  for (int number = 0; number < pictures; ++number) {
    RandomStream random{1, Purpose::test, 0, static_cast<std::uint64_t>(number)};
    auto& picture = made.emplace_back(bytes);
    std::size_t i = 0;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        for (int c = 0; c < 3; ++c)
          picture[i++] = static_cast<std::uint8_t>(std::clamp(90.0 + 3 * number +
                                                                  60 * std::sin(x * 0.02 * (c + 1) + number) +
                                                                  40 * std::cos(y * 0.03) + random.below(12),
                                                              0.0, 255.0));
      }
    }
  }
  return made;
}

// Seconds of one application, the picture being fetched before, as composition leaves it in the cache.
double seconds_an_operation(augment::Operation operation,
                            const std::vector<std::vector<std::uint8_t>>& originals,
                            std::vector<std::uint8_t>& work, augment::OperationScratch& scratch) {
  const float magnitude =
      augment::magnitude_of(operation, augment::MagnitudeRange::randaugment, bin, side, side);
  double seconds = 0;
  for (int i = 0; i < pictures; ++i) {
    std::memcpy(work.data(), originals[static_cast<std::size_t>(i)].data(), bytes);
    const float signed_magnitude = augment::has_sign(operation) && i % 2 == 1 ? -magnitude : magnitude;
    seconds += processor_seconds_of(
        [&] { augment::apply(operation, signed_magnitude, side, side, work.data(), scratch); });
  }
  return seconds / pictures;
}

// The same of whole samples, as drawn.
double seconds_a_sample(int samples, const std::vector<std::vector<std::uint8_t>>& originals,
                        std::vector<std::uint8_t>& work, augment::OperationScratch& scratch) {
  augment::AugmentConfig config;
  config.policy = augment::Policy::randaugment;
  double seconds = 0;
  for (int i = 0; i < samples; ++i) {
    std::memcpy(work.data(), originals[static_cast<std::size_t>(i % pictures)].data(), bytes);
    seconds += processor_seconds_of([&] {
      const auto draws = augment::decide_policy(config, 7, 1, static_cast<std::uint64_t>(i), side, side);
      augment::apply_policy(draws, side, side, work.data(), scratch);
    });
  }
  return seconds / samples;
}

}  // namespace

int main(int argc, char** argv) {
  const auto originals = make_pictures();
  if (argc > 2 && std::string{argv[1]} == "--pictures") {
    std::ofstream file(argv[2], std::ios::binary);
    for (const auto& picture : originals)
      file.write(reinterpret_cast<const char*>(picture.data()), static_cast<std::streamsize>(bytes));
    return file.good() ? 0 : 1;
  }
  const bool json = argc > 2 && std::string{argv[1]} == "--json";
  const int samples = std::max(1, std::atoi(json ? argv[2] : argc > 1 ? argv[1] : "560"));
  constexpr int turns = 9;
  std::vector<std::uint8_t> work(bytes);
  augment::OperationScratch scratch;
  seconds_a_sample(56, originals, work, scratch);
  if (json) {
    std::printf("{\"sample\": %.9f", seconds_a_sample(samples, originals, work, scratch));
    for (int k = 0; k < augment::operations_to_draw; ++k) {
      const auto operation = static_cast<augment::Operation>(k);
      std::printf(", \"%s\": %.9f", std::string{augment::name_of(operation)}.c_str(),
                  seconds_an_operation(operation, originals, work, scratch));
    }
    std::printf("}\n");
    return 0;
  }
  std::printf("RandAugment on 448 x 448 samples on one core, processor time, median of %d turns, load %.1f\n",
              turns, load_average());
  std::vector<double> whole;
  for (int turn = 0; turn < turns; ++turn)
    whole.push_back(seconds_a_sample(samples, originals, work, scratch));
  std::printf("%-52s %10.0f samples/s\n", "two operations a sample, as drawn", 1 / median(whole));
  for (int k = 0; k < augment::operations_to_draw; ++k) {
    const auto operation = static_cast<augment::Operation>(k);
    std::vector<double> seconds;
    for (int turn = 0; turn < turns; ++turn)
      seconds.push_back(seconds_an_operation(operation, originals, work, scratch));
    std::printf("%-52s %10.1f microseconds\n", std::string{augment::name_of(operation)}.c_str(),
                1e6 * median(seconds));
  }
  return 0;
}

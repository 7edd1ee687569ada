// Counter-based random numbers: every draw is a pure function of (seed, purpose, epoch, sample, draw).
// Why: samples, pixels and labels must not depend on ranks, threads, restarts or order (design, promise 1).
// Philox4x32-10 (Salmon et al., SC 2011, "Parallel random numbers: as easy as 1, 2, 3").
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

namespace deda {

// One Philox4x32-10 block: 128 random bits from a 128-bit counter and a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  constexpr std::uint32_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
  constexpr std::uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{multiplier0} * counter[0];
    const std::uint64_t product1 = std::uint64_t{multiplier1} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += weyl0;
    key[1] += weyl1;
  }
  return counter;
}

// What a number is drawn for. The values are part of results: never renumber, only append.
enum class Purpose : std::uint16_t {
  shuffle = 1,       // order of the samples in an epoch
  combination = 2,   // De-DA's draws for one sample
  natural_crop = 3,  // crop and flip of a natural image
  initial_weights = 4,
  few_shot = 5,
  toy_dataset = 6,
  grabcut = 7,
  rand_augment = 8,
  textual_inversion = 9,
  generation_noise = 10,
  peer_method = 11,
  pretraining = 12,
  bootstrap = 13,        // of study reports
  held_out = 14,         // training pictures to choose settings by
  generative_edit = 15,  // which edits a generative peer makes
  edited_picture = 16,   // whether an edit takes the place of a training picture, and which
  fractal = 17,          // what a fractal picture looks like
  fractal_file = 18,     // which picture of a folder is the fractal
  tuning = 19,           // of a diffusion model on a dataset's pictures
  test = 999,
};

// A stream of draws for one (seed, purpose, epoch, sample). Draw n is the same whenever and wherever it is
// asked for; the object only counts n. Cheap to make (no state to warm up).
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, Purpose purpose, std::uint32_t epoch, std::uint64_t sample)
      : seed_{seed}, epoch_{epoch}, sample_{sample}, purpose_{static_cast<std::uint16_t>(purpose)} {}

  // Draw number `n`, independent of the position of the stream: 32 random bits.
  std::uint32_t bits_at(std::uint32_t n) const {
    const auto block = philox4x32(
        {n / 4, epoch_, static_cast<std::uint32_t>(sample_), static_cast<std::uint32_t>(sample_ >> 32)},
        {static_cast<std::uint32_t>(seed_) ^ (std::uint32_t{purpose_} << 16),
         static_cast<std::uint32_t>(seed_ >> 32) ^ (std::uint32_t{purpose_} * 0x9E3779B9u)});
    return block[n % 4];
  }
  std::uint32_t bits() { return bits_at(next_++); }
  // Uniform in [0, 1): 24 bits, so that it is exact in float as well.
  double uniform() { return static_cast<double>(bits() >> 8) * 0x1.0p-24; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // Uniform integer in [0, n), n >= 1; the bias of the multiply method is below n / 2^32.
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>((std::uint64_t{bits()} * n) >> 32);
  }
  bool chance(double probability) { return uniform() < probability; }
  // Standard normal by Box-Muller; takes two draws.
  double normal() {
    const double u = (static_cast<double>(bits() >> 8) + 1.0) * 0x1.0p-24;
    const double v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }
  std::uint32_t position() const { return next_; }

 private:
  std::uint64_t seed_;
  std::uint32_t epoch_;
  std::uint64_t sample_;
  std::uint16_t purpose_;
  std::uint32_t next_ = 0;
};

// Fisher-Yates permutation of 0..n-1 drawn from the stream.
inline std::vector<std::uint32_t> permutation(std::uint32_t n, RandomStream stream) {
  std::vector<std::uint32_t> order(n);
  for (std::uint32_t i = 0; i < n; ++i) order[i] = i;
  for (std::uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[stream.below(i)]);
  return order;
}

}  // namespace deda

#include "core/sha256.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <vector>

#include "core/error.h"

namespace deda {
namespace {

constexpr std::size_t block_bytes = 64, rounds = 64;

// First 32 bits of the fractions of cube roots (rounds) and square roots (start) of the first primes.
struct Constants {
  std::array<std::uint32_t, rounds> of_round{};
  std::array<std::uint32_t, 8> start{};
  Constants() {
    std::size_t found = 0;
    for (std::uint32_t n = 2; found < rounds; ++n) {
      bool prime = true;
      for (std::uint32_t d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
      if (!prime) continue;
      of_round[found] = fraction(std::cbrt(static_cast<long double>(n)));
      if (found < start.size()) start[found] = fraction(std::sqrt(static_cast<long double>(n)));
      ++found;
    }
  }
  static std::uint32_t fraction(long double x) {
    return static_cast<std::uint32_t>((x - std::floor(x)) * 0x1p32L);
  }
};

class Sha256 {
 public:
  void add(const std::uint8_t* bytes, std::size_t count) {
    total_ += count;
    while (count > 0) {
      const auto part = std::min(count, block_bytes - filled_);
      std::memcpy(block_.data() + filled_, bytes, part);
      filled_ += part;
      bytes += part;
      count -= part;
      if (filled_ == block_bytes) {
        mix();
        filled_ = 0;
      }
    }
  }
  std::string finish() {
    const std::uint64_t bits = total_ * 8;
    const std::uint8_t one = 0x80, zero = 0;
    add(&one, 1);
    while (filled_ != block_bytes - sizeof bits) add(&zero, 1);
    for (int shift = 56; shift >= 0; shift -= 8) {
      const auto byte = static_cast<std::uint8_t>(bits >> shift);
      add(&byte, 1);
    }
    std::string hex;
    for (const auto word : state_) hex += fmt::format("{:08x}", word);
    return hex;
  }

 private:
  static const Constants& constants() {
    static const Constants all;
    return all;
  }
  void mix() {
    std::array<std::uint32_t, rounds> w{};
    for (std::size_t i = 0; i < 16; ++i)
      w[i] = static_cast<std::uint32_t>(block_[4 * i]) << 24 |
             static_cast<std::uint32_t>(block_[4 * i + 1]) << 16 |
             static_cast<std::uint32_t>(block_[4 * i + 2]) << 8 | block_[4 * i + 3];
    for (std::size_t i = 16; i < rounds; ++i) {
      const auto a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3)) + w[i - 7] +
             (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10));
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t i = 0; i < rounds; ++i) {
      const auto first = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                         constants().of_round[i] + w[i];
      const auto second =
          (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + first;
      d = c;
      c = b;
      b = a;
      a = first + second;
    }
    const std::array<std::uint32_t, 8> added{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += added[i];
  }

  std::array<std::uint32_t, 8> state_ = constants().start;
  std::array<std::uint8_t, block_bytes> block_{};
  std::size_t filled_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Sha256 sum;
  sum.add(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return sum.finish();
}

std::string sha256_of_file(const std::filesystem::path& path) {
  constexpr std::size_t piece = 1u << 20;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError("cannot be opened", path.string(), "Check the path and the permissions.");
  Sha256 sum;
  std::vector<std::uint8_t> bytes(piece);
  do {
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(piece));
    sum.add(bytes.data(), static_cast<std::size_t>(file.gcount()));
  } while (file);
  if (file.bad()) throw IoError("cannot be read", path.string());
  return sum.finish();
}

}  // namespace deda

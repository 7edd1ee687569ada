#include "report/cut_out_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/error.h"

namespace deda::report {
namespace {

constexpr int opaque = 128;            // alpha from here on counts as object
constexpr double identical_db = 99.0;  // PSNR of equal pictures, instead of infinity

double on_grey(const std::uint8_t* pixel, int channel) {
  constexpr double grey = 127.5;
  const double alpha = pixel[3] / 255.0;
  return alpha * pixel[channel] + (1 - alpha) * grey;
}

}  // namespace

Change change_of(const io::Image& before, const io::Image& after) {
  if (before.channels != 4 || after.channels != 4 || before.height != after.height ||
      before.width != after.width)
    throw DataError(fmt::format("cut-outs of {} x {} x {} and {} x {} x {} cannot be compared", before.height,
                                before.width, before.channels, after.height, after.width, after.channels));
  double squares = 0;
  std::int64_t either = 0, both = 0;
  for (std::size_t i = 0; i < before.pixels.size(); i += 4) {
    const bool was = before.pixels[i + 3] >= opaque, is = after.pixels[i + 3] >= opaque;
    if (!was && !is) continue;
    ++either;
    both += was && is;
    for (int c = 0; c < 3; ++c) {
      const double difference = on_grey(&before.pixels[i], c) - on_grey(&after.pixels[i], c);
      squares += difference * difference;
    }
  }
  if (either == 0) return {identical_db, 0};
  const double mean_square = squares / (3.0 * static_cast<double>(either));
  return {
      mean_square > 0 ? std::min(identical_db, 10 * std::log10(255.0 * 255.0 / mean_square)) : identical_db,
      static_cast<double>(both) / static_cast<double>(either)};
}

}  // namespace deda::report

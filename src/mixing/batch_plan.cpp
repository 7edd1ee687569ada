#include "mixing/batch_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace deda::mixing {

RandomStream stream_of(const BatchNumber& number, Decision decision) {
  constexpr unsigned bits_for_steps = 40;  // an epoch of 10^12 steps
  const auto sample = (std::uint64_t{static_cast<std::uint32_t>(decision)} << bits_for_steps) | number.step;
  return {number.seed, Purpose::peer_method, number.epoch, sample};
}

double draw_gamma(RandomStream& stream, double a) {
  if (a < 1) {
    // Gamma(a) = Gamma(a + 1) * U^(1/a).
    const double above = draw_gamma(stream, a + 1);
    return above * std::pow(1.0 - stream.uniform(), 1.0 / a);
  }
  const double d = a - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = stream.normal();
    const double root = 1.0 + c * x;
    const double u = 1.0 - stream.uniform();
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

namespace {

// Of Gamma(a, 1). For small a most draws are below the smallest double; their logarithms are not, and their
// ratios count.
double draw_log_gamma(RandomStream& stream, double a) {
  if (a >= 1) return std::log(draw_gamma(stream, a));
  const double above = draw_gamma(stream, a + 1);
  return std::log(above) + std::log(1.0 - stream.uniform()) / a;
}

}  // namespace

double draw_beta(RandomStream& stream, double a) {
  if (a < 1) {
    const double x = draw_log_gamma(stream, a), y = draw_log_gamma(stream, a);
    return 1.0 / (1.0 + std::exp(y - x));
  }
  const double x = draw_gamma(stream, a), y = draw_gamma(stream, a);
  return x / (x + y);
}

std::vector<double> draw_dirichlet(RandomStream& stream, double a, std::size_t count) {
  std::vector<double> shares(count);
  for (double& share : shares) share = draw_log_gamma(stream, a);
  const double largest = *std::max_element(shares.begin(), shares.end());
  for (double& share : shares) share = std::exp(share - largest);
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share /= sum;
  return shares;
}

Box box_around(double lambda, std::int64_t centre_y, std::int64_t centre_x, std::int64_t side) {
  const auto width = static_cast<std::int64_t>(static_cast<double>(side) * std::sqrt(1.0 - lambda));
  const auto half = width / 2;
  const auto within = [side](std::int64_t place) { return std::clamp<std::int64_t>(place, 0, side); };
  return {within(centre_y - half), within(centre_y + half), within(centre_x - half), within(centre_x + half)};
}

void mix_labels(const LabelWeights& weights, const float* own, const float* partner, std::size_t classes,
                float* mixed) {
  for (std::size_t c = 0; c < classes; ++c) {
    const bool counts = (own[c] >= 0 || weights.own <= 0) && (partner[c] >= 0 || weights.partner <= 0);
    mixed[c] = counts ? static_cast<float>(weights.own * std::max(0.0f, own[c]) +
                                           weights.partner * std::max(0.0f, partner[c]))
                      : -1.0f;
  }
}

}  // namespace deda::mixing

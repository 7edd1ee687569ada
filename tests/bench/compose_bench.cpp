// How fast samples are composed at the paper's size (448 pixels), against a composer made of OpenCV's float
// matrices on the same pictures: once from decoded pictures, once decoding JPEG and PNG each time, as
// training from loose files would. Ratios of one run, the two taking turns; machine's memcpy beside them.
// bench_compose [samples per turn]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <utility>
#include <vector>

#include "augment/combination.h"
#include "augment/composer.h"
#include "bench/measure.h"
#include "core/random.h"
#include "io/pictures/image_codec.h"
#include "io/pictures/resize.h"

namespace {

using namespace deda;
using namespace deda::bench;

constexpr int items = 24, classes = 4, pairs = 9;
constexpr double target_decoded = 10, target_files = 25;

// Photograph-like pictures of 500 x 375 and objects of about 300 x 250 with soft edges.
struct Material {
  std::deque<io::Image> cdps, cips;
  std::vector<std::vector<std::uint8_t>> cdp_files, cip_files;
  std::vector<augment::PreparedCdp> prepared,
      prepared_as_cut;  // edges of 30 pixels; of 2 to 3, as decoupling cuts
  std::vector<io::Image> canvases;
  augment::PartPool pool;
  Material() {
    std::vector<std::int32_t> ids;
    std::vector<augment::PartPool::ItemParts> parts;
    for (int item = 0; item < items; ++item) {
      io::Image cip(375, 500, 3), cdp(250 + item, 300, 4);
      RandomStream random{1, Purpose::test, 0, static_cast<std::uint64_t>(item)};
      for (int y = 0; y < cip.height; ++y) {
        for (int x = 0; x < cip.width; ++x) {
          for (int c = 0; c < 3; ++c)
            cip.row(y)[3 * x + c] = static_cast<std::uint8_t>(110 + 60 * std::sin(x * 0.02 * (c + 1) + item) +
                                                              40 * std::cos(y * 0.03) + random.below(12));
        }
      }
      for (int y = 0; y < cdp.height; ++y) {
        for (int x = 0; x < cdp.width; ++x) {
          const double dx = (x - 150) / 148.0, dy = (y - cdp.height / 2.0) / (cdp.height / 2.0),
                       edge = (1 - dx * dx - dy * dy) * 60;
          for (int c = 0; c < 3; ++c)
            cdp.row(y)[4 * x + c] =
                static_cast<std::uint8_t>(130 + 80 * std::sin(x * 0.1 + c) + random.below(20));
          cdp.row(y)[4 * x + 3] = static_cast<std::uint8_t>(std::clamp(edge * 10, 0.0, 255.0));
        }
      }
      cip_files.push_back(io::encode_jpeg(cip, 90));
      cdp_files.push_back(io::encode_png(cdp));
      cdps.push_back(std::move(cdp));
      cips.push_back(std::move(cip));
      const augment::PartView view{cdps.back().height, cdps.back().width, 4, cdps.back().pixels, 0.6};
      prepared.push_back(augment::prepare_cdp(view));
      io::Image as_cut = cdps.back();
      for (std::size_t i = 3; i < as_cut.pixels.size(); i += 4)
        as_cut.pixels[i] = static_cast<std::uint8_t>(std::clamp(12 * (as_cut.pixels[i] - 128) + 128, 0, 255));
      prepared_as_cut.push_back(augment::prepare_cdp({as_cut.height, as_cut.width, 4, as_cut.pixels, 0.6}));
      canvases.push_back(io::resize_shorter_side(cips.back(), 512));
      ids.push_back(item % classes);
      parts.push_back({{view}, {cips.back().height, cips.back().width, 3, cips.back().pixels, 0}});
    }
    pool = augment::PartPool(std::move(ids), std::move(parts));
  }
};

cv::Mat mat_of(const io::Image& image) {
  return {image.height, image.width, CV_8UC(image.channels), const_cast<std::uint8_t*>(image.pixels.data())};
}

// The straightforward composer: float matrices, cv::resize, warpAffine, blend by matrix expressions, back to
// 8 bit.
void paste_by_matrices(cv::Mat& canvas, const cv::Mat& rgba, double longer, double degrees, bool flip, int x,
                       int y) {
  cv::Mat part;
  rgba.convertTo(part, CV_32FC4, 1 / 255.0);
  if (flip) cv::flip(part, part, 1);
  const double scale = longer / std::max(part.cols, part.rows);
  cv::resize(part, part, {}, scale, scale, cv::INTER_AREA);
  const cv::Mat turn = cv::getRotationMatrix2D({part.cols / 2.0f, part.rows / 2.0f}, degrees, 1.0);
  cv::warpAffine(part, part, turn, part.size(), cv::INTER_LINEAR);
  std::vector<cv::Mat> channels;
  cv::split(part, channels);
  cv::Mat alpha, colour;
  cv::merge(std::vector<cv::Mat>{channels[3], channels[3], channels[3]}, alpha);
  cv::merge(std::vector<cv::Mat>{channels[0], channels[1], channels[2]}, colour);
  cv::Mat place = canvas(cv::Rect(std::min(x, canvas.cols - part.cols), std::min(y, canvas.rows - part.rows),
                                  part.cols, part.rows));
  cv::Mat blended = colour.mul(alpha) + place.mul(cv::Scalar(1, 1, 1) - alpha);
  blended.copyTo(place);
}

void compose_by_matrices(const augment::Draws& draws, const cv::Mat& cip, const cv::Mat& first,
                         const cv::Mat* second, int side, std::uint8_t* pixels) {
  cv::Mat canvas;
  cip.convertTo(canvas, CV_32FC3, 1 / 255.0);
  const double scale = 512.0 / std::min(canvas.cols, canvas.rows);
  cv::resize(canvas, canvas, {}, scale, scale, cv::INTER_LINEAR);
  canvas = canvas(cv::Rect(draws.crop_x % (canvas.cols - side + 1), draws.crop_y % (canvas.rows - side + 1),
                           side, side))
               .clone();
  const augment::CombinationDraws& made = *augment::combination_of(draws);
  paste_by_matrices(canvas, first, made.u1 * side, made.angle1, made.flip1, made.box1[0], made.box1[1]);
  if (second != nullptr)
    paste_by_matrices(canvas, *second, made.u2 * side, made.angle2, made.flip2, made.box2[0], made.box2[1]);
  if (draws.flip) cv::flip(canvas, canvas, 1);
  canvas.convertTo(cv::Mat(side, side, CV_8UC3, pixels), CV_8UC3, 255);
}

}  // namespace

int main(int argc, char** argv) {
  const int samples = argc > 1 ? std::max(1, std::atoi(argv[1])) : 120;
  // The allocator stays as it is: a composer of matrices would not tune it (with core/allocator.h it is up to
  // twice as fast; ours takes no memory).
  cv::setNumThreads(1);
  Material material;
  augment::AugmentConfig paper;
  paper.p_aug = 1;
  const int side = static_cast<int>(paper.crop);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3),
      copy(pixels.size());
  augment::ComposerScratch scratch;
  std::vector<augment::Draws> made(static_cast<std::size_t>(samples));
  const auto ours = [&](const augment::RowKernels& kernels, const augment::AugmentConfig& config,
                        const std::vector<augment::PreparedCdp>& prepared) {
    for (int i = 0; i < samples; ++i) {
      const std::uint32_t epoch = static_cast<std::uint32_t>(1 + i / items);
      const std::uint64_t sample = static_cast<std::uint64_t>(i % items);
      augment::Draws& draws = made[static_cast<std::size_t>(i)];
      draws = augment::decide(config, material.pool, 7, epoch, sample);
      const auto& combination = *augment::combination_of(draws);
      augment::compose(config, augment::Choices{7, epoch, sample},
                       material.canvases[static_cast<std::size_t>(combination.cip)], prepared[sample],
                       combination.mix >= 0 ? &prepared[static_cast<std::size_t>(combination.mix)] : nullptr,
                       kernels, scratch, draws, pixels.data());
    }
  };
  const auto matrices = [&](bool decode) {
    for (const augment::Draws& draws : made) {
      const auto& combination = *augment::combination_of(draws);
      const auto cdp = [&](std::int64_t item) {
        return decode ? cv::imdecode(material.cdp_files[static_cast<std::size_t>(item)], cv::IMREAD_UNCHANGED)
                      : mat_of(material.cdps[static_cast<std::size_t>(item)]);
      };
      const cv::Mat cip = decode ? cv::imdecode(material.cip_files[static_cast<std::size_t>(combination.cip)],
                                                cv::IMREAD_COLOR)
                                 : mat_of(material.cips[static_cast<std::size_t>(combination.cip)]);
      const cv::Mat first = cdp(draws.index),
                    second = combination.mix >= 0 ? cdp(combination.mix) : cv::Mat();
      compose_by_matrices(draws, cip, first, combination.mix >= 0 ? &second : nullptr, side, pixels.data());
    }
  };
  ours(augment::best_kernels(), paper, material.prepared);
  matrices(false);
  std::vector<double> rate_ours, rate_plain, rate_decoded, rate_files, ratio_decoded, ratio_files, copies;
  for (int pair = 0; pair < pairs; ++pair) {
    const double a = seconds_of([&] { ours(augment::best_kernels(), paper, material.prepared); }),
                 p = seconds_of([&] { ours(augment::plain_kernels(), paper, material.prepared); });
    const double b = seconds_of([&] { matrices(false); }), c = seconds_of([&] { matrices(true); });
    rate_ours.push_back(samples / a);
    rate_plain.push_back(samples / p);
    rate_decoded.push_back(samples / b);
    rate_files.push_back(samples / c);
    ratio_decoded.push_back(b / a);
    ratio_files.push_back(c / a);
    copies.push_back(200.0 * static_cast<double>(pixels.size()) / seconds_of([&] {
                       for (int i = 0; i < 200; ++i) {
                         std::memcpy(copy.data(), pixels.data(), pixels.size());
                         pixels[0] ^= copy[1];
                       }
                     }) /
                     1e9);
  }
  // What soft edges cost: the same samples with and without them.
  constexpr double edge_sigmas[] = {0.7, 1.0, 2.0};
  constexpr int crops[] = {448, 224, 96};
  std::vector<std::pair<std::string, double>> edge_costs;
  for (const int crop : crops) {
    augment::AugmentConfig hard = paper;
    hard.crop = crop;
    for (const double sigma : edge_sigmas) {
      augment::AugmentConfig soft = hard;
      soft.edge_sigma = sigma;
      std::vector<double> ratios;
      for (int pair = 0; pair < pairs; ++pair) {
        const double without =
            seconds_of([&] { ours(augment::best_kernels(), hard, material.prepared_as_cut); });
        ratios.push_back(seconds_of([&] { ours(augment::best_kernels(), soft, material.prepared_as_cut); }) /
                         without);
      }
      edge_costs.emplace_back("time with augment.edge_sigma = " + std::to_string(sigma).substr(0, 3) +
                                  " over without, crop " + std::to_string(crop),
                              median(ratios));
    }
  }
  const double load = load_average();
  std::printf(
      "composing 448 x 448 samples on one core (half with two CDPs), median of %d turns, load %.1f, memcpy "
      "%.1f GB/s\n",
      pairs, load, median(copies));
  std::printf("%-52s %10.0f samples/s\n",
              augment::has_avx2() ? "deda, AVX2, parts prepared" : "deda, plain, parts prepared",
              median(rate_ours));
  std::printf("%-52s %10.0f samples/s\n", "deda, plain loops", median(rate_plain));
  std::printf("%-52s %10.0f samples/s\n", "float matrices, pictures decoded", median(rate_decoded));
  std::printf("%-52s %10.0f samples/s\n", "float matrices, decoding JPEG and PNG", median(rate_files));
  std::printf("%-52s %10.1f (target %.0f: %s)\n", "ratio to float matrices", median(ratio_decoded),
              target_decoded, median(ratio_decoded) >= target_decoded ? "reached" : "missed");
  std::printf("%-52s %10.1f (target %.0f: %s)\n", "ratio to float matrices with decoding",
              median(ratio_files), target_files, median(ratio_files) >= target_files ? "reached" : "missed");
  for (const auto& [what, ratio] : edge_costs) std::printf("%-52s %10.2f\n", what.c_str(), ratio);
  return 0;
}

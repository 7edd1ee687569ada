#include "diffusion/transparent/measure_calibration.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/parallel.h"
#include "diffusion/transparent/framing.h"
#include "diffusion/transparent/transparent_autoencoder.h"
#include "diffusion/transparent/transparent_pixels.h"

namespace deda::diffusion {
namespace {

constexpr std::array<double, 3> gains{0.0, 1.0, 300.0};
constexpr int boundary_pixels = 8;

struct Choice {
  double gain = 1;
  bool scaled = false;
  DecoderPixel pixel = DecoderPixel::clipped;
};

cv::Mat alpha_of(const io::Image& rgba) {
  cv::Mat alpha(rgba.height, rgba.width, CV_8UC1);
  for (int y = 0; y < rgba.height; ++y) {
    for (int x = 0; x < rgba.width; ++x) alpha.at<std::uint8_t>(y, x) = rgba.row(y)[4 * x + 3];
  }
  return alpha;
}

io::Image with_alpha(io::Image rgba, const cv::Mat& alpha) {
  for (int y = 0; y < rgba.height; ++y) {
    for (int x = 0; x < rgba.width; ++x) rgba.row(y)[4 * x + 3] = alpha.at<std::uint8_t>(y, x);
  }
  return rgba;
}

// The CDP with a binary mask, and with that mask's edge softened over a hundredth of the picture.
std::array<io::Image, 2> hard_and_soft(const io::Image& rgba) {
  cv::Mat hard = alpha_of(rgba) >= opaque, soft;
  cv::GaussianBlur(hard, soft, {}, std::max(1.0, rgba.width / 100.0));
  return {with_alpha(rgba, hard), with_alpha(rgba, soft)};
}

// Pixels within boundary_pixels of the mask's boundary, on either side.
cv::Mat near_boundary(const cv::Mat& alpha) {
  const cv::Mat mask = alpha >= opaque;
  const auto size = 2 * boundary_pixels + 1;
  const auto disc = cv::getStructuringElement(cv::MORPH_ELLIPSE, {size, size});
  cv::Mat grown, shrunk;
  cv::dilate(mask, grown, disc);
  cv::erode(mask, shrunk, disc);
  return grown & ~shrunk;
}

struct Errors {
  double alpha = 0, boundary_alpha = 0, colour = 0;
};

Errors compare(const io::Image& source, const io::Image& decoded) {
  const cv::Mat boundary = near_boundary(alpha_of(source));
  Errors sum;
  std::int64_t pixels = 0, boundary_count = 0, inside = 0;
  for (int y = 0; y < source.height; ++y) {
    for (int x = 0; x < source.width; ++x) {
      const std::uint8_t *a = source.row(y) + 4 * x, *b = decoded.row(y) + 4 * x;
      const double gap = std::abs(a[3] - b[3]) / 255.0;
      ++pixels;
      sum.alpha += gap;
      if (boundary.at<std::uint8_t>(y, x) != 0) {
        ++boundary_count;
        sum.boundary_alpha += gap;
      }
      if (a[3] < opaque) continue;
      inside += 3;
      for (int c = 0; c < 3; ++c) sum.colour += std::abs(a[c] - b[c]) / 255.0;
    }
  }
  const auto mean = [](double total, std::int64_t count) {
    return count > 0 ? total / static_cast<double>(count) : 0.0;
  };
  return {mean(sum.alpha, pixels), mean(sum.boundary_alpha, boundary_count), mean(sum.colour, inside)};
}

// Errors of one CDP, mean of its two masks, for every choice.
std::vector<Errors> measure(const DiffusionModel& model, const io::Image& cdp,
                            const std::vector<Choice>& choices, std::int64_t votes) {
  std::vector<Errors> errors(choices.size());
  for (const auto& source : hard_and_soft(cdp)) {
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const auto latents = encode_cdps(model, {source}, choices[i].gain).latents;
      const auto decoded = decode_cdps(model, latents, {choices[i].scaled, choices[i].pixel, votes});
      // Numbers that are not finite are as wrong as can be.
      const auto found = decoded.argb.isfinite().all().item<bool>()
                             ? compare(source, rgba_pictures(decoded.argb).front())
                             : Errors{1, 1, 1};
      errors[i].alpha += found.alpha / 2;
      errors[i].boundary_alpha += found.boundary_alpha / 2;
      errors[i].colour += found.colour / 2;
    }
  }
  return errors;
}

std::vector<CalibrationRow> measure_all(const comm::Communicator& ranks, const DiffusionModel& model,
                                        const std::vector<io::Image>& cdps,
                                        const std::vector<Choice>& choices, std::int64_t votes, int workers) {
  constexpr std::size_t numbers = 3;
  std::vector<double> all(cdps.size() * choices.size() * numbers, 0.0);
  ranks.agree("calibrating", [&] {
    parallel_for(workers, static_cast<std::size_t>(ranks.rank()), cdps.size(),
                 static_cast<std::size_t>(ranks.size()), [&](std::size_t cdp) {
                   at::set_num_threads(1);  // a setting of the thread
                   const auto errors = measure(model, cdps[cdp], choices, votes);
                   for (std::size_t i = 0; i < choices.size(); ++i) {
                     double* at = all.data() + (cdp * choices.size() + i) * numbers;
                     at[0] = errors[i].alpha;
                     at[1] = errors[i].boundary_alpha;
                     at[2] = errors[i].colour;
                   }
                 });
  });
  all = ranks.all_reduce(std::move(all), comm::Reduction::sum);  // the others' entries are 0: exact
  std::vector<CalibrationRow> rows;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    CalibrationRow row{choices[i].gain, choices[i].scaled, choices[i].pixel};
    for (std::size_t cdp = 0; cdp < cdps.size(); ++cdp) {
      const double* at = all.data() + (cdp * choices.size() + i) * numbers;
      row.alpha += at[0] / static_cast<double>(cdps.size());
      row.boundary_alpha += at[1] / static_cast<double>(cdps.size());
      row.colour += at[2] / static_cast<double>(cdps.size());
    }
    rows.push_back(row);
  }
  return rows;
}

const char* latent_name(bool scaled) {
  return scaled ? "scaled" : "unscaled";
}

}  // namespace

std::string_view name_of(DecoderPixel pixel) {
  return pixel == DecoderPixel::clipped ? "clipped" : pixel == DecoderPixel::raw ? "raw" : "8bit";
}

CalibrationResult measure_calibration(const comm::Communicator& ranks, const DiffusionModel& model,
                                      const std::vector<io::Image>& cdps, DecoderPixel pixel,
                                      std::int64_t votes, int workers) {
  if (cdps.empty()) throw DataError("there is no CDP to calibrate with", {}, "Run `deda decouple` first.");
  cv::setNumThreads(1);
  std::vector<Choice> choices;
  for (const double gain : gains) {
    for (const bool scaled : {false, true}) choices.push_back({gain, scaled, pixel});
  }
  CalibrationResult result;
  result.cdps = cdps.size();
  result.rows = measure_all(ranks, model, cdps, choices, votes, workers);
  // Where it makes no difference (an offset network that gives 0) the official programs' choice stays.
  constexpr double difference = 1e-6;
  const double official_gain = model.is_sdxl() ? 300.0 : 1.0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (choices[i].gain == official_gain && !choices[i].scaled) result.chosen = i;
  }
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (result.rows[i].score() < result.rows[result.chosen].score() - difference) result.chosen = i;
  }
  std::vector<Choice> others;
  for (const auto other : {DecoderPixel::clipped, DecoderPixel::raw, DecoderPixel::eight_bit}) {
    if (other != pixel) others.push_back({choices[result.chosen].gain, choices[result.chosen].scaled, other});
  }
  for (const auto& row : measure_all(ranks, model, cdps, others, votes, workers)) result.rows.push_back(row);
  return result;
}

std::string to_text(const CalibrationResult& result) {
  std::string text = fmt::format(
      "{} CDPs, masks hard and softened, mean absolute errors\n{:>11}  {:<9} {:<8} {:>8} {:>12} {:>8} "
      "{:>8}\n",
      result.cdps, "offset_gain", "latent", "pixel", "alpha", "at boundary", "colour", "score");
  for (std::size_t i = 0; i < result.rows.size(); ++i) {
    const auto& row = result.rows[i];
    text += fmt::format("{:>11}  {:<9} {:<8} {:>8.5f} {:>12.5f} {:>8.5f} {:>8.5f}{}\n", row.offset_gain,
                        latent_name(row.scaled_latent), name_of(row.pixel), row.alpha, row.boundary_alpha,
                        row.colour, row.score(), i == result.chosen ? "  chosen" : "");
  }
  return text;
}

void write_calibration(const std::filesystem::path& folder, const CalibrationResult& result,
                       const std::string& model_identity) {
  const auto& chosen = result.rows.at(result.chosen);
  nlohmann::ordered_json json{
      {"model_identity", model_identity},
      {"chosen",
       {{"offset_gain", chosen.offset_gain}, {"decoder_latent", latent_name(chosen.scaled_latent)}}},
      {"cdps", result.cdps},
      {"rows", nlohmann::ordered_json::array()}};
  std::string csv =
      "offset_gain,decoder_latent,decoder_pixel,alpha_mae,boundary_alpha_mae,colour_mae,score\n";
  for (const auto& row : result.rows) {
    json["rows"].push_back({{"offset_gain", row.offset_gain},
                            {"decoder_latent", latent_name(row.scaled_latent)},
                            {"decoder_pixel", name_of(row.pixel)},
                            {"alpha_mae", row.alpha},
                            {"boundary_alpha_mae", row.boundary_alpha},
                            {"colour_mae", row.colour}});
    csv +=
        fmt::format("{},{},{},{:.6f},{:.6f},{:.6f},{:.6f}\n", row.offset_gain, latent_name(row.scaled_latent),
                    name_of(row.pixel), row.alpha, row.boundary_alpha, row.colour, row.score());
  }
  make_folder(folder);
  write_atomically(folder / "calibration.json", json.dump(1) + "\n");
  write_atomically(folder / "calibration.csv", csv);
}

}  // namespace deda::diffusion

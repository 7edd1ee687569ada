#include "training/cdp_evaluation.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "io/pictures/alpha_pyramid.h"
#include "io/pictures/resize.h"
#include "training/device.h"
#include "training/normalise.h"

namespace deda::training {
namespace {

constexpr int grey = 127;
constexpr double longer_side_share = 0.7;

void count_chunk(models::Classifier& network, const std::vector<io::RecordView>& chunk, int side,
                 at::Device device, const TrainConfig& config, std::map<std::int32_t, CdpScore>& scores) {
  std::vector<std::uint8_t> pixels;
  for (const auto& record : chunk) {
    const io::Image picture = cdp_on_grey(record, side);
    pixels.insert(pixels.end(), picture.pixels.begin(), picture.pixels.end());
  }
  const Normaliser normalise(device, use_channels_last(config, device));
  const auto pictures = normalise(
      at::from_blob(pixels.data(), {static_cast<std::int64_t>(chunk.size()), side, side, 3}, at::kByte)
          .to(device));
  const auto predicted = network.forward(pictures).argmax(1).to(at::kCPU).contiguous();
  for (std::size_t i = 0; i < chunk.size(); ++i) {
    auto& score = scores[chunk[i].info.version];
    score.version = chunk[i].info.version;
    score.strength = std::max(score.strength, chunk[i].info.strength);
    score.correct += predicted.const_data_ptr<std::int64_t>()[i] == chunk[i].info.class_id;
    ++score.total;
  }
}

}  // namespace

io::Image cdp_on_grey(const io::RecordView& record, int side) {
  io::Image colour(record.info.height, record.info.width, 3), alpha(record.info.height, record.info.width, 1);
  for (std::size_t i = 0; i < alpha.pixels.size(); ++i) {
    std::copy_n(&record.pixels[4 * i], 3, &colour.pixels[3 * i]);
    alpha.pixels[i] = record.pixels[4 * i + 3];
  }
  colour = io::fill_by_alpha_pyramid(colour, alpha);  // no dark fringe from hidden colours when resized
  const double scale = longer_side_share * side / std::max(record.info.height, record.info.width);
  const int height = std::max(1, static_cast<int>(std::lround(record.info.height * scale)));
  const int width = std::max(1, static_cast<int>(std::lround(record.info.width * scale)));
  colour = io::resize(colour, height, width);
  alpha = io::resize(alpha, height, width);
  io::Image picture(side, side, 3);
  std::fill(picture.pixels.begin(), picture.pixels.end(), static_cast<std::uint8_t>(grey));
  const int top = (side - height) / 2, left = (side - width) / 2;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int a = alpha.row(y)[x];
      for (int c = 0; c < 3; ++c) {
        auto& value = picture.row(y + top)[3 * (x + left) + c];
        value = static_cast<std::uint8_t>((colour.row(y)[3 * x + c] * a + value * (255 - a) + 127) / 255);
      }
    }
  }
  return picture;
}

std::vector<CdpScore> evaluate_cdps(models::Classifier& network, const io::StoreReader& store, int side,
                                    const comm::Communicator& ranks, at::Device device,
                                    const TrainConfig& config) {
  std::map<std::int32_t, CdpScore> scores;
  std::int64_t versions = 0;
  for (std::size_t i = 0; i < store.size(); ++i)
    versions = std::max<std::int64_t>(versions, store.at(i).info.version + 1);
  const bool was_training = network.is_training();
  network.eval();
  ranks.agree("evaluation of CDPs", [&] {
    const c10::InferenceMode no_gradients;
    const AutocastScope autocast(config.precision, device.type());
    std::vector<io::RecordView> chunk;
    const auto flush = [&] {
      if (!chunk.empty()) count_chunk(network, chunk, side, device, config, scores);
      chunk.clear();
    };
    for (auto i = static_cast<std::size_t>(ranks.rank()); i < store.size();
         i += static_cast<std::size_t>(ranks.size())) {
      const auto record = store.at(i);
      if (record.info.kind != io::RecordKind::cdp) continue;
      chunk.push_back(record);
      if (static_cast<std::int64_t>(chunk.size()) == config.evaluation_batch) flush();
    }
    flush();
  });
  network.train(was_training);
  std::vector<CdpScore> all;
  for (std::int32_t version = 0; version < versions; ++version) {
    const auto& mine = scores[version];
    const auto counts =
        ranks.all_reduce(std::vector<std::int64_t>{mine.correct, mine.total}, comm::Reduction::sum);
    const auto strength = ranks.all_reduce(std::vector<double>{mine.strength}, comm::Reduction::maximum);
    if (counts[1] > 0) all.push_back({version, static_cast<float>(strength[0]), counts[0], counts[1]});
  }
  return all;
}

}  // namespace deda::training

// Segment Anything ViT-H and GroundingDINO base with random weights in memory.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <vector>

#include "device/figures/diffusion_parts.h"
#include "device/figures/operation_count.h"
#include "device/figures/random_weights.h"
#include "device/figures/rates.h"
#include "device/figures/subcommands.h"
#include "models/grounding_dino/grounding_dino.h"
#include "models/sam/image_encoder.h"
#include "models/sam/sam.h"
#include "training/device.h"

namespace deda::figures {
namespace {

using training::Precision;
constexpr double pictures_per_second_wanted = 60;  // embedded by ViT-H

struct Way {
  const char* name;
  at::ScalarType type;
  Precision precision;
};
constexpr Way bf16{"bf16", at::kBFloat16, Precision::fp32}, tf32{"tf32", at::kFloat, Precision::tf32},
    fp32{"fp32", at::kFloat, Precision::fp32};

models::SamConfig sam_config(bool small) {
  models::SamConfig config;
  auto& vision = config.vision;
  if (small) {
    vision.hidden_size = 32;
    vision.layers = vision.heads = 2;
    vision.mlp_dim = 64;
    vision.image_size = config.prompt.image_size = 128;
    vision.window_size = 3;
    vision.global_layers = {1};
    config.prompt.grid = vision.grid();
  } else {  // ViT-H
    vision.hidden_size = 1280;
    vision.layers = 32;
    vision.heads = 16;
    vision.mlp_dim = 5120;
    vision.global_layers = {7, 15, 23, 31};
  }
  return config;
}

models::GroundingDinoConfig grounding_dino_config(bool small) {
  models::GroundingDinoConfig config;
  if (small) {
    config.backbone.embed_dim = 16;
    config.backbone.window_size = 4;
    config.backbone.depths = {1, 1, 1, 1};
    config.backbone.heads = {1, 2, 2, 2};
    config.text.hidden_size = 32;
    config.text.layers = config.text.heads = 2;
    config.text.intermediate_size = 64;
    config.width = 32;
    config.queries = 20;
    config.encoder_layers = config.decoder_layers = 2;
    config.encoder_heads = config.decoder_heads = 4;
    config.encoder_inner = config.decoder_inner = 64;
  } else {  // base
    config.backbone.embed_dim = 128;
    config.backbone.window_size = 12;
    config.backbone.depths = {2, 2, 18, 2};
    config.backbone.heads = {4, 8, 16, 32};
  }
  return config;
}

template <class Network, class Config>
std::shared_ptr<Network> made_up(const Workbench& bench, const Config& config, at::ScalarType type) {
  const at::NoGradGuard no_gradients;
  auto network = models::build_as(type, [&] { return std::make_shared<Network>(config); });
  network->to(bench.device());
  fill_with_random_weights(*network, 1);
  models::freeze(*network);
  return network;
}

double rate_of(const Rates& rates, const Way& way) {
  return way.precision == Precision::tf32 ? rates.tf32 : rates.of(way.type);
}

// The encoder's ways of attending with relative positions (models/sam_image_encoder.h).
struct PositionWay {
  models::PositionFolding folding;
  const char* variant;
};
constexpr PositionWay position_ways[] = {{models::PositionFolding::nowhere, ".added"},
                                         {models::PositionFolding::global_layers, ".folded_where_global"},
                                         {models::PositionFolding::everywhere, ".folded"}};

class UsingFolding {
 public:
  explicit UsingFolding(models::PositionFolding folding) : before_{models::fold_positions(folding)} {}
  ~UsingFolding() { models::fold_positions(before_); }
  UsingFolding(const UsingFolding&) = delete;
  UsingFolding& operator=(const UsingFolding&) = delete;
  models::PositionFolding before() const { return before_; }

 private:
  models::PositionFolding before_;
};

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const auto wide = b.to(at::kDouble);
  return ((a.to(at::kDouble) - wide).norm() / wide.norm()).item<double>();
}

// Those that the program does not choose, on the same pictures.
void print_other_position_ways(const Workbench& bench, const std::string& name, std::int64_t batch,
                               const std::function<at::Tensor()>& embed) {
  const auto embeddings = embed();
  for (const auto& way : position_ways) {
    const UsingFolding using_folding(way.folding);
    if (using_folding.before() == way.folding) continue;
    at::Tensor other;
    bench.print_rate(name + way.variant, static_cast<double>(batch), "images/s", [&] { other = embed(); },
                     {.goal = pictures_per_second_wanted});
    print({name + way.variant + ".difference", relative_difference(other, embeddings), "relative error"});
  }
}

void print_sam(const Workbench& bench, const Rates& rates, const Way& way) {
  const auto config = sam_config(bench.small());
  const std::string prefix = "segmenters.sam_vit_h.";
  std::shared_ptr<models::Sam> network;
  bench.attempt(fmt::format("{}{}", prefix, way.name),
                [&] { network = made_up<models::Sam>(bench, config, way.type); });
  if (!network) return;
  training::apply_precision(way.precision);
  const at::NoGradGuard no_gradients;
  at::Tensor embeddings;
  for (const std::int64_t batch : {1, 8}) {
    const auto name = fmt::format("{}embed.b{}.{}", prefix, batch, way.name);
    bench.attempt(name, [&] {
      const auto pixels = at::randn({batch, 3, config.image_size(), config.image_size()}, bench.of(way.type));
      const auto pass = [&] { embeddings = network->embed(pixels); };
      const double operations = [&] {
        // Without what folding adds to them.
        const UsingFolding plain(models::PositionFolding::nowhere);
        return operations_in(pass) / static_cast<double>(batch);
      }();
      const double rate =
          bench.print_rate(name, static_cast<double>(batch), "images/s", pass,
                           {.goal = pictures_per_second_wanted,
                            .note = fmt::format("{:.2f} TFLOP a picture", 1e-12 * operations)});
      print_share(name, rate * operations, rate_of(rates, way));
      if (!at::isfinite(embeddings).all().item<bool>())
        print_error(name + ".finite", "the embeddings are not finite");
      if (bench.on_gpu() && way.type != at::kFloat)
        print_other_position_ways(bench, name, batch, [&] { return network->embed(pixels); });
    });
  }
  const std::int64_t boxes = 4;
  const auto name = fmt::format("{}boxes{}.{}", prefix, boxes, way.name);
  bench.attempt(name, [&] {
    if (!embeddings.defined()) throw std::runtime_error("there is no embedding");
    const auto corners =
        at::rand({1, boxes, 4}, bench.of(at::kFloat)) * static_cast<double>(config.image_size());
    models::Sam::Output output;
    bench.print_rate(name, static_cast<double>(boxes), "boxes/s", [&] {
      output = network->segment(embeddings.slice(0, 0, 1), {corners, {}, {}, {}}, /*multimask=*/false);
    });
    if (!at::isfinite(output.pred_masks).all().item<bool>())
      print_error(name + ".finite", "the masks are not finite");
  });
  training::apply_precision(Precision::fp32);
}

void print_grounding_dino(const Workbench& bench, const Rates& rates, const Way& way) {
  const std::string prefix = "segmenters.grounding_dino_base.";
  std::shared_ptr<models::GroundingDino> network;
  bench.attempt(fmt::format("{}{}", prefix, way.name), [&] {
    network = made_up<models::GroundingDino>(bench, grounding_dino_config(bench.small()), way.type);
  });
  if (!network) return;
  training::apply_precision(way.precision);
  const at::NoGradGuard no_gradients;
  // A photograph of 4 to 3 as the processor resizes it; "a bird." between BERT's marks.
  const std::int64_t height = bench.small() ? 128 : 800, width = bench.small() ? 160 : 1066;
  const auto prompt = at::tensor({101, 1037, 4743, 1012, 102}, at::kLong).unsqueeze(0).to(bench.device());
  for (const std::int64_t batch : {1, 4}) {
    const auto name = fmt::format("{}b{}.{}", prefix, batch, way.name);
    bench.attempt(name, [&] {
      const auto pixels = at::randn({batch, 3, height, width}, bench.of(way.type));
      // Once per prompt, as the detector keeps it.
      const auto text = network->encode_text(prompt.repeat({batch, 1}));
      models::GroundingDino::Output output;
      const auto pass = [&] { output = network->forward(pixels, {}, text); };
      const double operations = operations_in(pass) / static_cast<double>(batch);
      const double rate = bench.print_rate(
          name, static_cast<double>(batch), "images/s", pass,
          {.note = fmt::format("{} x {} pixels, {:.2f} TFLOP a picture", height, width, 1e-12 * operations)});
      print_share(name, rate * operations, rate_of(rates, way));
      if (!at::isfinite(output.pred_boxes).all().item<bool>())
        print_error(name + ".finite", "the boxes are not finite");
    });
  }
  training::apply_precision(Precision::fp32);
}

}  // namespace

int print_segmenter_figures(const Options& options) {
  const Workbench bench(options);
  const auto rates = print_rates(bench, "segmenters");
  print_sam(bench, rates, bf16);
  print_grounding_dino(bench, rates, bf16);
  print_grounding_dino(bench, rates, tf32);
  print_sam(bench, rates, tf32);
  print_grounding_dino(bench, rates, fp32);
  print_sam(bench, rates, fp32);
  print_copy_rates(bench, "segmenters");
  return 0;
}

}  // namespace deda::figures

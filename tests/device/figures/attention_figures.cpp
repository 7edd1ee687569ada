#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "device/figures/diffusion_parts.h"

namespace deda::figures {
namespace {

// One of the UNet's attentions: places that look, places that are looked at, numbers a head.
struct Shape {
  const char* name;
  std::int64_t queries, keys, width, padded_width;
};

struct Kernel {
  const char* name;
  bool flash, efficient, cudnn, math;
};

// Which kernels scaled_dot_product_attention may choose from, while in scope.
class OnlyKernel {
 public:
  explicit OnlyKernel(const Kernel& kernel) { set(kernel); }
  ~OnlyKernel() { set({"any", true, true, true, true}); }
  OnlyKernel(const OnlyKernel&) = delete;
  OnlyKernel& operator=(const OnlyKernel&) = delete;

 private:
  static void set(const Kernel& kernel) {
    auto& context = at::globalContext();
    context.setSDPUseFlash(kernel.flash);
    context.setSDPUseMemEfficient(kernel.efficient);
    context.setSDPUseCuDNN(kernel.cudnn);
    context.setSDPUseMath(kernel.math);
  }
};

class AttentionFigures {
 public:
  AttentionFigures(const Workbench& bench, const Shape& shape, at::ScalarType type)
      : bench_{bench}, shape_{shape}, type_{type}, rows_{bench.small() ? 1 : 24}, heads_{8} {}

  void print() const {
    print_one("", shape_.width, Padding::none);
    print_one(".padded", shape_.padded_width, Padding::before);
    print_one(".padded_each_time", shape_.padded_width, Padding::each_time);
    if (!bench_.on_gpu()) return;
    for (const Kernel& kernel :
         {Kernel{"flash", true, false, false, false}, Kernel{"efficient", false, true, false, false},
          Kernel{"cudnn", false, false, true, false}}) {
      const OnlyKernel only(kernel);
      print_one(fmt::format(".{}", kernel.name), shape_.width, Padding::none);
    }
  }

 private:
  enum class Padding { none, before, each_time };

  // [rows, heads, places, width], strided as attend() has it.
  at::Tensor projection(std::int64_t places) const {
    return at::randn({rows_, places, heads_, shape_.width}, bench_.of(type_)).transpose(1, 2);
  }
  static at::Tensor padded(const at::Tensor& x, std::int64_t width) {
    return at::constant_pad_nd(x, {0, width - x.size(3)});
  }

  void print_one(const std::string& variant, std::int64_t width, Padding padding) const {
    const auto name = fmt::format("diffusion.attention.{}.{}{}", shape_.name, name_of(type_), variant);
    bench_.attempt(name, [&] {
      std::vector<at::Tensor> inputs{projection(shape_.queries), projection(shape_.keys),
                                     projection(shape_.keys)};
      if (padding == Padding::before) {
        for (auto& input : inputs) input = padded(input, width);
      }
      const auto attend = [&] {
        auto q = inputs[0], k = inputs[1], v = inputs[2];
        if (padding == Padding::each_time) {
          q = padded(q, width);
          k = padded(k, width);
          v = padded(v, width);
        }
        // The scale of the true width.
        return at::scaled_dot_product_attention(q, k, v, {}, 0.0, false,
                                                1.0 / std::sqrt(static_cast<double>(shape_.width)));
      };
      {
        const at::NoGradGuard no_gradients;
        // Of the true width, so that padding earns nothing by itself.
        const double operations = 4.0 * static_cast<double>(rows_ * heads_) *
                                  static_cast<double>(shape_.queries * shape_.keys * shape_.width);
        const double seconds = bench_.seconds_per_call([&] { attend(); });
        figures::print({name, 1e-12 * operations / seconds, "TFLOP/s"});
      }
      for (auto& input : inputs) input = input.detach().requires_grad_(true);
      const auto gradient = at::randn_like(attend());
      const double seconds =
          bench_.seconds_per_call([&] { torch::autograd::grad({attend()}, inputs, {gradient}); });
      figures::print({name + ".both_ways", 1e3 * seconds, "ms"});
    });
  }

  const Workbench& bench_;
  Shape shape_;
  at::ScalarType type_;
  std::int64_t rows_, heads_;
};

}  // namespace

namespace {

// Stable Diffusion 1.5 at 64 x 64 latents: the two finest levels, and looking at a text.
constexpr Shape finest{"self4096x40", 4096, 4096, 40, 64}, of_text{"text4096x40", 4096, 77, 40, 64},
    second{"self1024x80", 1024, 1024, 80, 128};

void print_shape(const Workbench& bench, Shape shape, at::ScalarType type) {
  constexpr std::int64_t small_places = 64;
  if (bench.small()) shape.queries = shape.keys = small_places;
  AttentionFigures(bench, shape, type).print();
}

}  // namespace

void print_finest_attention(const Workbench& bench) {
  print_shape(bench, finest, at::kBFloat16);
}

void print_other_attention(const Workbench& bench) {
  for (const auto& shape : {of_text, second}) print_shape(bench, shape, at::kBFloat16);
  if (!bench.on_gpu()) return;
  for (const auto& shape : {finest, of_text, second}) print_shape(bench, shape, at::kHalf);
}

}  // namespace deda::figures

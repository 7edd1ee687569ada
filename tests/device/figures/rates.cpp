#include "device/figures/rates.h"

#include <ATen/ATen.h>

#include "training/device.h"

namespace deda::figures {
namespace {

double print_matrix_rate(const Workbench& bench, const std::string& name, at::ScalarType type,
                         training::Precision precision) {
  double rate = 0;
  bench.attempt(name, [&] {
    const at::NoGradGuard no_gradients;
    const std::int64_t side = bench.small() ? 256 : 8192;
    training::apply_precision(precision);
    const auto a = at::randn({side, side}, bench.of(type)), b = at::randn({side, side}, bench.of(type));
    auto c = at::empty({side, side}, bench.of(type));
    const auto cube = static_cast<double>(side) * static_cast<double>(side) * static_cast<double>(side);
    rate = 2 * cube / bench.seconds_per_call([&] { at::mm_out(c, a, b); }, /*briefly=*/true);
    print({name, rate * 1e-12, "TFLOP/s", {}, std::to_string(side) + " a side"});
  });
  training::apply_precision(training::Precision::fp32);
  return rate;
}

}  // namespace

void print_copy_rates(const Workbench& bench, const std::string& subcommand) {
  const auto prefix = subcommand + ".rate.copy";
  const std::int64_t bytes = bench.small() ? std::int64_t{1} << 20 : std::int64_t{1} << 30;
  bench.attempt(prefix + ".device", [&] {
    const auto from = at::randint(0, 255, {bytes}, bench.of(at::kByte));
    auto to = at::empty_like(from);
    const double seconds = bench.seconds_per_call([&] { to.copy_(from); });
    print({prefix + ".device", 2e-9 * static_cast<double>(bytes) / seconds, "GB/s", {}, "read and written"});
  });
  if (!bench.on_gpu()) return;
  const std::int64_t host_bytes = bytes / 8;
  for (const bool pinned : {true, false}) {
    const auto name = prefix + (pinned ? ".to_device.pinned" : ".to_device.pageable");
    bench.attempt(name, [&] {
      auto from = at::randint(0, 255, {host_bytes}, at::kByte);
      if (pinned) from = from.pin_memory();
      auto to = at::empty({host_bytes}, bench.of(at::kByte));
      const double seconds = bench.seconds_per_call([&] { to.copy_(from, /*non_blocking=*/pinned); });
      print({name, 1e-9 * static_cast<double>(host_bytes) / seconds, "GB/s"});
    });
  }
}

Rates print_rates(const Workbench& bench, const std::string& prefix) {
  using training::Precision;
  Rates rates;
  const auto matrix = prefix + ".rate.matrix.";
  rates.bf16 = print_matrix_rate(bench, matrix + "bf16", at::kBFloat16, Precision::fp32);
  rates.fp16 = print_matrix_rate(bench, matrix + "fp16", at::kHalf, Precision::fp32);
  rates.tf32 = print_matrix_rate(bench, matrix + "tf32", at::kFloat, Precision::tf32);
  rates.fp32 = print_matrix_rate(bench, matrix + "fp32", at::kFloat, Precision::fp32);
  return rates;
}

void print_share(const std::string& name, double operations_per_second, double rate) {
  if (!(rate > 0)) return print_error(name + ".rate_share", "the matrix-product rate is not known");
  print({name + ".rate_share", operations_per_second / rate, "of the matrix-product rate"});
}

}  // namespace deda::figures

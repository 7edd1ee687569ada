// Co-Mixup (Kim, Choo, Jeong, Song 2021): all pictures of the global batch at once, as many outputs as
// inputs. The choice is made on the host (mixing/co_mixup.h, sources there), the same on every rank; each
// gathers its share of the outputs here.
#include <ATen/ATen.h>

#include "mixing/co_mixup.h"
#include "training/mixing/device_mixer.h"
#include "training/mixing/picture_saliency.h"

namespace deda::training {
namespace {

// Row and column of each map's peak window, [n, 2] float32 (small whole numbers).
at::Tensor peaks_of(const at::Tensor& maps) {
  const auto n = maps.size(0), side = maps.size(2);
  if (!maps.is_cpu()) {
    const auto window = std::min<std::int64_t>(8, side);
    const auto averages = at::avg_pool2d(maps.unsqueeze(1), {window, window}, {1, 1}).reshape({n, -1});
    const auto across = side - window + 1;
    const auto place = averages.argmax(1);
    return at::stack({place.div(across, "floor"), place.remainder(across)}, 1).to(at::kFloat);
  }
  auto peaks = at::empty({n, 2}, at::kFloat);
  const auto values = maps.contiguous();
  for (std::int64_t i = 0; i < n; ++i) {
    const auto pixels = static_cast<std::size_t>(side * side);
    const auto window = mixing::find_peak_window(
        {values.const_data_ptr<float>() + static_cast<std::size_t>(i) * pixels, pixels},
        static_cast<int>(side));
    peaks.mutable_data_ptr<float>()[2 * i] = static_cast<float>(window.row);
    peaks.mutable_data_ptr<float>()[2 * i + 1] = static_cast<float>(window.column);
  }
  return peaks;
}

class CoMixup final : public DeviceMixer {
 public:
  MixOutput mix(const MixInput& input, const NetworkView& network) override {
    const auto& settings = input.settings;
    const auto grid = input.plan.blocks;
    const auto maps = magnitudes(network.gradients_by_picture(input.pictures.narrow(0, 0, input.size),
                                                              input.labels.narrow(0, 0, input.size),
                                                              settings["clean_weight"]));
    const auto saliency =
        shares_of_cells(network.of_all_places(averages_over(maps, grid))).to(at::kCPU).contiguous();
    const auto peaks = network.of_all_places(peaks_of(maps).to(maps.device())).to(at::kCPU).contiguous();
    MixOutput output;
    output.usable = at::isfinite(saliency).all().item<bool>();
    if (!output.usable) return output;
    const auto count = input.global_size, cells = grid * grid;
    std::vector<mixing::PeakWindow> windows(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < windows.size(); ++i) {
      windows[i].row = static_cast<int>(peaks.const_data_ptr<float>()[2 * i]);
      windows[i].column = static_cast<int>(peaks.const_data_ptr<float>()[2 * i + 1]);
    }
    const std::vector<std::int32_t> start(input.plan.start.begin(), input.plan.start.end());
    const auto& mixture =
        solver_.solve(static_cast<int>(count), static_cast<int>(grid),
                      {saliency.const_data_ptr<float>(), static_cast<std::size_t>(saliency.numel())},
                      mixing::peak_distances(windows), input.plan.weights, start,
                      {.beta = settings["beta"],
                       .gamma = settings["gamma"],
                       .eta = settings["eta"],
                       .threshold = settings["tau"],
                       .omega = settings["omega"],
                       .iterations = static_cast<int>(settings.whole("iterations"))});
    if (input.size == 0) return output;

    // Rows of this rank's outputs: of every cell the rows of the two pictures that it shows.
    const auto n = input.size;
    auto first = at::empty({n, cells}, at::kLong), second = at::empty({n, cells}, at::kLong);
    auto weights = at::empty({n, count}, at::kFloat);
    std::vector<std::int64_t> row_of(static_cast<std::size_t>(count));
    for (std::size_t row = 0; row < input.places.size(); ++row)
      row_of[input.places[row]] = static_cast<std::int64_t>(row);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto place = static_cast<std::int64_t>(input.places[static_cast<std::size_t>(i)]);
      for (std::int64_t cell = 0; cell < cells; ++cell) {
        const auto k = static_cast<std::size_t>(place * cells + cell);
        first.mutable_data_ptr<std::int64_t>()[i * cells + cell] =
            row_of[static_cast<std::size_t>(mixture.first[k])];
        second.mutable_data_ptr<std::int64_t>()[i * cells + cell] =
            row_of[static_cast<std::size_t>(mixture.second[k])];
      }
      for (std::int64_t picture = 0; picture < count; ++picture)
        weights.mutable_data_ptr<float>()[i * count + row_of[static_cast<std::size_t>(picture)]] =
            mixture.label_weights[static_cast<std::size_t>(place * count + picture)];
    }
    const auto device = input.pictures.device();
    output.pictures = shown(input.pictures, first.to(device), second.to(device), grid);
    const auto there = weights.to(device).to(input.labels.scalar_type());
    // An entry that does not count in a picture that is shown does not count in the output.
    const auto left_out = there.matmul((input.labels < 0).to(there.scalar_type())) > 0;
    output.labels = there.matmul(input.labels.clamp_min(0)).masked_fill(left_out, -1.0);
    if (input.traced) {
      output.trace["mix.assignment"] = by_place(weights, row_of);
      output.trace["mix.first"] = whole_batch(input, first);
      output.trace["mix.second"] = whole_batch(input, second);
      output.trace["mix.weights"] = at::tensor(input.plan.weights, at::kDouble);
      output.trace["mix.batch"] = input.pictures.index_select(0, at::tensor(row_of).to(device));
    }
    return output;
  }

 private:
  // Outputs [n, 3, S, S] of pictures [rows, 3, S, S] and, per cell, two rows of them.
  static at::Tensor shown(const at::Tensor& pictures, const at::Tensor& first, const at::Tensor& second,
                          std::int64_t grid) {
    const auto n = first.size(0), channels = pictures.size(1), cell = pictures.size(2) / grid;
    const auto cut = pictures.reshape({pictures.size(0), channels, grid, cell, grid, cell})
                         .permute({0, 2, 4, 1, 3, 5})
                         .reshape({pictures.size(0) * grid * grid, channels, cell, cell});
    const auto numbers = at::arange(grid * grid, first.options());
    const auto of = [&](const at::Tensor& rows) {
      return cut.index_select(0, (rows * (grid * grid) + numbers).flatten());
    };
    return (0.5 * (of(first) + of(second)))
        .reshape({n, grid, grid, channels, cell, cell})
        .permute({0, 3, 1, 4, 2, 5})
        .reshape({n, channels, grid * cell, grid * cell});
  }
  static at::Tensor by_place(const at::Tensor& by_row, const std::vector<std::int64_t>& row_of) {
    return by_row.index_select(1, at::tensor(row_of));
  }
  // Places instead of rows.
  static at::Tensor whole_batch(const MixInput& input, const at::Tensor& rows) {
    const std::vector<std::int64_t> places(input.places.begin(), input.places.end());
    return at::tensor(places).index_select(0, rows.flatten()).reshape(rows.sizes());
  }

  mixing::CoMixupSolver solver_;
};

}  // namespace

std::unique_ptr<DeviceMixer> make_comixup();
std::unique_ptr<DeviceMixer> make_comixup() {
  return std::make_unique<CoMixup>();
}

}  // namespace deda::training

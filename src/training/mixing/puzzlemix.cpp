// PuzzleMix (Kim, Choo, Song 2020): blocks of two pictures by a graph cut over saliency, and moved to where
// they show. The choice is made on the host (mixing/puzzle_mix.h, sources there), pictures are gathered here.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mixing/puzzle_mix.h"
#include "training/mixing/device_mixer.h"
#include "training/mixing/picture_saliency.h"

namespace deda::training {
namespace {

using mixing::PuzzleGrid;
using mixing::PuzzleMixture;

// Blocks [n, blocks^2, 3, s, s] of pictures [n, 3, S, S], and back.
at::Tensor to_blocks(const at::Tensor& pictures, std::int64_t blocks) {
  const auto n = pictures.size(0), channels = pictures.size(1), block = pictures.size(2) / blocks;
  return pictures.reshape({n, channels, blocks, block, blocks, block})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({n, blocks * blocks, channels, block, block});
}
at::Tensor from_blocks(const at::Tensor& cut, std::int64_t blocks) {
  const auto n = cut.size(0), channels = cut.size(2), block = cut.size(3);
  return cut.reshape({n, blocks, blocks, channels, block, block})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape({n, channels, blocks * block, blocks * block});
}

// Blocks [n, blocks^2, 3, s, s] where `source` [n, blocks^2] says; 0 where it says -1.
at::Tensor moved(const at::Tensor& cut, const at::Tensor& source) {
  const auto index = source.clamp_min(0).reshape({source.size(0), source.size(1), 1, 1, 1}).expand_as(cut);
  const auto there = (source >= 0).to(cut.scalar_type()).reshape({source.size(0), source.size(1), 1, 1, 1});
  return cut.gather(1, index) * there;
}

class PuzzleMix final : public DeviceMixer {
 public:
  MixOutput mix(const MixInput& input, const NetworkView& network) override {
    const auto side = static_cast<int>(input.pictures.size(-1));
    const auto& settings = input.settings;
    const auto grid = mixing::puzzle_grid(side, static_cast<int>(input.plan.blocks),
                                          static_cast<int>(settings.whole("neighbourhood")));
    const auto own_pictures = input.pictures.narrow(0, 0, input.size);
    const auto own_labels = input.labels.narrow(0, 0, input.size);
    const auto maps =
        magnitudes(network.gradients_by_picture(own_pictures, own_labels, settings["clean_weight"]));
    const auto saliency =
        shares_of_cells(network.of_all_places(averages_over(maps, grid.blocks))).to(at::kCPU).contiguous();
    MixOutput output;
    output.usable = at::isfinite(saliency).all().item<bool>();
    if (!output.usable || input.size == 0) return output;

    const auto own = own_places(input);
    std::vector<std::uint32_t> partners;
    for (const auto place : own) partners.push_back(input.plan.partner[place]);
    const auto rows = rows_at(input, partners);
    const auto row_numbers = rows.to(at::kCPU);
    const auto cells = at::avg_pool2d(input.pictures, {grid.cell, grid.cell}).to(at::kCPU).contiguous();

    const auto n = input.size, count = std::int64_t{grid.blocks} * grid.blocks;
    auto share = at::empty({n, count}, at::kFloat);
    auto own_source = at::empty({n, count}, at::kLong), partner_source = at::empty({n, count}, at::kLong);
    const mixing::PuzzleMixParameters parameters{.labels = static_cast<int>(settings.whole("labels")),
                                                 .beta = settings["beta"],
                                                 .gamma = settings["gamma"],
                                                 .eta = settings["eta"],
                                                 .transport = settings.flag("transport"),
                                                 .transport_cost = settings["transport_cost"]};
    const auto picture_of = [&](std::int64_t row, std::uint32_t place) {
      const auto values = static_cast<std::size_t>(cells[0].numel());
      return mixing::PuzzlePicture{
          {saliency.const_data_ptr<float>() + place * count, static_cast<std::size_t>(count)},
          {cells.const_data_ptr<float>() + static_cast<std::size_t>(row) * values, values}};
    };
    at::parallel_for(0, n, 1, [&](std::int64_t begin, std::int64_t end) {
      mixing::PuzzleMixSolver solver;
      for (auto i = begin; i < end; ++i) {
        const auto place = static_cast<std::size_t>(i);
        const auto& mixture =
            solver.solve(grid, picture_of(i, own[place]),
                         picture_of(row_numbers.const_data_ptr<std::int64_t>()[i], partners[place]),
                         input.plan.lambda, parameters);
        std::copy(mixture.share.begin(), mixture.share.end(), share.mutable_data_ptr<float>() + i * count);
        std::copy(mixture.first_source.begin(), mixture.first_source.end(),
                  own_source.mutable_data_ptr<std::int64_t>() + i * count);
        std::copy(mixture.second_source.begin(), mixture.second_source.end(),
                  partner_source.mutable_data_ptr<std::int64_t>() + i * count);
      }
    });

    const auto device = input.pictures.device();
    const auto share_there = share.to(device);
    const auto own_blocks = moved(to_blocks(own_pictures, grid.blocks), own_source.to(device)),
               partner_blocks = moved(to_blocks(input.pictures.index_select(0, rows), grid.blocks),
                                      partner_source.to(device));
    const auto weight = share_there.reshape({n, count, 1, 1, 1});
    output.pictures = from_blocks(weight * own_blocks + (1.0 - weight) * partner_blocks, grid.blocks);
    const auto label_share = share_there.mean(1);
    output.labels =
        mixed_labels(own_labels, input.labels.index_select(0, rows), label_share, 1.0 - label_share);
    if (input.traced) {
      output.trace["mix.mask"] = share.reshape({n, grid.blocks, grid.blocks});
      output.trace["mix.transport"] = own_source.reshape({n, grid.blocks, grid.blocks});
      output.trace["mix.partner_transport"] = partner_source.reshape({n, grid.blocks, grid.blocks});
      output.trace["mix.saliency"] =
          saliency.index_select(0, at::tensor(std::vector<std::int64_t>(own.begin(), own.end())));
      output.trace["mix.grid"] = at::full({1}, grid.blocks, at::kLong);
    }
    return output;
  }
};

}  // namespace

std::unique_ptr<DeviceMixer> make_puzzlemix();
std::unique_ptr<DeviceMixer> make_puzzlemix() {
  return std::make_unique<PuzzleMix>();
}

}  // namespace deda::training

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "device/figures/diffusion_parts.h"
#include "diffusion/generation/generator.h"

namespace deda::figures {
namespace {

// The paper's: on Stable Diffusion 1.5 at 512 pixels, on an H200.
constexpr double images_per_second_wanted = 16;

diffusion::GeneratorSettings paper_settings(const DiffusionBench& parts, std::int64_t cdps) {
  diffusion::GeneratorSettings settings;  // 25 steps, strength 0.4, guidance 7, 3 copies, 8 votes
  settings.resolution = parts.resolution();
  settings.generate.batch_cdps = cdps;
  return settings;
}

// Noise under a disc, as the model's square has it.
diffusion::CdpToEdit made_up_cdp(std::int64_t number, std::int64_t side, std::size_t class_id) {
  io::Image rgba(static_cast<int>(side), static_cast<int>(side), 4);
  const auto noise = at::randint(0, 256, {side, side, 4}, at::kByte);
  const auto radius = side / 3;
  for (std::int64_t y = 0; y < side; ++y) {
    const auto* row = noise[y].const_data_ptr<std::uint8_t>();
    std::copy_n(row, 4 * side, rgba.row(static_cast<int>(y)));
    for (std::int64_t x = 0; x < side; ++x) {
      const auto dx = x - side / 2, dy = y - side / 2;
      rgba.row(static_cast<int>(y))[4 * x + 3] = dx * dx + dy * dy < radius * radius ? 255 : 0;
    }
  }
  return {{std::move(rgba), {0, 0, static_cast<double>(side)}}, class_id, fmt::format("{}.png", number)};
}

struct Edit {
  std::shared_ptr<const diffusion::Generator> generator;
  std::vector<diffusion::CdpToEdit> cdps;
  double images() const {
    return static_cast<double>(generator->settings().generate.copies) * static_cast<double>(cdps.size());
  }
};

Edit made_up_edit(const DiffusionBench& parts, std::int64_t cdps) {
  const std::vector<std::string> class_names{"bird", "car"};
  auto prompts = diffusion::prompts_of_names(*parts.model, "a photo of a {token}", class_names);
  Edit edit;
  edit.generator = std::make_shared<const diffusion::Generator>(parts.model, paper_settings(parts, cdps),
                                                                std::move(prompts));
  for (std::int64_t i = 0; i < cdps; ++i)
    edit.cdps.push_back(made_up_cdp(i, parts.resolution(), static_cast<std::size_t>(i) % class_names.size()));
  return edit;
}

// `threads` units at once, as the stage has two on a GPU. What one of them throws is thrown.
void edit_on_threads(const Edit& edit, int threads) {
  std::vector<std::exception_ptr> problems(static_cast<std::size_t>(threads));
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&edit, &problem = problems[static_cast<std::size_t>(i)]] {
      try {
        edit.generator->edit(edit.cdps);
      } catch (...) {
        problem = std::current_exception();
      }
    });
  }
  for (auto& worker : workers) worker.join();
  for (const auto& problem : problems) {
    if (problem) std::rethrow_exception(problem);
  }
}

}  // namespace

void print_latent_edit(const DiffusionBench& parts, std::int64_t cdps, const std::string& variant) {
  const auto name =
      fmt::format("diffusion.sdedit.cdps{}.latents.{}{}", cdps, name_of(parts.model->unet_dtype), variant);
  parts.bench.attempt(name, [&] {
    const at::NoGradGuard no_gradients;
    const auto edit = made_up_edit(parts, cdps);
    const auto& editor = edit.generator->editor();
    const auto channels = parts.model->unet->config().in_channels;
    const auto sources = at::randn({cdps, channels, parts.latent_side(), parts.latent_side()});
    const auto copies = edit.generator->settings().generate.copies;
    std::vector<diffusion::TextCondition> texts;
    for (std::size_t id : {0, 1}) texts.push_back(edit.generator->prompt_of(id).text);
    std::vector<diffusion::EditRow> rows;
    for (std::int64_t i = 0; i < cdps * copies; ++i)
      rows.push_back({i / copies, edit.cdps[static_cast<std::size_t>(i / copies)].class_id,
                      static_cast<std::uint64_t>(i)});
    at::Tensor edited;
    parts.bench.print_rate(name, edit.images(), "images/s",
                           [&] { edited = editor.edit(sources, texts, rows); });
    if (!at::isfinite(edited).all().item<bool>()) print_error(name + ".finite", "the latents are not finite");
  });
}

void print_edit(const DiffusionBench& parts, std::int64_t cdps, int threads, const std::string& variant) {
  const auto name = fmt::format("diffusion.sdedit.cdps{}.{}{}{}", cdps, name_of(parts.model->unet_dtype),
                                threads > 1 ? fmt::format(".threads{}", threads) : "", variant);
  parts.bench.attempt(name, [&] {
    const auto edit = made_up_edit(parts, cdps);
    parts.bench.print_rate(
        name, edit.images() * threads, "images/s",
        [&] {
          if (threads > 1)
            edit_on_threads(edit, threads);
          else
            edit.generator->edit(edit.cdps);
        },
        {.goal = images_per_second_wanted,
         .note = fmt::format("from pictures to pictures, autoencoder in {}", parts.autoencoder_type())});
  });
}

}  // namespace deda::figures

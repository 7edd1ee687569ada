#include "diffusion/whole/picture_trace.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/files.h"

namespace deda::diffusion {
namespace {

at::Tensor pixel_tensor(const io::Image& picture) {
  return at::tensor(at::ArrayRef<std::uint8_t>(picture.pixels), at::kByte)
      .view({picture.height, picture.width, picture.channels});
}

at::Tensor traced(const at::Tensor& x, std::int64_t row) {
  return x.slice(0, row, row + 1).to(at::kCPU, at::kFloat).contiguous();
}

void add_conditions(models::NamedTensors& tensors, const PictureGenerator& generator, std::size_t text) {
  const auto& with = generator.text(text);
  const auto& without = generator.unconditional();
  const auto both = [](const at::Tensor& a, const at::Tensor& b) {
    return at::cat({a, b}).to(at::kCPU, at::kFloat).contiguous();
  };
  tensors["encoder_hidden_states"] = both(without.states, with.states);
  if (!with.pooled.defined()) return;
  const auto pooled = at::cat({without.pooled, with.pooled});
  tensors["text_embeds"] = both(without.pooled, with.pooled);
  tensors["time_ids"] = generator.model()
                            .added_conditions(pooled, generator.settings().edit.resolution)
                            .time_ids.to(at::kCPU)
                            .contiguous();
}

void add_evaluations(models::NamedTensors& tensors, const RecordedSteps& edited) {
  tensors["sigmas"] = at::tensor(edited.sigmas, at::kFloat);
  for (std::size_t k = 0; k < edited.steps.size(); ++k) {
    const auto& step = edited.steps[k];
    const auto add = [&](const char* name, const at::Tensor& value) {
      if (value.defined()) tensors[fmt::format("step_{:02}.{}", k, name)] = value.contiguous();
    };
    add("timestep", at::tensor({static_cast<float>(step.timestep)}));
    add("sample", step.sample);
    add("noise_pred_uncond", step.unconditional);
    add("noise_pred_image", step.picture);
    add("noise_pred_text", step.conditional);
    add("noise_pred", step.guided);
    add("noise", step.fresh_noise);
    add("prev_sample", step.after);
  }
}

}  // namespace

void write_picture_trace(const std::filesystem::path& file, const PictureGenerator& generator,
                         const PreparedPictures& pictures, const PictureTask& task,
                         const PictureRecord& record, const EditedPicture& edited,
                         const models::NamedTensors& more,
                         const std::map<std::string, std::string>& metadata) {
  const auto& edit = generator.editor(task.strength).settings();
  const bool with_picture = edit.led_by == Guidance::text_and_picture;
  const auto row = static_cast<std::int64_t>(task.picture);
  models::NamedTensors tensors = more;
  tensors["source"] = pixel_tensor(pictures.squares.at(task.picture));
  tensors["vae_feed"] = traced(pictures.encoded.feed, row);
  tensors["mean"] = traced(pictures.encoded.mean, row);
  tensors["std"] = traced(pictures.encoded.deviation, row);
  if (record.posterior_noise.defined()) tensors["posterior_noise"] = record.posterior_noise.contiguous();
  tensors[with_picture ? "image_latents" : "latents_clean"] = record.latents.contiguous();
  tensors["noise"] = record.noise.contiguous();
  add_conditions(tensors, generator, task.text);
  add_evaluations(tensors, record.edited);
  tensors["latents_final"] = record.final_latents.contiguous();
  tensors["image"] = record.image.contiguous();
  if (!edited.picture.empty()) tensors["picture"] = pixel_tensor(edited.picture);
  std::map<std::string, std::string> about{{"schema", "deda-trace-1"},
                                           {"steps", std::to_string(edit.steps)},
                                           {"strength", fmt::format("{}", task.strength)},
                                           {"guidance", fmt::format("{}", edit.guidance)},
                                           {"sampler", std::string{name_of(edit.scheduler)}},
                                           {"resolution", std::to_string(edit.resolution)},
                                           {"seed", std::to_string(task.seed)},
                                           {"layout", generator.model().is_sdxl() ? "sdxl" : "sd15"},
                                           {"outcome", edited.reason.empty() ? "done" : "failed"},
                                           {"reason", edited.reason}};
  if (with_picture) about["image_guidance"] = fmt::format("{}", edit.picture_guidance);
  for (const auto& [key, value] : metadata) about[key] = value;
  make_folder(file.parent_path());
  models::write_tensors(file, tensors, about);
}

}  // namespace deda::diffusion

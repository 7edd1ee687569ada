#include "diffusion/whole/picture_generator.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "device/upload.h"

namespace deda::diffusion {
namespace {

at::Tensor host_copy(const at::Tensor& x) {
  return x.to(at::kCPU, at::kFloat);
}

at::Tensor row_copy(const at::Tensor& x, std::int64_t row) {
  return x.defined() ? x.slice(0, row, row + 1).clone() : at::Tensor{};
}

RecordedSteps steps_of_row(const RecordedSteps& batch, std::int64_t row) {
  RecordedSteps of_row{batch.sigmas, {}};
  for (const auto& step : batch.steps)
    of_row.steps.push_back({step.timestep, row_copy(step.sample, row), row_copy(step.unconditional, row),
                            row_copy(step.conditional, row), row_copy(step.guided, row),
                            row_copy(step.after, row), row_copy(step.fresh_noise, row),
                            row_copy(step.picture, row)});
  return of_row;
}

// Batches as indices of tasks: those of equal strength in their order, the strength that comes first first.
std::vector<std::vector<std::size_t>> batches_of(const std::vector<PictureTask>& tasks, std::int64_t batch) {
  std::vector<std::pair<double, std::vector<std::size_t>>> by_strength;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    auto group = std::find_if(by_strength.begin(), by_strength.end(),
                              [&](const auto& each) { return each.first == tasks[i].strength; });
    if (group == by_strength.end()) group = by_strength.insert(group, {tasks[i].strength, {}});
    group->second.push_back(i);
  }
  std::vector<std::vector<std::size_t>> batches;
  for (const auto& [strength, members] : by_strength) {
    const auto most = batch > 0 ? static_cast<std::size_t>(batch) : members.size();
    for (std::size_t first = 0; first < members.size(); first += most) {
      const auto end = std::min(first + most, members.size());
      batches.emplace_back(members.begin() + static_cast<std::ptrdiff_t>(first),
                           members.begin() + static_cast<std::ptrdiff_t>(end));
    }
  }
  return batches;
}

}  // namespace

PictureGenerator::PictureGenerator(std::shared_ptr<const DiffusionModel> model, PictureSettings settings,
                                   std::vector<TextCondition> texts, TextCondition unconditional)
    : model_{std::move(model)},
      settings_{std::move(settings)},
      texts_{std::move(texts)},
      unconditional_{std::move(unconditional)} {
  std::vector<Problem> problems;
  const auto multiple = model_->size_multiple(), resolution = settings_.edit.resolution;
  if (resolution <= 0 || resolution % multiple != 0)
    problems.push_back(
        {fmt::format("{} is no multiple of {}, as this model's networks need", resolution, multiple),
         "resolution", ""});
  if (settings_.strengths.empty()) problems.push_back({"there is none to edit at", "strengths", ""});
  if (settings_.batch < 0) problems.push_back({"is below 0", "batch", "0 takes all tasks at once."});
  if (settings_.autoencoder_batch < 1) problems.push_back({"is below 1", "autoencoder_batch", ""});
  for (const double strength : settings_.strengths) {
    try {
      if (editors_.empty()) {
        settings_.edit.strength = strength;
        editors_.emplace_back(*model_, settings_.edit, unconditional_);
      } else {
        editors_.push_back(editors_.front().at_strength(strength));
      }
    } catch (const ConfigError& error) {
      for (const auto& problem : error.problems()) {
        // What is wrong at every strength is told once.
        const auto same = [&](const Problem& told) { return to_string(told) == to_string(problem); };
        if (std::none_of(problems.begin(), problems.end(), same)) problems.push_back(problem);
      }
    }
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

const LatentEditor& PictureGenerator::editor(double strength) const {
  for (const auto& editor : editors_) {
    if (editor.settings().strength == strength) return editor;
  }
  throw ModelError(fmt::format("strength {} is none of those that the generator was made for", strength));
}

PreparedPictures PictureGenerator::prepare(const std::vector<io::Image>& pictures) const {
  const auto side = static_cast<int>(settings_.edit.resolution);
  PreparedPictures prepared;
  for (const auto& picture : pictures)
    prepared.squares.push_back(io::resize(picture, side, side, settings_.into_square));
  prepared.encoded = encode_pictures(*model_, prepared.squares, settings_.autoencoder_batch);
  return prepared;
}

std::vector<EditedPicture> PictureGenerator::edit(const PreparedPictures& pictures,
                                                  const std::vector<PictureTask>& tasks,
                                                  std::vector<PictureRecord>* records) const {
  const at::NoGradGuard no_gradients;
  for (const auto& task : tasks) {
    if (task.picture >= pictures.squares.size() || task.text >= texts_.size())
      throw ModelError(fmt::format("a task asks for picture {} of {} and text {} of {}", task.picture,
                                   pictures.squares.size(), task.text, texts_.size()));
  }
  std::vector<EditedPicture> edited(tasks.size());
  if (records != nullptr) records->assign(tasks.size(), {});
  for (const auto& batch : batches_of(tasks, settings_.batch))
    edit_batch(pictures, tasks, batch, edited, records);
  return edited;
}

void PictureGenerator::edit_batch(const PreparedPictures& pictures, const std::vector<PictureTask>& tasks,
                                  const std::vector<std::size_t>& batch, std::vector<EditedPicture>& edited,
                                  std::vector<PictureRecord>* records) const {
  const auto& by = editor(tasks[batch.front()].strength);
  const bool sampled = settings_.edit.led_by == Guidance::text;
  const auto& mean = pictures.encoded.mean;
  const std::vector<std::int64_t> one{1, mean.size(1), mean.size(2), mean.size(3)};
  // Texts of the batch, each once, in order of appearance.
  std::vector<std::size_t> text_numbers;
  std::vector<TextCondition> texts;
  std::vector<EditRow> rows;
  std::vector<std::int64_t> sources;
  std::vector<at::Tensor> noises;
  for (const auto index : batch) {
    const auto& task = tasks[index];
    auto text = std::find(text_numbers.begin(), text_numbers.end(), task.text);
    if (text == text_numbers.end()) {
      texts.push_back(texts_[task.text]);
      text = text_numbers.insert(text, task.text);
    }
    rows.push_back({static_cast<std::int64_t>(rows.size()),
                    static_cast<std::size_t>(text - text_numbers.begin()), task.seed});
    sources.push_back(static_cast<std::int64_t>(task.picture));
    if (sampled) noises.push_back(posterior_noise(task.seed, one));
  }
  const auto drawn = sampled ? at::cat(noises) : at::Tensor{};
  const auto latents = sampled ? sampled_latents(*model_, pictures.encoded, sources, drawn)
                               : mean.index_select(0, device::upload(at::tensor(sources), mean.device()));
  RecordedSteps steps;
  const auto edited_latents =
      by.edit(latents, texts, rows, records != nullptr ? recorder_into(steps) : EditObserver{});
  const auto decoded = decode_pictures(*model_, edited_latents, settings_.autoencoder_batch);
  // All of the batch is on its way before the host waits for it.
  const auto final_latents = host_copy(edited_latents), images = host_copy(decoded);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    const auto image = images.slice(0, row, row + 1);
    auto& result = edited[batch[i]];
    if (at::isfinite(final_latents[row]).all().item<bool>() && at::isfinite(image).all().item<bool>())
      result.picture = rgb_pictures(image).front();
    else
      result.reason = "its numbers are not finite";
    if (records == nullptr) continue;
    (*records)[batch[i]] = {
        row_copy(drawn, row),     row_copy(host_copy(latents), row), edit_noise(rows[i].seed, 0, one),
        steps_of_row(steps, row), row_copy(final_latents, row),      image.clone()};
  }
}

void PictureGenerator::rehearse(std::size_t tasks) const {
  const at::NoGradGuard no_gradients;
  const auto& by = editor(*std::max_element(settings_.strengths.begin(), settings_.strengths.end()));
  const auto side = settings_.edit.resolution / model_->factor();
  const auto sources = at::randn(
      {static_cast<std::int64_t>(tasks), model_->autoencoder->config().latent_channels, side, side});
  std::vector<EditRow> rows;
  for (std::size_t i = 0; i < tasks; ++i) rows.push_back({static_cast<std::int64_t>(i), 0, i});
  const auto latents = by.edit(sources, {unconditional_}, rows);
  // Waits until all of it has been computed.
  const auto images = host_copy(decode_pictures(*model_, latents, settings_.autoencoder_batch));
}

}  // namespace deda::diffusion

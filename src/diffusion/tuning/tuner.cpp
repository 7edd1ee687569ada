#include "diffusion/tuning/tuner.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/parallel.h"
#include "diffusion/prompts.h"
#include "diffusion/sampling/noise.h"

namespace deda::diffusion {
namespace {

// torch.amp.GradScaler's rules.
constexpr double first_scale_of_tuning = 65536, tuning_scale_back = 0.5, tuning_scale_growth = 2;
constexpr std::int64_t tuning_growth_interval = 2000;
// Steps that a GPU may be ahead of what is known of it.
constexpr std::size_t most_steps_unseen = 10;
constexpr double slower_after_failure = 0.1;

std::string of_encoder(const std::string& name, std::size_t encoder) {
  return encoder == 0 ? name : fmt::format("{}_{}", name, encoder + 1);
}

SquareRules square_rules(const TuneConfig& config) {
  return {.resolution = config.resolution, .crop = config.crop, .crop_positions = config.crop_positions};
}

std::uint64_t cache_bytes(const TuneConfig& config) {
  constexpr std::uint64_t megabyte = 1u << 20;
  return static_cast<std::uint64_t>(config.cache_megabytes) * megabyte;
}

void check_tuning(const DiffusionModel& model, const PictureSource& pictures, const TuneSettings& settings) {
  std::vector<Problem> problems;
  if (settings.tune.resolution % model.factor() != 0)
    problems.push_back({fmt::format("{} is no multiple of {}, the pixels of one latent",
                                    settings.tune.resolution, model.factor()),
                        "tune.resolution",
                        {}});
  if (model.sees_pictures())
    problems.push_back({"the UNet wants a picture's latents beside the sample and cannot be tuned",
                        "models.base", "Name a text-to-image model."});
  for (const auto& tokenizer : model.tokenizers) {
    if (!tokenizer.tokens(settings.tune.init_word).empty()) continue;
    problems.push_back(
        {fmt::format("the word \"{}\" has no tokens", settings.tune.init_word), "tune.init_word", {}});
    break;
  }
  if (pictures.size() == 0) problems.push_back({"there is no training picture to tune on", "dataset", {}});
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

void add_rows(models::NamedTensors& tensors, const std::string& name, const at::Tensor& rows) {
  auto& all = tensors[name];
  all = all.defined() ? at::cat({all, rows}) : rows;
}

}  // namespace

std::string tuning_caption(const std::string& name, const std::string& super_class) {
  return "a photo of a " + name + (super_class.empty() ? "" : " " + super_class);
}

Tuner::Tuner(const DiffusionModel& model, const PictureSource& pictures, const TuneSettings& settings,
             TuningShare share)
    : model_{model},
      pictures_{pictures},
      settings_{settings},
      share_{std::move(share)},
      schedule_{model.schedule},
      latents_{model, pictures, square_rules(settings.tune), cache_bytes(settings.tune)},
      draws_{{.seed = settings.seed,
              .batch = settings.tune.batch,
              .pictures = std::max<std::int64_t>(1, static_cast<std::int64_t>(pictures.size())),
              .timesteps = model.schedule.num_train_timesteps,
              .flip = settings.tune.flip}} {
  check_tuning(model, pictures, settings);
  pictures_per_class(pictures, settings.class_names.size());
  std::vector<models::ClipTokenizer> tokenizers(model.tokenizers.begin(), model.tokenizers.end());
  std::vector<std::string> captions;
  for (std::size_t id = 0; id < settings.class_names.size(); ++id) {
    for (auto& tokenizer : tokenizers) tokenizer.add_token(placeholder_of_class(id));
    captions.push_back(tuning_caption(placeholder_of_class(id), settings.super_class));
  }
  captions_ = model.ids_of(tokenizers, captions);
  for (std::size_t encoder = 0; encoder < model.tokenizers.size(); ++encoder) {
    std::vector<at::Tensor> tokens;
    for (const auto id : model.tokenizers[encoder].tokens(settings.tune.init_word))
      tokens.push_back(model.text_encoders[encoder]->token_row(id).to(at::kFloat));
    if (encoder == 0) initial_.tokens = static_cast<std::int64_t>(tokens.size());
    const auto row = tokens.size() == 1 ? tokens.front() : at::stack(tokens).mean(0);
    initial_.row.push_back(row.unsqueeze(0).to(model.device));
  }
  start_try();
}

double Tuner::rate_factor() const {
  return std::pow(slower_after_failure, static_cast<double>(attempt_));
}

void Tuner::start_try() {
  const auto& tune = settings_.tune;
  lora_.reset();  // the UNet carries one at a time
  lora_ = std::make_unique<models::LoraLayers>(
      *model_.unet, models::LoraOptions{.rank = tune.rank, .alpha = tune.alpha, .seed = settings_.seed});
  rows_.clear();
  for (const auto& row : initial_.row)
    rows_.push_back(row.repeat({static_cast<std::int64_t>(settings_.class_names.size()), 1}));
  lora_optimizer_.emplace(std::vector<at::Tensor>{lora_->values()},
                          AdamWOptions{.weight_decay = tune.weight_decay});
  // All words in every step, as the original, which trains the whole table and puts back the rows that are
  // none of its words: words of other classes than the batch's move on by their momentum, and decay.
  row_optimizer_.emplace(rows_, AdamWOptions{.weight_decay = tune.weight_decay});
  step_ = skipped_ = steps_at_scale_ = count_ = 0;
  loss_sum_ = norm_sum_ = 0;
  loss_scale_ = model_.unet_dtype == at::kHalf ? first_scale_of_tuning : 1;
  curve_.clear();
  unseen_.clear();
}

Tuner::Pass Tuner::pass_of(const std::vector<TuningDraw>& draws, std::int64_t first,
                           std::int64_t last) const {
  Pass pass;
  const double scaling = model_.autoencoder->config().scaling_factor;
  std::vector<at::Tensor> means, deviations, posterior_noises, noises;
  std::vector<std::int64_t> timesteps;
  std::map<std::int64_t, std::int64_t> captions;  // class -> place among the distinct ones
  std::vector<std::int64_t> distinct;
  for (std::int64_t i = first; i < last; ++i) {
    const auto& draw = draws[static_cast<std::size_t>(i)];
    const auto posterior = latents_.posterior(draw.picture, draw.place, draw.mirrored);
    means.push_back(posterior.mean);
    deviations.push_back(posterior.deviation);
    posterior_noises.push_back(normal_tensor(posterior.mean.sizes(), draws_.posterior_noise(step_, i)));
    noises.push_back(normal_tensor(posterior.mean.sizes(), draws_.noise(step_, i)));
    timesteps.push_back(draw.timestep);
    const auto id = static_cast<std::int64_t>(pictures_.class_of(draw.picture));
    const auto [caption, is_new] = captions.try_emplace(id, static_cast<std::int64_t>(captions.size()));
    if (is_new) distinct.push_back(id);
    pass.batch.prompts.push_back(caption->second);
    pass.classes.push_back(id);
  }
  pass.mean = at::stack(means);
  pass.deviation = at::stack(deviations);
  pass.posterior_noise = at::stack(posterior_noises);
  pass.batch.latents = (pass.mean + pass.deviation * pass.posterior_noise) * scaling;
  pass.batch.noise = at::stack(noises);
  pass.batch.timesteps = at::tensor(timesteps);
  for (const auto& ids : captions_)
    pass.batch.prompt_ids.push_back(ids.index_select(0, at::tensor(distinct)));
  return pass;
}

// [LoRA's gradient; words' gradients; errors of all pictures of the step], over all ranks.
at::Tensor Tuner::sums_of_step(models::NamedTensors* trace) {
  const auto& tune = settings_.tune;
  const auto draws = draws_.of_step(step_);
  const auto matrices = lora_->values().numel();
  std::int64_t words = 0;
  for (const auto& rows : rows_) words += rows.numel();
  auto sums = at::zeros({matrices + words + tune.batch},
                        at::TensorOptions().dtype(at::kDouble).device(model_.device));

  std::vector<std::int64_t> firsts;  // of this rank's passes
  for (std::int64_t pass = share_.rank; pass * tune.micro_batch < tune.batch; pass += share_.ranks)
    firsts.push_back(pass * tune.micro_batch);
  std::vector<TuningGradients> results(firsts.size());
  const bool on_cpu = model_.device.is_cpu();
  const auto compute = [&](std::size_t i) {
    if (on_cpu) at::set_num_threads(1);  // the thread's own; sums must not depend on the number of cores
    const auto pass = pass_of(draws, firsts[i], std::min(firsts[i] + tune.micro_batch, tune.batch));
    results[i] = tuning_gradients(model_, schedule_, *lora_, rows_, pass.batch, tune.batch, loss_scale_,
                                  tune.resolution, trace);
    if (trace == nullptr) return;
    add_rows(*trace, "latents", pass.batch.latents);
    add_rows(*trace, "noise", pass.batch.noise);
    add_rows(*trace, "timesteps", pass.batch.timesteps);
    add_rows(*trace, "posterior_noise", pass.posterior_noise);
    add_rows(*trace, "mean", pass.mean);
    add_rows(*trace, "std", pass.deviation);
    add_rows(*trace, "class_index", at::tensor(pass.classes));
    const auto prompts = at::tensor(pass.batch.prompts);
    for (std::size_t encoder = 0; encoder < pass.batch.prompt_ids.size(); ++encoder)
      add_rows(*trace, of_encoder("input_ids", encoder),
               pass.batch.prompt_ids[encoder].index_select(0, prompts));
  };
  const int workers = on_cpu && trace == nullptr
                          ? std::clamp(share_.workers, 1, std::max(1, static_cast<int>(firsts.size())))
                          : 1;
  parallel_for(workers, 0, firsts.size(), 1, compute);

  for (std::size_t i = 0; i < firsts.size(); ++i) {
    const auto& result = results[i];
    sums.narrow(0, 0, matrices).add_(result.lora);
    auto place = matrices;
    for (const auto& rows : result.rows) {
      sums.narrow(0, place, rows.numel()).add_(rows.flatten());
      place += rows.numel();
    }
    sums.narrow(0, place + firsts[i], result.errors.numel()).copy_(result.errors);
  }
  if (share_.add_up) share_.add_up(sums);
  return sums;
}

std::string Tuner::take_step(models::NamedTensors* trace) {
  if (status_ != Status::learning) return {};
  const at::NoGradGuard no_gradients;
  const auto& tune = settings_.tune;
  if (trace != nullptr) trace_before(*trace);
  at::Tensor sums;
  {
    const at::AutoGradMode with_gradients(true);
    sums = sums_of_step(trace);
  }
  const auto matrices = lora_->values().numel();
  const auto errors = sums.narrow(0, sums.numel() - tune.batch, tune.batch);
  const auto loss = errors.sum() / static_cast<double>(tune.batch);
  auto lora_gradient = (sums.narrow(0, 0, matrices) / loss_scale_).to(at::kFloat);
  std::vector<at::Tensor> row_gradients;
  auto place = matrices;
  for (const auto& rows : rows_) {
    row_gradients.push_back(
        (sums.narrow(0, place, rows.numel()) / loss_scale_).to(at::kFloat).view(rows.sizes()));
    place += rows.numel();
  }
  const auto finite = at::isfinite(sums).all();
  const bool scaled = model_.unet_dtype == at::kHalf;
  const bool looks = model_.device.is_cpu() || scaled;
  if (looks) {
    const double value = loss.item<double>();
    if (!std::isfinite(value)) return handle_bad_numbers("the loss is not a finite number");
    if (!finite.item<bool>()) {
      if (loss_scale_ <= 1) return handle_bad_numbers("the gradient is not finite");
      loss_scale_ *= tuning_scale_back;
      steps_at_scale_ = 0;
      ++skipped_;
      ++step_;
      account(value, 0);
      return {};
    }
  }
  const auto traced_gradient = trace != nullptr ? lora_gradient.clone() : at::Tensor{};
  const auto norm = clip_to_norm(lora_gradient, tune.max_grad_norm);
  lora_optimizer_->step({lora_gradient}, tune.learning_rate * rate_factor());
  row_optimizer_->step(row_gradients, tune.token_learning_rate * rate_factor());
  ++step_;
  if (trace != nullptr) trace_after(*trace, traced_gradient, row_gradients, norm, loss.item<double>());
  if (looks) {
    if (scaled && ++steps_at_scale_ == tuning_growth_interval) {
      loss_scale_ *= tuning_scale_growth;
      steps_at_scale_ = 0;
    }
    account(loss.item<double>(), norm.item<double>());
    return status_ == Status::done && !at::isfinite(lora_->values()).all().item<bool>()
               ? handle_bad_numbers("the LoRA is not finite any more")
               : std::string{};
  }
  unseen_.push_back(at::stack({loss, norm.to(at::kDouble), finite.to(at::kDouble)}));
  const bool due =
      unseen_.size() >= most_steps_unseen || step_ % tune.report_every == 0 || step_ == tune.steps;
  return due || trace != nullptr ? settle() : std::string{};
}

std::string Tuner::settle() {
  if (unseen_.empty()) return {};
  const auto seen = at::stack(unseen_).to(at::kCPU).contiguous();
  const auto first = step_ - static_cast<std::int64_t>(unseen_.size());
  unseen_.clear();
  const auto* numbers = seen.const_data_ptr<double>();
  constexpr std::int64_t per_step = 3;  // loss, norm, finite
  const auto last = step_;
  for (std::int64_t i = 0; i < seen.size(0); ++i, numbers += per_step) {
    step_ = first + i;
    if (!std::isfinite(numbers[0])) return handle_bad_numbers("the loss is not a finite number");
    if (numbers[2] == 0) return handle_bad_numbers("the gradient is not finite");
    ++step_;
    account(numbers[0], numbers[1]);
  }
  step_ = last;
  if (!at::isfinite(lora_->values()).all().item<bool>())
    return handle_bad_numbers("the LoRA is not finite any more");
  return {};
}

// Of the step that step_ counts as done.
void Tuner::account(double loss, double norm) {
  const auto& tune = settings_.tune;
  last_loss_ = loss;
  loss_sum_ += loss;
  norm_sum_ += norm;
  ++count_;
  if (step_ % tune.report_every == 0 || step_ == tune.steps) {
    const auto count = static_cast<double>(count_);
    curve_.push_back({step_, loss_sum_ / count, norm_sum_ / count});
    loss_sum_ = norm_sum_ = 0;
    count_ = 0;
  }
  if (step_ == tune.steps) status_ = Status::done;
}

std::string Tuner::handle_bad_numbers(const std::string& what) {
  const auto& tune = settings_.tune;
  const auto sentence =
      fmt::format("{} in step {} at learning rate {:g}", what, step_ + 1, tune.learning_rate * rate_factor());
  if (tune.nan == TuneNan::fail)
    throw ModelError("tuning: " + sentence, "tune.nan",
                     "Set tune.nan = \"retry_lower_rate\" or a smaller tune.learning_rate.");
  reason_ += (reason_.empty() ? "" : "; ") + sentence;
  if (attempt_ >= tune.nan_retries) {
    status_ = Status::failed;
    return sentence;
  }
  ++attempt_;
  status_ = Status::learning;
  start_try();
  return sentence + ": beginning again at a tenth of the rates";
}

std::vector<at::Tensor> Tuner::tensors() const {
  std::vector<at::Tensor> all{lora_->values()};
  for (const auto& moments : lora_optimizer_->moments()) {
    all.push_back(moments.first);
    all.push_back(moments.second);
  }
  all.insert(all.end(), rows_.begin(), rows_.end());
  for (const auto& moments : row_optimizer_->moments()) {
    all.push_back(moments.first);
    all.push_back(moments.second);
  }
  return all;
}

std::string Tuner::counts() const {
  auto curve = nlohmann::json::array();
  for (const auto& point : curve_) curve.push_back({point.step, point.loss, point.grad_norm});
  return nlohmann::json{{"status", static_cast<int>(status_)},
                        {"attempt", attempt_},
                        {"step", step_},
                        {"skipped", skipped_},
                        {"steps_at_scale", steps_at_scale_},
                        {"count", count_},
                        {"loss_scale", loss_scale_},
                        {"loss_sum", loss_sum_},
                        {"norm_sum", norm_sum_},
                        {"last_loss", last_loss_},
                        {"reason", reason_},
                        {"curve", curve}}
      .dump();
}

void Tuner::take_counts(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    status_ = static_cast<Status>(json.at("status").get<int>());
    attempt_ = json.at("attempt");
    step_ = json.at("step");
    skipped_ = json.at("skipped");
    steps_at_scale_ = json.at("steps_at_scale");
    count_ = json.at("count");
    loss_scale_ = json.at("loss_scale");
    loss_sum_ = json.at("loss_sum");
    norm_sum_ = json.at("norm_sum");
    last_loss_ = json.at("last_loss");
    reason_ = json.at("reason").get<std::string>();
    curve_.clear();
    for (const auto& point : json.at("curve")) curve_.push_back({point.at(0), point.at(1), point.at(2)});
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("has counts that cannot be read: {}", error.what()), "checkpoint");
  }
  unseen_.clear();
  lora_optimizer_->restore(lora_optimizer_->moments(), step_ - skipped_);
  row_optimizer_->restore(row_optimizer_->moments(), step_ - skipped_);
}

SavedState Tuner::save() const {
  SavedState state;
  const auto all = tensors();
  for (std::size_t i = 0; i < all.size(); ++i)
    state.tensors[fmt::format("tensor.{}", i)] =
        all[i].detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  state.texts["counts"] = counts();
  return state;
}

void Tuner::restore(const SavedState& state) {
  const at::NoGradGuard no_gradients;
  const auto all = tensors();
  std::vector<at::Tensor> found;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto entry = state.tensors.find(fmt::format("tensor.{}", i));
    if (entry == state.tensors.end() || entry->second.sizes() != all[i].sizes())
      throw DataError(fmt::format("lacks a fitting tensor.{}", i), "checkpoint");
    found.push_back(entry->second);
  }
  const auto text = state.texts.find("counts");
  if (text == state.texts.end()) throw DataError("lacks its counts", "checkpoint");
  for (std::size_t i = 0; i < all.size(); ++i) all[i].copy_(found[i]);
  take_counts(text->second);
}

void Tuner::trace_before(models::NamedTensors& trace) const {
  const auto on_host = [](const at::Tensor& x) {
    return x.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  };
  if (step_ == 0) {
    for (const auto& matrix : lora_->matrices()) trace["initial." + matrix.name] = on_host(matrix.value);
  }
  for (std::size_t encoder = 0; encoder < rows_.size(); ++encoder)
    trace[of_encoder("row_before", encoder)] = on_host(rows_[encoder].unsqueeze(1));
}

void Tuner::trace_after(models::NamedTensors& trace, const at::Tensor& lora_gradient,
                        const std::vector<at::Tensor>& row_gradients, const at::Tensor& norm,
                        double loss) const {
  const auto on_host = [](const at::Tensor& x) {
    return x.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  };
  std::int64_t place = 0;
  for (const auto& matrix : lora_->matrices()) {
    const auto count = matrix.value.numel();
    trace["grad." + matrix.name] = on_host(lora_gradient.narrow(0, place, count).view(matrix.value.sizes()));
    trace["updated." + matrix.name] = on_host(matrix.value);
    place += count;
  }
  for (std::size_t encoder = 0; encoder < rows_.size(); ++encoder) {
    const auto& moments = row_optimizer_->moments()[encoder];
    trace[of_encoder("grad", encoder)] = on_host(row_gradients[encoder].unsqueeze(1));
    trace[of_encoder("row_after", encoder)] = on_host(rows_[encoder].unsqueeze(1));
    trace[of_encoder("exp_avg", encoder)] = on_host(moments.first.unsqueeze(1));
    trace[of_encoder("exp_avg_sq", encoder)] = on_host(moments.second.unsqueeze(1));
  }
  trace["grad_norm"] = on_host(norm);
  trace["loss"] = at::scalar_tensor(loss, at::kFloat);
}

}  // namespace deda::diffusion

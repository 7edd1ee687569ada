#include "diffusion/inversion/inversion_unit.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "diffusion/prompts.h"
#include "diffusion/sampling/noise.h"

namespace deda::diffusion {
namespace {

// Timesteps and noises that a held-out CDP is measured with.
constexpr std::int64_t held_out_draws = 8;

std::string suffix_of(std::size_t encoder) {
  return encoder == 0 ? std::string{} : fmt::format("_{}", encoder + 1);
}

// Stacked in front when several classes are learnt together.
at::Tensor of_all(const std::vector<at::Tensor>& per_class) {
  return per_class.size() == 1 ? per_class.front().clone() : at::stack(per_class);
}

at::Tensor on_host(const at::Tensor& x) {
  return x.to(at::kCPU);
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// What a step starts from.
void trace_inputs(models::NamedTensors& trace, const InversionBatch& batch,
                  const std::vector<const ClassLearning*>& classes) {
  trace["latents"] = batch.latents;
  trace["noise"] = batch.noise;
  trace["timesteps"] = batch.timesteps;
  const auto prompts = at::tensor(batch.prompts);
  const auto per_class = batch.latents.size(0) / static_cast<std::int64_t>(classes.size());
  if (classes.size() > 1)
    trace["class_index"] = at::arange(static_cast<std::int64_t>(classes.size())).repeat_interleave(per_class);
  for (std::size_t encoder = 0; encoder < batch.prompt_ids.size(); ++encoder) {
    trace["input_ids" + suffix_of(encoder)] = batch.prompt_ids[encoder].index_select(0, prompts);
    std::vector<at::Tensor> rows, first, second;
    std::vector<std::int64_t> steps;
    for (const auto* learning : classes) {
      rows.push_back(on_host(learning->rows()[encoder]));
      first.push_back(on_host(learning->moments()[encoder].first));
      second.push_back(on_host(learning->moments()[encoder].second));
      steps.push_back(learning->step() - learning->skipped_steps());
    }
    trace["row_before" + suffix_of(encoder)] = of_all(rows);
    trace["exp_avg_before" + suffix_of(encoder)] = of_all(first);
    trace["exp_avg_sq_before" + suffix_of(encoder)] = of_all(second);
    trace["adamw_steps_before"] = at::tensor(steps);
  }
}

// What it gave.
void trace_outputs(models::NamedTensors& trace, const InversionGradients& result,
                   const std::vector<const ClassLearning*>& classes) {
  std::vector<at::Tensor> losses;
  for (const double loss : result.losses()) losses.push_back(at::scalar_tensor(loss, at::kFloat));
  trace["loss"] = of_all(losses);
  for (std::size_t encoder = 0; encoder < result.gradients.front().size(); ++encoder) {
    std::vector<at::Tensor> gradients, rows, first, second;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      gradients.push_back(on_host(result.gradients[i][encoder]));
      rows.push_back(on_host(classes[i]->rows()[encoder]));
      first.push_back(on_host(classes[i]->moments()[encoder].first));
      second.push_back(on_host(classes[i]->moments()[encoder].second));
    }
    const auto suffix = suffix_of(encoder);
    trace["grad" + suffix] = of_all(gradients);
    trace["row_after" + suffix] = of_all(rows);
    trace["exp_avg" + suffix] = of_all(first);
    trace["exp_avg_sq" + suffix] = of_all(second);
  }
}

}  // namespace

std::vector<std::vector<std::size_t>> inversion_packs(const LatentSource& source,
                                                      std::int64_t classes_per_batch) {
  std::vector<std::vector<std::size_t>> packs;
  for (std::size_t id = 0; id < source.by_class().size(); ++id) {
    if (source.by_class()[id].empty()) continue;
    if (packs.empty() || packs.back().size() == static_cast<std::size_t>(classes_per_batch))
      packs.emplace_back();
    packs.back().push_back(id);
  }
  return packs;
}

InversionUnit::InversionUnit(const InversionContext& context, const std::vector<std::size_t>& classes,
                             std::uint64_t cache_bytes, ProblemListener on_problem)
    : context_{context},
      on_problem_{std::move(on_problem)},
      cache_{context.model, context.source, context.config.flip > 0, cache_bytes} {
  const auto side = context.settings.resolution / context.model.factor();
  noise_shape_ = {context.config.batch, context.model.autoencoder->config().latent_channels, side, side};
  learning_.reserve(classes.size());
  for (const std::size_t id : classes) {
    learning_.emplace_back(context, id);
    const auto& all = context.source.by_class()[id];
    const auto held_out = draw_held_out(context.settings.seed, id, all.size(), context.config.held_out);
    ClassCdps parts;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const bool held = std::binary_search(held_out.begin(), held_out.end(), i);
      (held ? parts.held_out : parts.training).push_back(all[i]);
    }
    cdps_.push_back(std::move(parts));
  }
}

bool InversionUnit::finished() const {
  return members_in_turn().empty();
}

std::vector<std::size_t> InversionUnit::members_in_turn() const {
  std::vector<std::size_t> together, alone;
  for (std::size_t i = 0; i < learning_.size(); ++i) {
    if (learning_[i].status() != ClassLearning::Status::learning) continue;
    if (learning_[i].attempt() == 0) {
      together.push_back(i);
    } else if (alone.empty()) {
      alone.push_back(i);
    }
  }
  return together.empty() ? alone : together;
}

void InversionUnit::fail(ClassLearning& learning, const std::string& problem) const {
  learning.fail(problem);
  if (on_problem_) on_problem_(learning, problem);
}

std::vector<InversionUnit::Samples> InversionUnit::draw_all() {
  std::vector<Samples> all;
  for (const std::size_t member : members_in_turn()) {
    auto& learning = learning_[member];
    const auto& training = cdps_[member].training;
    Samples samples{
        .member = member,
        .draws = draw_samples(context_.draws, learning.class_id(), learning.step(), training.size()),
        .latents = {}};
    std::vector<at::Tensor> latents;
    try {
      for (std::size_t i = 0; i < samples.draws.size(); ++i)
        latents.push_back(cache_.latents(training[samples.draws[i].item], samples.draws[i].mirrored,
                                         posterior_stream(context_.draws, learning.class_id(),
                                                          learning.step(), static_cast<std::int64_t>(i))));
    } catch (const DataError& error) {
      fail(learning, to_string(error.problems().front()));
      continue;
    }
    samples.latents = at::stack(latents);
    all.push_back(std::move(samples));
  }
  return all;
}

at::Tensor InversionUnit::noise_of(std::size_t class_id, std::int64_t step) const {
  std::vector<at::Tensor> samples;
  for (std::int64_t i = 0; i < context_.config.batch; ++i)
    samples.push_back(normal_tensor(at::IntArrayRef(noise_shape_).slice(1),
                                    noise_stream(context_.draws, class_id, step, i)));
  return at::stack(samples);
}

at::Tensor InversionUnit::take_noise(const ClassLearning& learning) {
  const auto id = learning.class_id();
  const auto step = learning.step();
  at::Tensor noise;
  if (const auto ahead = noise_ahead_.find(id); ahead != noise_ahead_.end()) {
    auto drawn = ahead->second.second.get();
    if (ahead->second.first == step) noise = drawn;
    noise_ahead_.erase(ahead);
  }
  if (!noise.defined()) noise = noise_of(id, step);
  if (!context_.model.device.is_cpu() && step + 1 < context_.config.steps)
    noise_ahead_[id] = {step + 1,
                        std::async(std::launch::async, [this, id, step] { return noise_of(id, step + 1); })};
  return noise;
}

InversionBatch InversionUnit::batch_of(const std::vector<Samples>& samples) {
  InversionBatch batch;
  std::vector<at::Tensor> latents, noises;
  std::vector<std::int64_t> timesteps;
  std::vector<std::vector<at::Tensor>> ids(context_.model.text_encoders.size());
  std::map<std::pair<std::size_t, std::size_t>, std::int64_t> numbers;  // of the distinct prompts
  for (std::size_t position = 0; position < samples.size(); ++position) {
    latents.push_back(samples[position].latents);
    noises.push_back(take_noise(learning_[samples[position].member]));
    for (const auto& draw : samples[position].draws) {
      timesteps.push_back(draw.timestep);
      const auto [found, is_new] =
          numbers.try_emplace({position, draw.prompt}, static_cast<std::int64_t>(numbers.size()));
      batch.prompts.push_back(found->second);
      if (!is_new) continue;
      const auto prompt = context_.prompt_ids(position, draw.prompt);
      for (std::size_t encoder = 0; encoder < ids.size(); ++encoder) ids[encoder].push_back(prompt[encoder]);
    }
  }
  batch.latents = at::cat(latents);
  batch.noise = at::cat(noises);
  batch.timesteps = at::tensor(timesteps);
  for (const auto& of_encoder : ids) batch.prompt_ids.push_back(at::stack(of_encoder));
  return batch;
}

// On a GPU without a look at the numbers, until settling is due: looking waits for the device.
void InversionUnit::take_step(ClassLearning& learning, const at::Tensor& errors,
                              const IdentifierRows& gradient, bool look) {
  if (learning.may_advance_unseen()) {
    learning.advance_unseen(errors, gradient);
    if (look || learning.must_settle()) settle(learning);
    return;
  }
  const auto problem = learning.advance(loss_of(errors.to(at::kCPU)), gradient);
  if (!problem.empty() && on_problem_) on_problem_(learning, problem);
}

void InversionUnit::settle(ClassLearning& learning) {
  const auto problem = learning.settle();
  if (!problem.empty() && on_problem_) on_problem_(learning, problem);
}

void InversionUnit::step(models::NamedTensors* trace) {
  const auto samples = draw_all();
  if (samples.empty()) return;
  const auto batch = batch_of(samples);
  std::vector<IdentifierRows> rows;
  std::vector<double> scales;
  std::vector<const ClassLearning*> classes;
  for (const auto& of_class : samples) {
    classes.push_back(&learning_[of_class.member]);
    rows.push_back(classes.back()->rows());
    scales.push_back(classes.back()->loss_scale());
  }
  if (trace != nullptr) trace_inputs(*trace, batch, classes);
  const auto result = context_.step.gradients(batch, rows, scales, trace);
  ++steps_taken_;
  for (std::size_t i = 0; i < samples.size(); ++i)
    take_step(learning_[samples[i].member], result.errors[static_cast<std::int64_t>(i)], result.gradients[i],
              trace != nullptr);
  double sum = 0;
  for (const auto* learning : classes) sum += learning->last_loss();
  last_loss_ = sum / static_cast<double>(classes.size());
  if (trace != nullptr) trace_outputs(*trace, result, classes);
}

std::int64_t InversionUnit::progress() const {
  std::int64_t steps = 0;
  for (const auto& learning : learning_)
    steps += learning.status() == ClassLearning::Status::learning ? learning.step() : context_.config.steps;
  return steps;
}

SavedState InversionUnit::save() {
  for (auto& learning : learning_) settle(learning);
  SavedState state;
  for (const auto& learning : learning_) learning.save(state);
  state.tensors["steps_taken"] = at::tensor({steps_taken_});
  return state;
}

void InversionUnit::restore(const SavedState& state) {
  for (auto& learning : learning_) learning.restore(state);
  if (const auto found = state.tensors.find("steps_taken"); found != state.tensors.end())
    steps_taken_ = found->second[0].item<std::int64_t>();
}

void InversionUnit::measure_held_out(std::size_t member, IdentifierRecord& record) {
  const auto& learning = learning_[member];
  const auto& cdps = cdps_[member].held_out;
  if (cdps.empty()) return;
  InversionBatch batch;
  std::vector<at::Tensor> latents, noises;
  std::vector<std::int64_t> timesteps;
  for (std::size_t item = 0; item < cdps.size(); ++item) {
    for (std::int64_t draw = 0; draw < held_out_draws; ++draw) {
      latents.push_back(cache_.latents(cdps[item], false));
      noises.push_back(normal_tensor(at::IntArrayRef(noise_shape_).slice(1),
                                     held_out_noise(context_.draws, learning.class_id(), item, draw)));
      timesteps.push_back(held_out_timestep(context_.draws, learning.class_id(), item, draw));
    }
  }
  batch.latents = at::stack(latents);
  batch.noise = at::stack(noises);
  batch.timesteps = at::tensor(timesteps);
  batch.prompts.assign(timesteps.size(), 0);
  // The first template of either set is "a photo of a {}".
  const auto identifier = context_.prompt_ids(0, 0);
  for (const auto& ids : identifier) batch.prompt_ids.push_back(ids.unsqueeze(0));
  const auto loss = [&](const IdentifierRows& rows) {
    return mean_of(context_.step.losses(batch, rows, context_.config.batch));
  };
  record.held_out_before = loss(learning.initial_rows());
  record.held_out_after = loss(learning.rows());
  batch.prompt_ids = context_.model.ids_of(
      context_.model.tokenizers,
      {fill_template(context_.templates.front(), context_.initial[learning.class_id()].word)});
  record.held_out_word = loss({});
}

std::vector<LearntClass> InversionUnit::results() {
  std::vector<LearntClass> all;
  for (std::size_t member = 0; member < learning_.size(); ++member) {
    auto& learning = learning_[member];
    const auto& initial = context_.initial[learning.class_id()];
    LearntClass learnt;
    auto& record = learnt.record;
    record.class_id = static_cast<std::int64_t>(learning.class_id());
    record.class_name = learning.class_name();
    record.placeholder = placeholder_of_class(learning.class_id());
    record.initial_word = initial.word;
    record.initial_tokens = initial.tokens;
    record.held_out = static_cast<std::int64_t>(cdps_[member].held_out.size());
    record.cdps = static_cast<std::int64_t>(cdps_[member].training.size()) + record.held_out;
    if (learning.status() == ClassLearning::Status::done) {
      try {
        measure_held_out(member, record);
      } catch (const DataError& error) {
        fail(learning, to_string(error.problems().front()));
      }
    }
    record.tries = learning.attempt() + 1;
    record.learning_rate = learning.learning_rate();
    record.skipped_steps = learning.skipped_steps();
    record.reason = learning.reason();
    learnt.curve = learning.curve();
    if (learning.status() == ClassLearning::Status::done) {
      for (const auto& of_encoder : learning.rows()) learnt.rows.push_back(of_encoder.to(at::kCPU));
      record.loss_first = learnt.curve.front().loss;
      record.loss_last = learnt.curve.back().loss;
      for (std::size_t encoder = 0; encoder < learnt.rows.size(); ++encoder) {
        record.norm.push_back(norm_of(learnt.rows[encoder]));
        record.cosine.push_back(cosine_between(learnt.rows[encoder], learning.initial_rows()[encoder]));
      }
    } else {
      record.outcome = IdentifierOutcome::failed;
    }
    all.push_back(std::move(learnt));
  }
  return all;
}

}  // namespace deda::diffusion

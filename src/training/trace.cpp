#include "training/trace.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/files.h"
#include "models/weights/weights.h"
#include "training/normalise.h"

namespace deda::training {
namespace {

using augment::CombinationDraws;
using augment::Draws;
using augment::EditDraws;

// The combination's numbers of a sample; of one without, those of a combination before its first decision.
template <class Value>
auto of_combination(const Value& value) {
  return [value](const Draws& draws) {
    static const CombinationDraws undecided;
    const auto* const combination = augment::combination_of(draws);
    return value(combination != nullptr ? *combination : undecided);
  };
}

// The one list of names: `whole` and `real` are called with a name and how to get the value.
template <class Whole, class Real>
void for_each_draw(const Whole& whole, const Real& real) {
  const auto combined = [&](const auto& list, const char* name, auto value) {
    list(name, of_combination(value));
  };
  whole("index", [](const Draws& d) { return d.index; });
  whole("epoch", [](const Draws& d) { return std::int64_t{d.epoch}; });
  whole("augmented", [](const Draws& d) {
    return std::int64_t{augment::combination_of(d) != nullptr || augment::edit_of(d) != nullptr};
  });
  combined(whole, "anchor", [](const CombinationDraws& c) { return c.anchor; });
  combined(whole, "version", [](const CombinationDraws& c) { return std::int64_t{c.version}; });
  combined(whole, "mix", [](const CombinationDraws& c) { return c.mix; });
  combined(whole, "mix_version", [](const CombinationDraws& c) { return std::int64_t{c.mix_version}; });
  combined(whole, "cip", [](const CombinationDraws& c) { return c.cip; });
  combined(real, "u1", [](const CombinationDraws& c) { return c.u1; });
  combined(real, "u2", [](const CombinationDraws& c) { return c.u2; });
  combined(whole, "x1", [](const CombinationDraws& c) { return std::int64_t{c.box1[0]}; });
  combined(whole, "y1", [](const CombinationDraws& c) { return std::int64_t{c.box1[1]}; });
  combined(whole, "w1", [](const CombinationDraws& c) { return std::int64_t{c.box1[2]}; });
  combined(whole, "h1", [](const CombinationDraws& c) { return std::int64_t{c.box1[3]}; });
  combined(whole, "x2", [](const CombinationDraws& c) { return std::int64_t{c.box2[0]}; });
  combined(whole, "y2", [](const CombinationDraws& c) { return std::int64_t{c.box2[1]}; });
  combined(whole, "w2", [](const CombinationDraws& c) { return std::int64_t{c.box2[2]}; });
  combined(whole, "h2", [](const CombinationDraws& c) { return std::int64_t{c.box2[3]}; });
  combined(whole, "flip1", [](const CombinationDraws& c) { return std::int64_t{c.flip1}; });
  combined(whole, "flip2", [](const CombinationDraws& c) { return std::int64_t{c.flip2}; });
  combined(real, "angle1", [](const CombinationDraws& c) { return c.angle1; });
  combined(real, "angle2", [](const CombinationDraws& c) { return c.angle2; });
  whole("crop_x", [](const Draws& d) { return std::int64_t{d.crop_x}; });
  whole("crop_y", [](const Draws& d) { return std::int64_t{d.crop_y}; });
  whole("flip", [](const Draws& d) { return std::int64_t{d.flip}; });
  combined(whole, "area1", [](const CombinationDraws& c) { return c.area1; });
  combined(whole, "area2", [](const CombinationDraws& c) { return c.area2; });
  combined(whole, "class1", [](const CombinationDraws& c) { return std::int64_t{c.class1}; });
  combined(whole, "class2", [](const CombinationDraws& c) { return std::int64_t{c.class2}; });
}

// What a generative peer decides, where a sample is one of its edits: other methods' draws have none of it.
template <class Whole, class Real>
void for_each_draw_of_edit(const Whole& whole, const Real& real) {
  const auto edited = [](auto value) {
    return [value](const Draws& draws) {
      static const EditDraws undecided;
      const auto* const edit = augment::edit_of(draws);
      return value(edit != nullptr ? *edit : undecided);
    };
  };
  whole("edit", edited([](const EditDraws& e) { return e.edit; }));
  whole("edit_source", edited([](const EditDraws& e) { return e.source; }));
  whole("edit_source_class", edited([](const EditDraws& e) { return std::int64_t{e.source_class}; }));
  whole("edit_target_class", edited([](const EditDraws& e) { return std::int64_t{e.target_class}; }));
  real("edit_strength", edited([](const EditDraws& e) { return e.strength; }));
}

template <class Value>
at::Tensor column(const std::vector<Draws>& draws, at::ScalarType type, const Value& value) {
  auto tensor = at::empty({static_cast<std::int64_t>(draws.size())}, type);
  using Number = decltype(value(draws.front()));
  Number* out = tensor.mutable_data_ptr<Number>();
  for (const auto& each : draws) *out++ = value(each);
  return tensor;
}

// Operations of a policy: as many in each sample of a run.
void add_policy(const std::vector<Draws>& draws, models::NamedTensors& tensors) {
  if (draws.empty() || draws.front().policy.count == 0) return;
  const auto rows = static_cast<std::int64_t>(draws.size()),
             columns = std::int64_t{draws.front().policy.count};
  auto operations = at::empty({rows, columns}, at::kLong),
       magnitudes = at::empty({rows, columns}, at::kFloat);
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto& policy = draws[static_cast<std::size_t>(row)].policy;
    for (std::int64_t k = 0; k < columns; ++k) {
      operations.mutable_data_ptr<std::int64_t>()[row * columns + k] =
          static_cast<std::int64_t>(policy.operations[static_cast<std::size_t>(k)]);
      magnitudes.mutable_data_ptr<float>()[row * columns + k] =
          policy.magnitudes[static_cast<std::size_t>(k)];
    }
  }
  const auto name = fmt::format("draw.{}", name_of(draws.front().policy.policy));
  tensors[name] = operations;
  tensors[name + "_magnitude"] = magnitudes;
}

}  // namespace

models::NamedTensors draw_tensors(const std::vector<Draws>& draws) {
  models::NamedTensors tensors;
  const auto whole = [&](const char* name, auto value) {
    tensors[std::string{"draw."} + name] = column(draws, at::kLong, value);
  };
  const auto real = [&](const char* name, auto value) {
    tensors[std::string{"draw."} + name] = column(draws, at::kDouble, value);
  };
  for_each_draw(whole, real);
  const auto is_edit = [](const Draws& each) { return augment::edit_of(each) != nullptr; };
  if (std::any_of(draws.begin(), draws.end(), is_edit)) for_each_draw_of_edit(whole, real);
  add_policy(draws, tensors);
  return tensors;
}

std::string draw_json(const Draws& draws, const std::vector<float>& label) {
  nlohmann::ordered_json line;
  const auto add = [&](const char* name, auto value) { line[name] = value(draws); };
  for_each_draw(add, add);
  if (augment::edit_of(draws) != nullptr) for_each_draw_of_edit(add, add);
  if (const auto& policy = draws.policy; policy.count > 0) {
    const std::string name{name_of(policy.policy)};
    for (std::size_t k = 0; k < static_cast<std::size_t>(policy.count); ++k) {
      line[name].push_back(static_cast<int>(policy.operations[k]));
      line[name + "_magnitude"].push_back(policy.magnitudes[k]);
    }
  }
  line["label"] = label;
  return line.dump();
}

StepTracer::StepTracer(std::filesystem::path folder, std::int64_t steps, int rank,
                       std::map<std::string, std::string> constants, BeforePolicy before_policy,
                       Compose compose)
    : folder_{std::move(folder)},
      steps_{steps},
      rank_{rank},
      constants_{std::move(constants)},
      before_policy_{std::move(before_policy)},
      compose_{std::move(compose)} {
  if (steps_ > 0) make_folder(folder_);
}

void StepTracer::start(const models::Classifier& network, const std::vector<at::Tensor>& momentum) {
  if (rank_ != 0 || written_ > 0) return;
  for (const auto& [name, tensor] : models::state_of(network))
    tensors_["initial." + name] = tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  std::size_t i = 0;
  for (const auto& entry : network.named_parameters()) {
    tensors_["initial_momentum." + entry.key()] =
        momentum.at(i++).to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  }
}

namespace {

template <class Values>
at::Tensor whole_numbers(const Values& values) {
  auto tensor = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.template mutable_data_ptr<std::int64_t>());
  return tensor;
}

at::Tensor rows_of_box(const mixing::Box& box, std::int64_t rows) {
  return whole_numbers(std::vector<std::int64_t>{box.y1, box.y2, box.x1, box.x2})
      .unsqueeze(0)
      .repeat({rows, 1});
}

}  // namespace

void StepTracer::mixed(const at::Tensor& composed, const at::Tensor& composed_label,
                       const models::NamedTensors& mix) {
  tensors_["composed"] = composed.detach();
  tensors_["composed_label"] = composed_label.detach();
  for (const auto& [name, tensor] : mix) tensors_[name] = tensor.detach();
}

// What was decided for the batch, and, where pixels were mixed before they came here, the pictures before
// that, composed anew.
void StepTracer::add_mix(const augment::Batch& batch, std::int64_t side) {
  const auto& mix = *batch.mix;
  const auto& plan = mix.plan;
  const auto rows = batch.size;
  tensors_["mix.applied"] = at::full({1}, plan.applied ? 1 : 0, at::kByte);
  if (!plan.applied) return;
  tensors_["mix.lambda"] = at::full({1}, plan.lambda, at::kDouble);
  if (plan.box) tensors_["mix.box"] = rows_of_box(*plan.box, rows);
  if (plan.partner_box) {
    tensors_["mix.partner_box"] = rows_of_box(*plan.partner_box, rows);
    tensors_["mix.lambda2"] = at::full({1}, plan.lambda2, at::kDouble);
  }
  if (plan.sigma > 0) tensors_["mix.sigma"] = at::full({1}, plan.sigma, at::kDouble);
  if (plan.blocks > 0) tensors_["mix.blocks"] = at::full({1}, plan.blocks, at::kLong);
  if (!plan.start.empty()) tensors_["mix.initial"] = whole_numbers(plan.start);
  std::vector<std::int64_t> partners;  // of this rank's pictures, by place
  if (const auto found = tensors_.find("mix.partner"); found != tensors_.end()) {
    const auto places = found->second.to(at::kCPU);
    partners.assign(places.const_data_ptr<std::int64_t>(), places.const_data_ptr<std::int64_t>() + rows);
  } else if (!plan.partner.empty()) {
    for (std::int64_t row = 0; row < rows; ++row)
      partners.push_back(plan.partner[mix.places[static_cast<std::size_t>(row)]]);
    tensors_["mix.partner"] = whole_numbers(partners);
  }
  if (!partners.empty()) {
    std::vector<std::int64_t> samples;
    for (const auto place : partners) samples.push_back(mix.samples[static_cast<std::size_t>(place)]);
    tensors_["mix.sample"] = whole_numbers(samples);
  }
  if (!mix.weights.empty()) {
    auto weights = at::empty({rows, 2}, at::kDouble);
    auto* out = weights.mutable_data_ptr<double>();
    for (const auto& each : mix.weights) {
      *out++ = each.own;
      *out++ = each.partner;
    }
    tensors_["mix.weight"] = weights;
  }
  if (!compose_) return;
  const Normaliser normalise(at::kCPU, /*channels_last=*/false);
  const auto epoch = batch.draws.front().epoch;
  const auto compose_all = [&](const auto& sample_of, const char* pictures_name, const char* labels_name) {
    auto pixels = at::empty({rows, side, side, 3}, at::kByte);
    auto labels = at::empty({rows, batch.classes}, at::kFloat);
    for (std::int64_t row = 0; row < rows; ++row)
      compose_(sample_of(static_cast<std::size_t>(row)), epoch,
               pixels.mutable_data_ptr<std::uint8_t>() + row * side * side * 3,
               labels.mutable_data_ptr<float>() + row * batch.classes);
    tensors_[pictures_name] = normalise(pixels);
    if (labels_name != nullptr) tensors_[labels_name] = labels;
  };
  if (tensors_.count("composed") == 0)
    compose_all([&](std::size_t row) { return mix.samples[mix.places[row]]; }, "composed", "composed_label");
  if (!partners.empty())
    compose_all([&](std::size_t row) { return mix.samples[static_cast<std::size_t>(partners[row])]; },
                "mix.partner_composed", "mix.partner_label");
}

void StepTracer::saw(const at::Tensor& input, const at::Tensor& label, const at::Tensor& output,
                     const augment::Batch& batch) {
  const std::vector<Draws> draws(batch.draws.begin(), batch.draws.begin() + batch.size);
  if (batch.mix && batch.size > 0) add_mix(batch, input.size(2));
  tensors_["input"] = input.detach();
  tensors_["label"] = label.detach();
  tensors_["output"] = output.detach().to(at::kFloat);
  tensors_.merge(draw_tensors(draws));
  if (!before_policy_ || draws.empty()) return;
  const auto height = input.size(2), width = input.size(3);
  auto before = at::empty({static_cast<std::int64_t>(draws.size()), height, width, 3}, at::kByte);
  for (std::size_t i = 0; i < draws.size(); ++i)
    before_policy_(draws[i], before.mutable_data_ptr<std::uint8_t>() +
                                 static_cast<std::ptrdiff_t>(i) * height * width * 3);
  tensors_[fmt::format("before_{}", name_of(draws.front().policy.policy))] = before;
}

void StepTracer::finish(const models::Classifier& network, std::int64_t global_step, std::int64_t epoch,
                        double learning_rate, double loss) {
  auto metadata = constants_;
  metadata["step"] = std::to_string(global_step);
  if (rank_ == 0) {
    tensors_["loss"] = at::scalar_tensor(loss, at::kFloat);
    tensors_["lr"] = at::scalar_tensor(learning_rate, at::kFloat);
    tensors_["epoch"] = at::scalar_tensor(epoch, at::kLong);
    for (const auto& entry : network.named_parameters())
      tensors_["grad." + entry.key()] = entry.value().grad();
    for (const auto& [name, tensor] : models::state_of(network)) tensors_["updated." + name] = tensor;
  }
  const auto name = rank_ == 0 ? fmt::format("step-{:06d}.safetensors", global_step)
                               : fmt::format("step-{:06d}.rank-{}.safetensors", global_step, rank_);
  models::write_tensors(folder_ / name, tensors_, metadata);
  tensors_.clear();
  ++written_;
}

}  // namespace deda::training

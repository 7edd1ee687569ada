#include "training/learner.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "comm/c10d/process_group.h"
#include "comm/c10d/reducer.h"
#include "core/error.h"
#include "core/log.h"
#include "device/kernels.h"
#include "models/classifiers/facts.h"
#include "models/classifiers/initialise.h"
#include "models/layers.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "training/device.h"
#include "training/normalise.h"
#include "training/trace.h"

namespace deda::training {
namespace {

constexpr auto model_prefix = "model.";
constexpr auto momentum_prefix = "momentum.";
constexpr auto scaler_prefix = "scaler.";

// Rank 0's tensors to all ranks, through the CPU: rare and small beside an epoch.
void broadcast(const comm::Communicator& ranks, const std::vector<at::Tensor>& tensors) {
  if (ranks.size() == 1) return;
  const at::NoGradGuard no_gradients;
  std::string bytes;
  if (ranks.is_root()) {
    for (const auto& tensor : tensors) {
      const auto plain = tensor.detach().to(at::kCPU).contiguous();
      bytes.append(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
    }
  }
  bytes = ranks.broadcast(std::move(bytes));
  if (ranks.is_root()) return;
  const char* position = bytes.data();
  for (const auto& tensor : tensors) {
    auto plain = at::empty(tensor.sizes(), at::TensorOptions(tensor.scalar_type()));
    std::memcpy(plain.mutable_data_ptr(), position, tensor.nbytes());
    tensor.detach().copy_(plain);
    position += tensor.nbytes();
  }
}

// Over all ranks, in place. On a GPU the stream waits, not the host.
void reduce(c10d::ProcessGroup& group, at::Tensor& tensor, c10d::ReduceOp::RedOpType operation) {
  c10d::AllreduceOptions options;
  options.reduceOp = operation;
  std::vector<at::Tensor> one{tensor};
  group.allreduce(one, options)->wait();
}

std::vector<at::Tensor> values(const models::NamedTensors& tensors) {
  std::vector<at::Tensor> list;
  for (const auto& [name, tensor] : tensors) list.push_back(tensor);
  return list;
}

}  // namespace

Learner::Learner(const comm::Communicator& ranks, const TrainConfig& config, std::int64_t classes,
                 std::uint64_t seed, const device::Place& place, std::int64_t side,
                 const mixing::Settings* mixing)
    : ranks_{ranks},
      config_{config},
      device_{place.device},
      channels_last_{use_channels_last(config, device_)},
      attention_in_order_{!device_.is_cpu() && config.kernels == Kernels::reproducible &&
                          models::facts_of_classifier(config.network).attention},
      side_{side},
      normalise_{device_, channels_last_},
      network_{models::make_classifier(
          config.network,
          models::ClassifierOptions{.classes = classes,
                                    .side = side,
                                    .recompute_concatenations = config.recompute_concatenations})},
      objective_{make_objective(config)},
      graph_{place.plugin, "the training step"} {
  models::initialise(*network_, seed);
  if (!config.weights.empty()) {
    const auto head = config.weights_head == WeightsHead::fresh ? models::Head::fresh : models::Head::keep;
    if (head == models::Head::fresh) models::initialise_fresh_head(*network_, seed);
    ranks.agree("loading the weights", [&] {
      for (const auto& note : models::load_weights(*network_, config.weights, head))
        log_info("{}: {}", config.weights.string(), note);
    });
  }
  network_->to(device_);
  if (channels_last_) models::use_channels_last(*network_);
  network_->train();
  optimizer_ = std::make_unique<Sgd>(network_->parameters(), SgdOptions{.momentum = config.momentum,
                                                                        .weight_decay = config.weight_decay,
                                                                        .nesterov = config.nesterov});
  auto& group = group_;
  if (mixing != nullptr) {
    mixing_ = *mixing;
    mixer_ = make_device_mixer(*mixing);
  }
  if (ranks.size() > 1) {
    const auto make_group = [&] {
      const auto kind = device_.is_cpu() ? comm::DeviceKind::cpu : comm::DeviceKind::cuda;
      return comm::make_process_group(ranks, kind, device_.is_cpu() ? -1 : device_.index());
    };
    group = make_group();
    if (config.batch_norm == BatchNorm::global) {
      // On CPUs a group of its own, so that sums of a layer do not wait behind gradients; on GPUs two groups
      // of NCCL at work at once may wait for each other.
      share_batch_norm(device_.is_cpu() ? make_group() : group);
    }
    std::vector<std::string> names;
    for (const auto& entry : network_->named_parameters()) names.push_back(entry.key());
    reducer_ = std::make_unique<comm::GradientReducer>(network_->parameters(), group, config.bucket_mb,
                                                       std::move(names));
  }
  if (config.precision == Precision::fp16) {
    std::function<void(at::Tensor&)> agree;
    if (group) agree = [group](at::Tensor& overflow) { reduce(*group, overflow, c10d::ReduceOp::MAX); };
    scaler_ = std::make_unique<GradientScaler>(
        LossScaling{.initial = config.loss_scale, .growth_interval = config.loss_scale_interval}, device_,
        std::move(agree));
  }
  if (config_.captured_graphs && mixer_)
    graph_.refuse("what is mixed with what is decided from saliency in the middle of the step");
  if (config_.captured_graphs && reducer_)
    graph_.refuse("gradients are averaged over several ranks while the backward pass runs");
}

Learner::~Learner() = default;

void Learner::share_batch_norm(c10::intrusive_ptr<c10d::ProcessGroup> group) {
  global_batch_ = c10::make_intrusive<models::GlobalBatch>();
  global_batch_->add_up = [group = std::move(group)](at::Tensor& sums) {
    reduce(*group, sums, c10d::ReduceOp::SUM);
  };
  models::use_global_batch_norm(*network_, global_batch_);
}

void Learner::clear_gradients() {
  std::size_t i = 0;
  for (const auto& parameter : network_->parameters()) {
    auto& gradient = parameter.mutable_grad();
    const auto kept = kept_gradients_.empty() ? at::Tensor{} : kept_gradients_[i++];
    // Alone, an undefined gradient lets backward hand over its result; with a reducer gradients are views of
    // its buckets, but before the first step, which makes them.
    if (!reducer_ || !gradient.defined())
      gradient = kept;
    else if (kept.defined())
      gradient.copy_(kept);
    else
      gradient.zero_();
  }
  kept_gradients_.clear();
}

at::Tensor Learner::forward_and_loss(const DeviceBatch& share, StepTracer* tracer) {
  const auto pictures = share.pictures.defined() ? share.pictures : normalise_(share.pixels);
  at::Tensor output;
  {
    const AutocastScope autocast(config_.precision, device_.type());
    output = network_->forward(pictures);
  }
  if (tracer) tracer->saw(pictures, share.labels, output, *share.host);
  return objective_->loss(output, share.labels);
}

// A rank without samples still has to take part in the averaging: zero gradients. Running statistics are
// untouched where batch norm is local; where it is global, the network runs as on the other ranks, on a
// picture that does not count.
at::Tensor Learner::empty_share_loss() {
  const auto side = network_->small_side();
  const bool local = !global_batch_;
  if (local) network_->eval();
  const auto output =
      network_->forward(at::zeros({1, 3, side, side}, at::TensorOptions(at::kFloat).device(device_)));
  if (local) network_->train();
  return output.sum() * 0.0;
}

at::Tensor Learner::run_step(const DeviceBatch& share, double weight, const OptimizerStep& optimizer_step,
                             StepTracer* tracer) {
  // LibTorch's attention adds up its gradients in any order, unless told so strictly.
  std::optional<device::ReproducibleAttention> in_order;
  if (attention_in_order_) in_order.emplace();
  clear_gradients();
  if (reducer_) reducer_->prepare_for_forward();
  const auto loss = share.size > 0 ? forward_and_loss(share, tracer) : empty_share_loss();
  auto weighted = share.size > 0 && weight != 1.0 ? loss * weight : loss;
  if (scaler_) weighted = scaler_->scaled(weighted);
  if (reducer_) reducer_->prepare_for_backward(weighted);
  weighted.backward();
  if (reducer_) reducer_->require_reduced();
  if (scaler_) {
    optimizer_step(scaler_->unscale(network_->parameters()));
    scaler_->update();
  } else {
    optimizer_step({});
  }
  return loss.detach();
}

// The step as a replayed graph; false where it has to run kernel by kernel: the first ones, which set up
// libraries, the smaller last batch of an epoch, and where recording was refused.
bool Learner::captured_step(const DeviceBatch& share, double learning_rate) {
  constexpr std::int64_t steps_to_set_up = 3;
  if (!graph_.possible() || share.size != config_.batch_size) return false;
  if (!graph_.ready()) {
    if (++steps_before_graph_ <= steps_to_set_up) return false;
    graph_batch_ = {share.size, share.pixels.clone(), share.labels.clone(), nullptr, {}};
    graph_rate_ = at::full({}, learning_rate, share.labels.options());
    const auto record = [this] {
      graph_loss_ = run_step(
          graph_batch_, 1.0, [this](const auto& overflow) { optimizer_->step(graph_rate_, overflow); },
          nullptr);
    };
    if (!graph_.record(record)) {
      graph_batch_ = {};
      return false;
    }
  }
  graph_batch_.pixels.copy_(share.pixels);
  graph_batch_.labels.copy_(share.labels);
  graph_rate_.fill_(learning_rate);
  graph_.replay();
  return true;
}

// The pass through the network that saliency costs; its gradient by the parameters is taken along where a
// method adds it. Autograd is asked for these gradients alone, so that nothing is accumulated and no
// averaging starts.
at::Tensor Learner::gradients_by_picture(const at::Tensor& pictures, const at::Tensor& labels, double factor,
                                         bool keep) {
  std::optional<device::ReproducibleAttention> in_order;
  if (attention_in_order_) in_order.emplace();
  const models::RunningStatisticsKept kept(*network_);
  const bool has_pictures = pictures.size(0) > 0;
  if (!has_pictures && !global_batch_) {
    if (keep) {
      for (const auto& parameter : network_->parameters())
        kept_gradients_.push_back(at::zeros_like(parameter));
    }
    return at::empty_like(pictures);
  }
  const auto side = network_->small_side();
  // Where batch norm is over all ranks, one without pictures takes part with one that does not count.
  const auto input =
      (has_pictures ? pictures.detach()
                    : at::zeros({1, 3, side, side}, at::TensorOptions(at::kFloat).device(device_)))
          .requires_grad_();
  at::Tensor loss;
  {
    const AutocastScope autocast(config_.precision, device_.type());
    const auto output = network_->forward(input);
    loss = has_pictures ? objective_->loss(output, labels) * factor : output.sum() * 0.0;
  }
  if (scaler_) loss = scaler_->scaled(loss);
  std::vector<at::Tensor> by{input};
  if (keep) {
    for (const auto& parameter : network_->parameters()) by.push_back(parameter);
  }
  const auto gradients = torch::autograd::grad({loss}, by);
  if (keep) kept_gradients_.assign(gradients.begin() + 1, gradients.end());
  return has_pictures ? gradients.front().to(at::kFloat) : at::empty_like(pictures);
}

at::Tensor Learner::class_activations(const at::Tensor& pictures, const at::Tensor& labels) {
  const at::NoGradGuard no_gradients;
  const models::RunningStatisticsKept kept(*network_);
  const bool has_pictures = pictures.size(0) > 0;
  at::Tensor maps;
  {
    const AutocastScope autocast(config_.precision, device_.type());
    // Also of a rank without pictures, for the maps' size and batch norm over all ranks.
    const bool takes_part = has_pictures || global_batch_;
    if (!takes_part) network_->eval();
    maps = network_->features(
        has_pictures ? pictures
                     : at::zeros({1, 3, pictures.size(-2), pictures.size(-1)}, pictures.options()));
    if (!takes_part) network_->train();
  }
  maps = maps.to(at::kFloat);
  if (!has_pictures) return at::empty({0, maps.size(2), maps.size(3)}, maps.options());
  const auto parameters = network_->named_parameters();
  const auto weight = parameters[network_->head_name() + ".weight"].to(at::kFloat),
             bias = parameters[network_->head_name() + ".bias"].to(at::kFloat);
  const auto of_label = labels.matmul(weight);  // [n, channels]
  return (maps * of_label.unsqueeze(2).unsqueeze(3)).sum(1) + labels.matmul(bias).unsqueeze(1).unsqueeze(2);
}

DeviceBatch Learner::mixed(const DeviceBatch& share, const mixing::BatchPlan& plan, std::int64_t global_size,
                           StepTracer* tracer) {
  const auto* const mix = share.host != nullptr && share.host->mix ? &*share.host->mix : nullptr;
  MixInput input{.settings = *mixing_,
                 .plan = plan,
                 .size = share.size,
                 .global_size = global_size,
                 .places = mix != nullptr ? mix->places : std::vector<std::uint32_t>{},
                 .pictures = {},
                 .labels = share.labels,
                 .traced = tracer != nullptr};
  const bool has_rows = !input.places.empty();
  const auto side = side_ > 0 ? side_ : network_->small_side();
  input.pictures = has_rows ? normalise_(share.pixels)
                            : at::empty({0, 3, side, side}, at::TensorOptions(at::kFloat).device(device_));
  if (!has_rows) input.labels = at::empty({0, network_->classes()}, input.pictures.options());
  const auto own_labels = input.labels.narrow(0, 0, input.size);
  const DeviceBatch clean{input.size, {}, own_labels, share.host, input.pictures.narrow(0, 0, input.size)};
  if (global_batch_) global_batch_->takes_part = input.size > 0;
  const NetworkView view{
      .gradients_by_picture =
          [&](const at::Tensor& pictures, const at::Tensor& labels, double keep) {
            double factor = 1;
            if (keep > 0) {
              const auto own = objective_->counted(clean);
              const auto all = std::max(1.0, objective_->counted_in_all(ranks_, own, global_size));
              factor = keep * own * static_cast<double>(ranks_.size()) / all;
            }
            return gradients_by_picture(pictures, labels, factor, keep > 0);
          },
      .class_activations = [&](const at::Tensor& pictures,
                               const at::Tensor& labels) { return class_activations(pictures, labels); },
      .of_all_places =
          [&](const at::Tensor& own) {
            auto sizes = own.sizes().vec();
            sizes.front() = global_size;
            auto all = at::zeros(sizes, own.options());
            if (own.size(0) > 0) {
              auto places = at::empty({own.size(0)}, at::kLong);
              std::copy_n(input.places.begin(), own.size(0), places.mutable_data_ptr<std::int64_t>());
              all.index_copy_(0, places.to(device_), own);
            }
            // Every place is one rank's and nothing on the others: the sum is exact.
            if (group_) reduce(*group_, all, c10d::ReduceOp::SUM);
            return all;
          }};
  const auto output = mixer_->mix(input, view);
  if (!output.usable) {
    ++left_unmixed_;
    kept_gradients_.clear();
    return clean;
  }
  if (input.size == 0) return {};
  if (tracer) tracer->mixed(clean.pictures, own_labels, output.trace);
  return {input.size,
          {},
          output.labels,
          share.host,
          channels_last_ ? output.pictures.contiguous(at::MemoryFormat::ChannelsLast) : output.pictures};
}

at::Tensor Learner::step(const DeviceBatch& batch, std::int64_t global_size, double learning_rate,
                         StepTracer* tracer, const mixing::BatchPlan* plan) {
  if (tracer) tracer->start(*network_, optimizer_->momentum_buffers());
  const auto share =
      mixer_ && plan != nullptr && plan->applied ? mixed(batch, *plan, global_size, tracer) : batch;
  // The reducer divides by the number of ranks; so weighted, the sum over ranks is the mean over the global
  // batch, of what the objective counts: samples, or entries of labels.
  const auto own = objective_->counted(share);
  const auto all = std::max(1.0, objective_->counted_in_all(ranks_, own, global_size));
  const auto weight = own * static_cast<double>(ranks_.size()) / all;
  const auto size = own * (static_cast<double>(global_size) / all);  // in samples
  if (global_batch_) global_batch_->takes_part = share.size > 0;
  if (config_.captured_graphs && !tracer && weight == 1.0 && captured_step(share, learning_rate))
    return graph_loss_.to(at::kDouble) * size;
  const auto loss = run_step(
      share, weight, [&](const auto& overflow) { optimizer_->step(learning_rate, overflow); }, tracer);
  return loss.to(at::kDouble) * size;
}

void Learner::synchronise_buffers() {
  std::vector<at::Tensor> buffers;
  for (const auto& entry : network_->named_buffers()) buffers.push_back(entry.value());
  broadcast(ranks_, buffers);
}

std::optional<LossScale> Learner::loss_scale() const {
  if (!scaler_) return std::nullopt;
  return scaler_->now();
}

bool Learner::finite() const {
  const at::NoGradGuard no_gradients;
  const auto norms = at::_foreach_norm(network_->parameters());
  return at::isfinite(at::stack(norms)).all().item<bool>();
}

models::NamedTensors Learner::tensors() const {
  models::NamedTensors named;
  for (const auto& [name, tensor] : models::state_of(*network_)) named[model_prefix + name] = tensor.detach();
  std::size_t i = 0;
  for (const auto& entry : network_->named_parameters())
    named[momentum_prefix + entry.key()] = optimizer_->momentum_buffers().at(i++);
  if (scaler_) {
    for (const auto& [name, tensor] : scaler_->tensors()) named[scaler_prefix + name] = tensor;
  }
  return named;
}

void Learner::restore(const models::NamedTensors& saved) {
  const auto own = tensors();
  ranks_.agree("restoring the checkpoint", [&] {
    if (!ranks_.is_root()) return;
    std::vector<Problem> problems;
    for (const auto& [name, tensor] : own) {
      const auto found = saved.find(name);
      if (found == saved.end())
        problems.push_back({"the checkpoint holds no tensor " + name, {}, {}});
      else if (found->second.sizes() != tensor.sizes())
        problems.push_back({"tensor " + name + " of the checkpoint has another shape", {}, {}});
    }
    if (!problems.empty()) throw DataError(std::move(problems));
    const at::NoGradGuard no_gradients;
    for (const auto& [name, tensor] : own) tensor.copy_(saved.at(name));
  });
  broadcast(ranks_, values(own));
}

}  // namespace deda::training

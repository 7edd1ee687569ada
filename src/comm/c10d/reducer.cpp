#include "comm/c10d/reducer.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <type_traits>
#include <unordered_map>

#include "core/error.h"

namespace deda::comm {

namespace {

constexpr double bytes_per_megabyte = 1024.0 * 1024.0;
// The first bucket is small, so that communication starts early.
constexpr std::int64_t first_bucket_bytes = std::int64_t{1} << 20;
constexpr bool find_unused_parameters = false;
constexpr bool gradient_as_bucket_view = true;
constexpr bool skip_unused_parameters = false;
constexpr bool use_python_reducer = false;
constexpr std::size_t listed_parameters = 5;

// Releases of LibTorch append arguments to this constructor (2.7: nine; 2.11: twelve; 2.13: thirteen, the
// last with a default). Asking the compiler which one is there holds for patched builds too, which a
// comparison of version numbers does not.
template <class Reducer>
std::unique_ptr<Reducer> make_reducer(std::vector<at::Tensor> parameters,
                                      std::vector<std::vector<std::size_t>> buckets,
                                      c10::intrusive_ptr<c10d::ProcessGroup> group,
                                      std::int64_t bucket_bytes) {
  using Names = std::unordered_map<std::size_t, std::string>;
  using Buckets = std::vector<std::vector<std::size_t>>;
  using Group = c10::intrusive_ptr<c10d::ProcessGroup>;
  using Tensors = std::vector<at::Tensor>;
  using Flags = std::vector<bool>;
  Flags sparse(parameters.size(), false);
  const auto base = [&](auto... more) {
    return std::make_unique<Reducer>(std::move(parameters), std::move(buckets), std::move(group),
                                     std::move(sparse), bucket_bytes, find_unused_parameters,
                                     gradient_as_bucket_view, Names{}, first_bucket_bytes, more...);
  };
  constexpr bool lists_caps =
      std::is_constructible_v<Reducer, Tensors, Buckets, Group, Flags, std::int64_t, bool, bool, Names,
                              std::int64_t, bool, bool, std::vector<std::int64_t>>;
  constexpr bool two_flags = std::is_constructible_v<Reducer, Tensors, Buckets, Group, Flags, std::int64_t,
                                                     bool, bool, Names, std::int64_t, bool, bool>;
  constexpr bool plain = std::is_constructible_v<Reducer, Tensors, Buckets, Group, Flags, std::int64_t, bool,
                                                 bool, Names, std::int64_t>;
  if constexpr (two_flags) {
    return base(skip_unused_parameters, use_python_reducer);
  } else if constexpr (lists_caps) {
    return base(skip_unused_parameters, use_python_reducer, std::vector<std::int64_t>{});
  } else {
    static_assert(plain, "c10d::Reducer of this LibTorch takes arguments that this file does not know");
    return base();
  }
}

void check_parameters(const std::vector<at::Tensor>& parameters, const std::vector<std::string>& names,
                      double bucket_megabytes) {
  if (parameters.empty()) throw ModelError("there is no parameter to train");
  if (!(bucket_megabytes > 0))
    throw ConfigError(fmt::format("buckets of {} MB", bucket_megabytes), "bucket_megabytes", "Use 1 to 100.");
  std::string problems;
  std::set<const void*> seen;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& parameter = parameters[i];
    const auto complain = [&](std::string_view what) {
      problems += fmt::format("{}{} {}", problems.empty() ? "" : "; ", names[i], what);
    };
    if (!parameter.requires_grad()) complain("needs no gradient");
    if (!seen.insert(parameter.unsafeGetTensorImpl()).second) complain("appears twice");
    if (parameter.device() != parameters.front().device()) complain("is on " + parameter.device().str());
  }
  if (!problems.empty())
    throw ModelError("gradients cannot be averaged: " + problems, {},
                     "Hand over each trained parameter once, all on one device.");
}

}  // namespace

GradientReducer::GradientReducer(const std::vector<at::Tensor>& parameters,
                                 c10::intrusive_ptr<c10d::ProcessGroup> group, double bucket_megabytes,
                                 std::vector<std::string> names)
    : names_{std::move(names)} {
  for (std::size_t i = names_.size(); i < parameters.size(); ++i)
    names_.push_back(fmt::format("parameter {}", i));
  check_parameters(parameters, names_, bucket_megabytes);
  if (group->getSize() == 1) return;
  // Gradients appear from the last layer to the first: reversed, the first bucket fills first.
  const std::vector<at::Tensor> reversed(parameters.rbegin(), parameters.rend());
  parameters_ = reversed;
  std::reverse(names_.begin(), names_.end());
  try {
    c10d::verify_params_across_processes(group, reversed, std::nullopt);
  } catch (const c10::Error& error) {
    throw CommError(fmt::format("rank {} holds other parameters than rank 0: {}", group->getRank(),
                                error.what_without_backtrace()));
  }
  const auto bucket_bytes = static_cast<std::int64_t>(bucket_megabytes * bytes_per_megabyte);
  const std::vector<std::size_t> limits{static_cast<std::size_t>(std::min(first_bucket_bytes, bucket_bytes)),
                                        static_cast<std::size_t>(bucket_bytes)};
  auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(reversed, limits));
  reducer_ = make_reducer<c10d::Reducer>(reversed, std::move(buckets), std::move(group), bucket_bytes);
}

GradientReducer::~GradientReducer() {
  if (reducer_) reducer_->remove_autograd_hooks();  // the parameters may live on
}

void GradientReducer::prepare_for_forward() {
  if (!reducer_) return;
  require_reduced();
  reducer_->prepare_for_forward();
  reducer_->rebuild_buckets();  // once, after the first step: by the order in which gradients really appeared
}

void GradientReducer::prepare_for_backward(const at::Tensor& loss) {
  if (!reducer_) return;
  static_cast<void>(loss);
  try {
    // No outputs: they are looked through for unused parameters only, which this class does not allow.
    reducer_->prepare_for_backward({});
  } catch (const c10::Error& error) {
    throw ModelError(std::string{"the gradients of the step before were not all averaged: "} +
                         error.what_without_backtrace(),
                     {}, "Hand the reducer only parameters that every loss depends on.");
  }
  in_step_ = true;
}

void GradientReducer::require_reduced() {
  if (!reducer_ || !in_step_) return;
  in_step_ = false;
  // A parameter that has never received a gradient is seen here; one that stops receiving them is caught by
  // the Reducer itself, in prepare_for_backward.
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined()) missing.push_back(i);
  }
  if (missing.empty()) return;
  std::string list;
  for (std::size_t i = 0; i < std::min(missing.size(), listed_parameters); ++i)
    list += (i ? ", " : "") + names_[missing[i]];
  if (missing.size() > listed_parameters)
    list += fmt::format(" and {} more", missing.size() - listed_parameters);
  throw ModelError(fmt::format("{} of {} parameters received no gradient in this step: {}", missing.size(),
                               names_.size(), list),
                   {}, "Hand the reducer only parameters that every loss depends on.");
}

}  // namespace deda::comm

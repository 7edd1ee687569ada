#include "diffusion/pretraining/shared_gradient.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace deda::diffusion {

struct SharedGradient::State {
  struct Share {
    double loss = 0;
    std::vector<at::Tensor> gradients;
    std::exception_ptr failure;
  };
  std::vector<Share> results;
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake, finished;
  const std::function<void(std::size_t)>* work = nullptr;
  std::uint64_t round = 0;
  std::size_t running = 0;
  bool ending = false;

  void serve(std::size_t share) {
    at::set_num_threads(1);
    std::uint64_t seen = 0;
    for (;;) {
      std::unique_lock lock{mutex};
      wake.wait(lock, [&] { return ending || round != seen; });
      if (ending) return;
      seen = round;
      const auto* task = work;
      lock.unlock();
      (*task)(share);
      lock.lock();
      if (--running == 0) finished.notify_one();
    }
  }
};

SharedGradient::SharedGradient(std::size_t shares) : state_{std::make_unique<State>()} {
  state_->results.resize(shares);
  for (std::size_t share = 1; share < shares; ++share)
    state_->threads.emplace_back([state = state_.get(), share] { state->serve(share); });
}

SharedGradient::~SharedGradient() {
  {
    const std::lock_guard lock{state_->mutex};
    state_->ending = true;
  }
  state_->wake.notify_all();
  for (auto& thread : state_->threads) thread.join();
}

LossAndGradients SharedGradient::run(const std::vector<at::Tensor>& parameters,
                                     const std::function<at::Tensor(std::size_t)>& loss_of) {
  auto& results = state_->results;
  const std::function<void(std::size_t)> work = [&](std::size_t share) {
    auto& result = results[share];
    result = {};
    try {
      const auto loss = loss_of(share);
      result.loss = loss.item<double>();
      result.gradients = torch::autograd::grad({loss}, parameters);
    } catch (...) {
      result.failure = std::current_exception();
    }
  };
  {
    const std::lock_guard lock{state_->mutex};
    state_->work = &work;
    state_->running = results.size() - 1;
    ++state_->round;
  }
  state_->wake.notify_all();
  at::set_num_threads(1);
  work(0);
  {
    std::unique_lock lock{state_->mutex};
    state_->finished.wait(lock, [&] { return state_->running == 0; });
  }
  LossAndGradients sum;
  for (auto& share : results) {
    if (share.failure) std::rethrow_exception(share.failure);
    sum.loss += share.loss;
    if (sum.gradients.empty()) {
      sum.gradients = std::move(share.gradients);
    } else {
      for (std::size_t i = 0; i < sum.gradients.size(); ++i)
        sum.gradients[i] = sum.gradients[i] + share.gradients[i];
    }
  }
  return sum;
}

}  // namespace deda::diffusion

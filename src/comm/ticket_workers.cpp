#include "comm/ticket_workers.h"

#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace deda::comm {
namespace {

class Round {
 public:
  Round(Tickets& tickets, const TicketWorkers& workers, const std::function<void(const DrawnTicket&)>& work)
      : tickets_{tickets}, workers_{workers}, work_{work} {}

  bool run() {
    std::vector<std::thread> others;
    try {
      for (int thread = 1; thread < workers_.threads; ++thread)
        others.emplace_back([this, thread] { serve(static_cast<std::size_t>(thread)); });
    } catch (...) {  // no more threads to be had: those that run must be joined
      fail(std::current_exception());
    }
    serve(0);
    for (auto& thread : others) thread.join();
    if (failed_ || stopped_) drop_the_rest();
    if (failure_) std::rethrow_exception(failure_);
    return !stopped_;
  }

 private:
  void serve(std::size_t thread) {
    try {
      if (workers_.begin_thread) workers_.begin_thread();
      for (std::int64_t number = draw(); number >= 0; number = draw()) work_({number, thread, failed_});
    } catch (...) {
      fail(std::current_exception());
    }
  }

  std::int64_t draw() {
    const std::lock_guard lock{drawing_};
    if (failed_ || stopped_) return -1;
    if (workers_.stop && workers_.stop()) {
      stopped_ = true;
      return -1;
    }
    return tickets_.draw();
  }

  void fail(std::exception_ptr failure) {
    const std::lock_guard lock{failing_};
    if (!failure_) failure_ = std::move(failure);
    failed_ = true;
  }

  // An error here says less than the one that is kept; without one it is the failure.
  void drop_the_rest() {
    try {
      while (tickets_.draw() >= 0) {
      }
    } catch (...) {
      fail(std::current_exception());
    }
  }

  Tickets& tickets_;
  const TicketWorkers& workers_;
  const std::function<void(const DrawnTicket&)>& work_;
  std::mutex drawing_, failing_;
  bool stopped_ = false;  // by `drawing_`
  std::atomic<bool> failed_ = false;
  std::exception_ptr failure_;  // by `failing_`
};

}  // namespace

bool work_on_tickets(Tickets& tickets, const TicketWorkers& workers,
                     const std::function<void(const DrawnTicket&)>& work) {
  return Round(tickets, workers, work).run();
}

}  // namespace deda::comm

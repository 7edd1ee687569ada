// The one place that catches: runs the work of a rank, tells people what went wrong once, and gives every
// rank the same exit code. A rank that failed alone tells the others, whose waits for it then end; those that
// do not hear it are ended.
#pragma once

#include <functional>

#include "comm/communicator.h"
#include "core/error.h"

namespace deda::jobs {

// `ends` is Communicator::endings(), which the work does not use: the ranks meet on it when they are through.
// A rank that failed waits there for grace_s seconds (DEDA_END_GRACE_S, default 20); then it prints its own
// problems and aborts the job. So does every rank, failed or not, when one of them is dead
// (comm/heartbeat.h). The failure that came first decides message and code, not those that follow from it
// (comm/peer_failure.h). With one rank there is nothing to wait for. Collective.
ExitCode end_together(const comm::Communicator& ends, const std::function<ExitCode()>& work);

// For start-up, before there is a communicator: prints the error being handled and gives its exit code.
ExitCode report_current_error();

}  // namespace deda::jobs

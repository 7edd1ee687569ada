// Stopping well: signals and the end of the allocation, as one flag that loops ask at safe points.
// Why: USR2/TERM from the scheduler and a deadline mean the same: finish the unit, save, exit 75.
#pragma once

#include <optional>
#include <string>

namespace deda {

// Installs handlers for TERM, INT, USR1 and USR2 that only set a flag (a second INT ends the process at
// once). Call once, before threads start.
void install_stop_signals();
// Seconds from now after which stop_requested() is true; also read from DEDA_DEADLINE_S or SLURM_JOB_END_TIME
// (less margin_s) when asked with from_environment().
void set_deadline(double seconds_from_now);
void set_deadline_from_environment(double margin_s = 300.0);
// True once a signal came or the deadline passed. Safe from any thread.
bool stop_requested();
// "signal 12 (USR2)" or "the time limit is near", empty when not requested.
std::string stop_reason();
void request_stop(std::string reason);  // for tests and for errors that want an orderly end
void clear_stop_request();              // tests only

}  // namespace deda

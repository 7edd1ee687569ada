// Stopping well: signals and the end of the allocation, as one flag that loops ask at safe points.
// Why: USR2/TERM from the scheduler and a deadline mean the same: finish the unit, save, exit 75.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace deda {

// Installs handlers for TERM, INT, USR1 and USR2 that only set a flag (a second INT ends the process at
// once). Call once, before threads start.
void install_stop_signals();
// Seconds from now after which stop_requested() is true. The earliest one counts.
void set_deadline(double seconds_from_now);

// How long before the end of an allocation work stops: 300 s, at most a quarter of a limit that is known.
inline constexpr double most_margin_s = 300.0;
inline constexpr double margin_share = 0.25;  // slurm/study.sbatch has the same numbers
double stop_margin(double limit_s, double most_s = most_margin_s);

// Deadlines of the environment: DEDA_DEADLINE_S (seconds from now; ConfigError where it is no number), and
// SLURM_JOB_END_TIME (seconds since 1970) less the margin, which shrinks where SLURM_JOB_START_TIME says that
// the limit is short. An end that is no time or lies in the past is not known: no deadline. Returns what
// people should be told about that.
std::vector<std::string> set_deadline_from_environment(double margin_s = most_margin_s);
// True once a signal came or the deadline passed. Safe from any thread.
bool stop_requested();
// "signal 12 (USR2)" or "the time limit is near", empty when not requested.
std::string stop_reason();
void request_stop(std::string reason);  // for tests and for errors that want an orderly end
void clear_stop_request();              // tests only

}  // namespace deda

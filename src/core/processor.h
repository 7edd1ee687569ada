// The kind of processor that this process runs on, as results keep it: other kinds give other last digits.
#pragma once

#include <string>

namespace deda {

std::string processor_name();  // "AMD EPYC 9B14"; "unknown processor" where the system does not tell

}  // namespace deda

// The kind of processor that this process runs on, as results keep it: other kinds give other last digits.
#pragma once

#include <string>

namespace deda {

// "AMD EPYC 9B14 96-Core Processor (family 25, model 17, AVX-512)"; "unknown processor" where the system does
// not tell. What follows the name decides which kernels libraries choose: machines of a cloud share names,
// and some hide instructions.
std::string processor_name();

// The same from the text of /proc/cpuinfo.
std::string processor_name_in(const std::string& cpuinfo);

}  // namespace deda

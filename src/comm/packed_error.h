// An exception as bytes, so that every rank can throw the error that one rank met. Internal to src/comm.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace deda::comm {

// Kind, exit code and all problems of the exception, as bytes for throw_packed_error. `host`: where it was
// thrown; empty where all ranks are on one.
std::string pack_error(const std::exception_ptr& error, std::string_view host);
// Throws the same kind of error with "rank r: ", or "rank r on host h: ", in front of each problem. CommError
// when the bytes make no sense.
[[noreturn]] void throw_packed_error(const std::string& packed, int rank);

}  // namespace deda::comm

// Unwraps Communicator::native() to the MPI_Comm it stands for. For src/comm and the .cpp files of src/io
// only: nobody else sees mpi.h.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <type_traits>

#include "comm/communicator.h"

namespace deda::comm {

// MPI_Comm is a pointer in Open MPI and an int in MPICH; both travel in a void*.
template <class Handle = MPI_Comm>
void* wrap_mpi_handle(Handle handle) {
  if constexpr (std::is_pointer_v<Handle>) {
    return static_cast<void*>(handle);
  } else {
    return reinterpret_cast<void*>(static_cast<std::intptr_t>(handle));
  }
}

template <class Handle = MPI_Comm>
Handle unwrap_mpi_handle(void* value) {
  if constexpr (std::is_pointer_v<Handle>) {
    return static_cast<Handle>(value);
  } else {
    return static_cast<Handle>(reinterpret_cast<std::intptr_t>(value));
  }
}

// The communicator's own duplicate; valid as long as a copy of `ranks` lives.
inline MPI_Comm mpi_handle(const Communicator& ranks) {
  return unwrap_mpi_handle(ranks.native());
}

}  // namespace deda::comm

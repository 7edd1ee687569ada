# Finds LibTorch in a PyPI wheel of torch or in a LibTorch folder, and makes imported targets from it.
#
# Why not find_package(Torch): its own package file insists on a full CUDA toolkit even for a CPU build, and probes the GPU
# with a dialect flag that CMake 3.25 does not know.
#
# Input    LIBTORCH_ROOT  folder that holds include/ and lib/ (also read from the environment; the set-up step names it)
# Targets  LibTorch::cpu   c10 + torch_cpu + torch: all that a CPU build needs
#          LibTorch::cuda  c10_cuda + torch_cuda: only where the wheel has them; linked by the CUDA plugin alone
# Sets     LibTorch_FOUND, LibTorch_VERSION, LibTorch_HAS_CUDA
# One folder only: a CPU build's own LibTorch must not be completed with the CUDA libraries of another release.
if(LIBTORCH_ROOT)
  set(_torch_hints ${LIBTORCH_ROOT})
elseif(DEFINED ENV{LIBTORCH_ROOT})
  set(_torch_hints $ENV{LIBTORCH_ROOT})
else()
  set(_torch_hints $ENV{HOME}/.cache/deda/libtorch-2.11.0/torch)
endif()
find_path(LibTorch_INCLUDE_DIR torch/csrc/api/include/torch/torch.h
          HINTS ${_torch_hints} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(LibTorch_C10 c10 HINTS ${_torch_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_CPU torch_cpu HINTS ${_torch_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_TORCH torch HINTS ${_torch_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_CUDA torch_cuda HINTS ${_torch_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_CUDA c10_cuda HINTS ${_torch_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_C10 LibTorch_CPU LibTorch_TORCH LibTorch_CUDA LibTorch_C10_CUDA)

if(LibTorch_INCLUDE_DIR)
  set(_version_header "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  if(NOT EXISTS "${_version_header}")
    set(_version_header "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
  endif()
  if(EXISTS "${_version_header}")
    set(_version_parts "")
    foreach(_part MAJOR MINOR PATCH)
      file(STRINGS "${_version_header}" _version_line REGEX "#define TORCH_VERSION_${_part} ")
      string(REGEX MATCH "[0-9]+" _number "${_version_line}")
      list(APPEND _version_parts "${_number}")
    endforeach()
    list(JOIN _version_parts "." LibTorch_VERSION)
    set(LibTorch_VERSION_FULL ${LibTorch_VERSION})
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU LibTorch_C10 LibTorch_TORCH LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "Set LIBTORCH_ROOT to the folder with include/ and lib/, or run cmake/setup.sh, which installs it.")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  # -idirafter: the wheel carries its own fmt 12; searched last, the system's fmt, spdlog and json win.
  target_compile_options(LibTorch::cpu INTERFACE
    "SHELL:-idirafter ${LibTorch_INCLUDE_DIR}" "SHELL:-idirafter ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_compile_definitions(LibTorch::cpu INTERFACE USE_DISTRIBUTED)
  # Not libtorch.so: it holds nothing, and in a wheel with CUDA it pulls in libtorch_cuda and all that this needs.
  target_link_libraries(LibTorch::cpu INTERFACE ${LibTorch_CPU} ${LibTorch_C10})
  set(LibTorch_HAS_CUDA FALSE)
  if(LibTorch_CUDA AND LibTorch_C10_CUDA)
    set(LibTorch_HAS_CUDA TRUE)
    add_library(LibTorch::cuda INTERFACE IMPORTED)
    # --no-as-needed: torch_cuda registers its kernels from static initialisers, nothing refers to it by symbol.
    target_link_libraries(LibTorch::cuda INTERFACE LibTorch::cpu
      "-Wl,--no-as-needed,--allow-shlib-undefined" ${LibTorch_C10_CUDA} ${LibTorch_CUDA} "-Wl,--as-needed")
  endif()
endif()

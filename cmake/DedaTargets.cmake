# The three calls that make every target of the project: one library per folder of src/, tests that declare their ranks,
# and benchmarks. Kept in one place so that warnings, sanitizers and timeouts are the same everywhere.

# Warnings and sanitizers travel as interface targets: nothing global is set.
add_library(deda_warnings INTERFACE)
target_compile_options(deda_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-unused-parameter)
if(DEDA_WERROR)
  target_compile_options(deda_warnings INTERFACE -Werror)
endif()
add_library(deda_sanitizers INTERFACE)
if(DEDA_SANITIZE)
  target_compile_options(deda_sanitizers INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(deda_sanitizers INTERFACE -fsanitize=address,undefined)
endif()

# deda_add_library(io SOURCES a.cpp b.cpp PUBLIC deda::comm PRIVATE HDF5)
# Makes static library deda_io (alias deda::io) with include root src/. PUBLIC only for what its headers show.
function(deda_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(deda_${name} STATIC ${ARG_SOURCES})
  add_library(deda::${name} ALIAS deda_${name})
  set_target_properties(deda_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME ${name})
  target_compile_features(deda_${name} PUBLIC cxx_std_20)
  target_include_directories(deda_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:include/deda>)
  target_link_libraries(deda_${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:deda_warnings> deda_sanitizers)
endfunction()

# deda_use_precompiled(target [PCH]): compile against a shared precompiled header (torch.h costs 19 s a file without it); without
# PCH the product's, deda_torch_pch. Tests have one of their own, made with their options.
function(deda_use_precompiled target)
  if(NOT DEDA_PCH)
    return()
  endif()
  set(precompiled deda_torch_pch)
  if(ARGC GREATER 1)
    set(precompiled ${ARGV1})
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    target_compile_options(${target} PRIVATE -fPIC)   # else -fPIE, which makes the compiler drop the precompiled header
  else()
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${precompiled})
endfunction()

# deda_compile_folders_as_one(target): its sources of one folder become one translation unit (half of a file's time is LibTorch's
# headers). Names in unnamed namespaces must then differ within a folder.
function(deda_compile_folders_as_one target)
  if(NOT DEDA_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    get_filename_component(folder ${source} DIRECTORY)
    if(folder STREQUAL "")
      set(folder "top")
    endif()
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()

# deda_compile_quickly(target [SOURCE...]): code that reads, writes and connects, and computes nothing. In a release build it is
# compiled with -O1: it runs as fast, and JSON and command lines compile in half the time. All of the target's sources where
# none is named. Not for files with the product's precompiled header, which has to be made with the same options.
function(deda_compile_quickly target)
  set(options $<$<CONFIG:Release>:-O1>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # With -O1 GCC 12 sees overflows in std::string's own code where there are none (its bugs 105329, 105651).
    list(APPEND options $<$<CONFIG:Release>:-Wno-restrict> $<$<CONFIG:Release>:-Wno-array-bounds> $<$<CONFIG:Release>:-Wno-stringop-overflow>)
  endif()
  if(ARGN)
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS ${options})
  else()
    target_compile_options(${target} PRIVATE ${options})
  endif()
endfunction()

# deda_build_as_test(target [APART] [TORCH]): compiled as tests are: with their precompiled header, with -O1, as one file unless APART.
function(deda_build_as_test target)
  cmake_parse_arguments(ARG "APART;TORCH" "" "" ${ARGN})
  # As GoogleTest's package defines it: a precompiled header counts only where the same is defined.
  target_compile_definitions(${target} PRIVATE GTEST_HAS_PTHREAD=1)
  if(ARG_TORCH)
    deda_use_precompiled(${target} deda_torch_test_pch)
  else()
    deda_use_precompiled(${target} deda_test_pch)
  endif()
  deda_compile_quickly(${target})
  if(NOT ARG_APART)
    deda_compile_folders_as_one(${target})
  endif()
endfunction()

# deda_add_test(io.record_store SOURCES record_store_test.cpp LINKS deda::io RANKS 1 3 4 LABELS mpi TIMEOUT 60 [TORCH]
#               [APART] [CONDITIONAL Suite.Test ...])
# One executable; one CTest entry per rank count (none given: one plain process). Its sources are compiled with -O1 (what they test
# is compiled as users get it), as one file unless APART. Every test has a timeout. A test program ends
# with 77, "skipped", as soon as one of its tests was skipped; so tests that need what not every machine has (genuine data, a
# tool, a processor) are named as CONDITIONAL and have entries of their own, NAME.Suite.Test: a skipped test never hides in a passed
# entry, and skips no other.
function(deda_add_test name)
  cmake_parse_arguments(ARG "TORCH;APART" "TIMEOUT" "SOURCES;LINKS;RANKS;LABELS;ENVIRONMENT;CONDITIONAL" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  string(REPLACE "." "_" target "test_${name}")
  add_executable(${target} ${ARG_SOURCES})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${target} PRIVATE DEDA_SOURCE_DIR="${PROJECT_SOURCE_DIR}" DEDA_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${target} PRIVATE ${ARG_LINKS} deda_test_main deda_warnings deda_sanitizers)
  set(how)
  foreach(option APART TORCH)
    if(ARG_${option})
      list(APPEND how ${option})
    endif()
  endforeach()
  deda_build_as_test(${target} ${how})
  set(environment OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
      OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none
      ${ARG_ENVIRONMENT})
  function(_deda_add_entry entry)
    if(NOT ARG_RANKS)
      add_test(NAME ${entry} COMMAND ${target} ${ARGN})
      set_tests_properties(${entry} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" ENVIRONMENT "${environment}"
                           SKIP_RETURN_CODE 77)
    endif()
    foreach(ranks IN LISTS ARG_RANKS)
      add_test(NAME ${entry}.ranks${ranks}
               COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:${target}> ${ARGN})
      set_tests_properties(${entry}.ranks${ranks} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "mpi;${ARG_LABELS}"
                           ENVIRONMENT "${environment}" PROCESSORS ${ranks} SKIP_RETURN_CODE 77)
    endforeach()
  endfunction()
  if(ARG_CONDITIONAL)
    list(JOIN ARG_CONDITIONAL ":" others)
    _deda_add_entry(${name} --gtest_filter=-${others})
  else()
    _deda_add_entry(${name})
  endif()
  foreach(test IN LISTS ARG_CONDITIONAL)
    _deda_add_entry(${name}.${test} --gtest_filter=${test})
  endforeach()
endfunction()

# deda_add_benchmark(compose SOURCES compose_bench.cpp LINKS deda::augment [TORCH]): bench_compose, built, never timed by CTest.
function(deda_add_benchmark name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LINKS" ${ARGN})
  add_executable(bench_${name} ${ARG_SOURCES})
  target_include_directories(bench_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(bench_${name} PRIVATE ${ARG_LINKS} deda_warnings)
  if(ARG_TORCH)
    deda_use_precompiled(bench_${name})
  endif()
endfunction()

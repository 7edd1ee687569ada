# cmake --install: the program, its plugin, the job scripts and the configurations. Relocatable: the program looks for its
# plugin beside itself ($ORIGIN/../lib/deda) and for LibTorch where it was linked from.
include(GNUInstallDirs)
if(TARGET deda)
  get_filename_component(_torch_lib "${LibTorch_CPU}" DIRECTORY)
  set_target_properties(deda PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/deda;${_torch_lib}")
  install(TARGETS deda RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET deda_cuda)
  install(TARGETS deda_cuda LIBRARY DESTINATION lib/deda)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/configs ${PROJECT_SOURCE_DIR}/slurm DESTINATION share/deda)

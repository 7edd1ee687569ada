#include <ATen/core/Tensor.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "comm/c10d/cuda_plugin.h"

namespace deda::comm {

namespace {

namespace fs = std::filesystem;

constexpr const char* file_name = "libdeda_cuda.so";
// The build tree has executables up to three folders below its top.
constexpr int parents_to_search = 3;

std::vector<fs::path> places_to_look() {
  std::vector<fs::path> places;
  if (const char* folder = std::getenv("DEDA_PLUGIN_DIR"); folder != nullptr && *folder != '\0') {
    // Named explicitly: a plugin from anywhere else would be a surprise.
    return {fs::path(folder) / file_name};
  }
  std::error_code error;
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  if (error) return places;
  places.push_back(folder / file_name);
  for (int level = 0; level <= parents_to_search; ++level, folder = folder.parent_path()) {
    places.push_back(folder / "lib" / "deda" / file_name);
  }
  return places;
}

LoadedCudaPlugin refuse(std::string reason) {
  return {.plugin = nullptr, .reason = std::move(reason), .not_built = false};
}

LoadedCudaPlugin load_from(const fs::path& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* text = dlerror();
    return refuse(fmt::format("{} cannot be loaded: {}", path.string(), text ? text : "unknown reason"));
  }
  const auto built_for = reinterpret_cast<const char* (*)()>(dlsym(library, "deda_cuda_plugin_built_for"));
  const auto make = reinterpret_cast<CudaPlugin* (*)()>(dlsym(library, "deda_cuda_plugin"));
  if (built_for == nullptr || make == nullptr)
    return refuse(fmt::format("{} is no plugin of this program", path.string()));
  const std::string wanted = fmt::format("interface {}, LibTorch {}", cuda_plugin_interface, TORCH_VERSION);
  if (wanted != built_for())
    return refuse(
        fmt::format("{} was built for {}, this program for {}", path.string(), built_for(), wanted));
  CudaPlugin* plugin = make();
  if (plugin->device_count() == 0)
    return refuse("no GPU is visible (driver missing, or CUDA_VISIBLE_DEVICES is empty)");
  return {.plugin = plugin, .reason = path.string(), .not_built = false};
}

LoadedCudaPlugin load() {
  std::error_code error;
  for (const fs::path& path : places_to_look()) {
    if (fs::exists(path, error)) return load_from(path);
  }
#ifdef DEDA_WITH_CUDA_PLUGIN
  LoadedCudaPlugin missing = refuse(fmt::format("{} was configured, but is not built", file_name));
  missing.not_built = true;
  return missing;
#else
  return refuse(fmt::format("{} was not found: this program was built without CUDA", file_name));
#endif
}

}  // namespace

const LoadedCudaPlugin& load_cuda_plugin() {
  static const LoadedCudaPlugin loaded = load();
  return loaded;
}

}  // namespace deda::comm

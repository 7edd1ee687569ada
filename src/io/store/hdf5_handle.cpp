#include "io/store/hdf5_handle.h"

namespace deda::io {

namespace {

herr_t append_message(unsigned, const H5E_error2_t* entry, void* target) {
  auto& text = *static_cast<std::string*>(target);
  if (entry->desc != nullptr && *entry->desc != '\0')
    text += std::string{text.empty() ? "" : ", "} + entry->desc;
  return 0;
}

}  // namespace

std::unique_lock<std::mutex> lock_hdf5() {
  static std::mutex mutex;
  std::unique_lock lock{mutex};
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  return lock;
}

void throw_hdf5_failure(std::string_view what) {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, append_message, &text);
  H5Eclear2(H5E_DEFAULT);
  throw Hdf5Failure(std::string{what} + (text.empty() ? "" : " (HDF5: " + text + ")"));
}

}  // namespace deda::io

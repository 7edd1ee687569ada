// HDF5 identifiers that close themselves, and HDF5's own words for our errors. Internal to src/io.
//
// The HDF5 of the distributions is built without thread safety: every function of src/io that calls it holds
// lock_hdf5() from its first HDF5 call to its last.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace deda::io {

// HDF5 refused. Never leaves src/io: writers turn it into IoError, readers into DataError.
struct Hdf5Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// One HDF5 call of the process at a time; also keeps HDF5 from printing its error stack.
std::unique_lock<std::mutex> lock_hdf5();

// Throws Hdf5Failure: `what`, then HDF5's messages from the outermost to the innermost.
[[noreturn]] void throw_hdf5_failure(std::string_view what);

// Passes on what an HDF5 call returned; negative means that it failed.
template <class Status>
Status check_hdf5(Status status, std::string_view what) {
  if (status < 0) throw_hdf5_failure(what);
  return status;
}

// Owns one identifier; Close is the matching H5?close.
template <auto Close>
class H5Handle {
 public:
  H5Handle() = default;
  H5Handle(hid_t id, std::string_view what) : id_{check_hdf5(id, what)} {}
  H5Handle(H5Handle&& other) noexcept : id_{std::exchange(other.id_, H5I_INVALID_HID)} {}
  H5Handle& operator=(H5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  H5Handle(const H5Handle&) = delete;
  H5Handle& operator=(const H5Handle&) = delete;
  ~H5Handle() {
    if (id_ >= 0) Close(id_);
  }
  hid_t get() const { return id_; }
  // Gives the identifier up without closing it.
  hid_t release() { return std::exchange(id_, H5I_INVALID_HID); }
  // Closes now, so that a failure (a full disk shows only here) is seen.
  void close(std::string_view what) {
    if (id_ >= 0) check_hdf5(Close(release()), what);
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using H5File = H5Handle<H5Fclose>;
using H5Dataset = H5Handle<H5Dclose>;
using H5Space = H5Handle<H5Sclose>;
using H5Type = H5Handle<H5Tclose>;
using H5Plist = H5Handle<H5Pclose>;
using H5Attribute = H5Handle<H5Aclose>;

}  // namespace deda::io

// safetensors: 8-byte little-endian header length, JSON header {name: {dtype, shape, data_offsets}}, raw
// data. The reader maps the file and trusts nothing in the header: length, JSON, dtype, shape x size = bytes,
// offsets inside the file, without overlap or gap; each problem is a DataError naming file and tensor. No
// Torch here: bytes and shapes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deda::io {

enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };
std::size_t size_of(DType dtype);
std::string_view name_of(DType dtype);  // "F32", ...

struct TensorView {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> bytes;  // valid while the file object lives; not necessarily aligned
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  const std::map<std::string, TensorView>& tensors() const;
  const std::map<std::string, std::string>& metadata() const;
  bool contains(const std::string& name) const { return tensors().count(name) != 0; }
  const TensorView& at(
      const std::string& name) const;  // DataError naming the file and the nearest existing name
  const std::filesystem::path& path() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> bytes;
};
// Tensors in name order, offsets aligned to 8 bytes by padding the header with blanks; atomic (core/files.h).
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace deda::io

#include "io/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/config.h"
#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "io/mapped_file.h"

namespace deda::io {

namespace {

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t max_header_bytes = 100'000'000;  // the reference implementation's limit
constexpr std::size_t max_dimensions = 16;

struct DTypeRow {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<DTypeRow, 10> dtypes = {{{DType::f64, "F64", 8},
                                              {DType::f32, "F32", 4},
                                              {DType::f16, "F16", 2},
                                              {DType::bf16, "BF16", 2},
                                              {DType::i64, "I64", 8},
                                              {DType::i32, "I32", 4},
                                              {DType::i16, "I16", 2},
                                              {DType::i8, "I8", 1},
                                              {DType::u8, "U8", 1},
                                              {DType::boolean, "BOOL", 1}}};

const DTypeRow* row_of(std::string_view name) {
  const auto found =
      std::find_if(dtypes.begin(), dtypes.end(), [name](const DTypeRow& row) { return row.name == name; });
  return found == dtypes.end() ? nullptr : &*found;
}

// Bytes of a shape, or nothing when a dimension is negative or the product overflows.
std::optional<std::uint64_t> bytes_of(const std::vector<std::int64_t>& shape, std::size_t element_bytes) {
  std::uint64_t bytes = element_bytes;
  for (const std::int64_t side : shape) {
    if (side < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(side), &bytes))
      return std::nullopt;
  }
  return bytes;
}

std::uint64_t read_length(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = length_bytes; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

std::size_t size_of(DType dtype) {
  return std::find_if(dtypes.begin(), dtypes.end(),
                      [dtype](const DTypeRow& row) { return row.dtype == dtype; })
      ->bytes;
}

std::string_view name_of(DType dtype) {
  return std::find_if(dtypes.begin(), dtypes.end(),
                      [dtype](const DTypeRow& row) { return row.dtype == dtype; })
      ->name;
}

struct SafetensorsFile::State {
  explicit State(const std::filesystem::path& path_) : path{path_}, mapping{path_} {
    if (mapping.bytes().empty())
      throw DataError("is empty: 0 bytes", path.string(), "Copy or download the file again.");
  }
  std::filesystem::path path;
  MappedFile mapping;
  std::map<std::string, TensorView> tensors;
  std::map<std::string, std::string> metadata;
};

namespace {

// One tensor's entry of the header, checked. Problems are added to `problems`.
void read_entry(const std::string& name, const nlohmann::json& entry, std::span<const std::uint8_t> data,
                const std::string& file, std::vector<Problem>& problems,
                std::map<std::string, TensorView>& tensors) {
  const auto problem = [&](std::string what) {
    problems.push_back({"tensor \"" + name.substr(0, 200) + "\" " + std::move(what), file, {}});
  };
  if (!entry.is_object()) return problem("is not described by an object");
  const auto dtype = entry.find("dtype"), shape = entry.find("shape"), offsets = entry.find("data_offsets");
  if (dtype == entry.end() || !dtype->is_string()) return problem("has no dtype");
  const DTypeRow* row = row_of(dtype->get_ref<const std::string&>());
  if (row == nullptr)
    return problem("has the unknown dtype \"" + dtype->get<std::string>().substr(0, 40) + "\"");
  if (shape == entry.end() || !shape->is_array() || shape->size() > max_dimensions)
    return problem("has no valid shape");
  TensorView view;
  view.dtype = row->dtype;
  for (const nlohmann::json& side : *shape) {
    if (!side.is_number_unsigned() ||
        side.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return problem("has a shape with a side that is no count");
    view.shape.push_back(side.get<std::int64_t>());
  }
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) {
    return problem("has no valid data_offsets");
  }
  const std::uint64_t begin = (*offsets)[0].get<std::uint64_t>(), end = (*offsets)[1].get<std::uint64_t>();
  if (begin > end || end > data.size())
    return problem("claims bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                   ", but the file holds " + std::to_string(data.size()));
  const auto expected = bytes_of(view.shape, row->bytes);
  if (!expected || *expected != end - begin)
    return problem("claims " + std::to_string(end - begin) +
                   " bytes, which does not fit its shape and dtype");
  view.bytes = data.subspan(begin, end - begin);
  tensors.emplace(name, std::move(view));
}

// Tensors must tile the data: overlapping or unused bytes mean that the header lies.
void check_tiling(const std::map<std::string, TensorView>& tensors, std::span<const std::uint8_t> data,
                  const std::string& file, std::vector<Problem>& problems) {
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  for (const auto& [name, view] : tensors) {
    if (!view.bytes.empty())
      ranges.emplace_back(static_cast<std::size_t>(view.bytes.data() - data.data()), view.bytes.size());
  }
  std::sort(ranges.begin(), ranges.end());
  std::size_t position = 0;
  for (const auto& [begin, size] : ranges) {
    if (begin != position) {
      problems.push_back(
          {begin < position ? "tensors overlap" : "there are bytes between tensors that belong to none", file,
           "Copy or download the file again."});
      return;
    }
    position = begin + size;
  }
  if (position != data.size())
    problems.push_back({"there are bytes behind the last tensor", file, "Copy or download the file again."});
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) {
  auto state = std::make_shared<State>(path);
  const std::span<const std::uint8_t> bytes = state->mapping.bytes();
  const std::string file = path.string();
  if (bytes.size() < length_bytes) throw DataError("is too short to be a safetensors file", file);
  const std::uint64_t header_bytes = read_length(bytes);
  if (header_bytes > max_header_bytes || header_bytes > bytes.size() - length_bytes) {
    throw DataError(
        "is no safetensors file or is cut off: its header claims " + std::to_string(header_bytes) + " bytes",
        file, "Copy or download the file again.");
  }
  const std::span<const std::uint8_t> data = bytes.subspan(length_bytes + header_bytes);
  nlohmann::json header;
  try {
    // Depth is bounded by the callback: a header of nested brackets must not exhaust the stack.
    constexpr int max_depth = 8;
    header = nlohmann::json::parse(bytes.begin() + length_bytes,
                                   bytes.begin() + static_cast<std::ptrdiff_t>(length_bytes + header_bytes),
                                   [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
                                     if (depth > max_depth)
                                       throw DataError("its header is nested too deeply");
                                     return true;
                                   });
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string{"has a header that is no JSON: "} + error.what(), file);
  } catch (const DataError& error) {
    throw DataError(error.problems().front().what, file);
  }
  if (!header.is_object()) throw DataError("has a header that is no JSON object", file);
  std::vector<Problem> problems;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      read_entry(name, entry, data, file, problems, state->tensors);
      continue;
    }
    if (!entry.is_object()) {
      problems.push_back({"__metadata__ is no object", file, {}});
      continue;
    }
    for (const auto& [key, value] : entry.items()) {
      if (value.is_string())
        state->metadata.emplace(key, value.get<std::string>());
      else
        problems.push_back({"metadata \"" + key.substr(0, 200) + "\" is no string", file, {}});
    }
  }
  if (problems.empty()) check_tiling(state->tensors, data, file, problems);
  if (!problems.empty()) throw DataError(std::move(problems));
  state_ = std::move(state);
}

const std::map<std::string, TensorView>& SafetensorsFile::tensors() const {
  return state_->tensors;
}
const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return state_->metadata;
}
const std::filesystem::path& SafetensorsFile::path() const {
  return state_->path;
}

const TensorView& SafetensorsFile::at(const std::string& name) const {
  const auto found = state_->tensors.find(name);
  if (found != state_->tensors.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [existing, view] : state_->tensors) names.push_back(existing);
  const std::string near = nearest_name(name, names);
  throw DataError("holds no tensor \"" + name + "\"", state_->path.string(),
                  near.empty() ? "" : "The nearest name there is \"" + near + "\".");
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const TensorToWrite* a, const TensorToWrite* b) { return a->name < b->name; });
  nlohmann::json header = nlohmann::json::object();
  for (const auto& [key, text] : metadata) header["__metadata__"][key] = readable(text);
  std::uint64_t offset = 0;
  for (const TensorToWrite* tensor : order) {
    const auto expected = bytes_of(tensor->shape, size_of(tensor->dtype));
    if (!expected || *expected != tensor->bytes.size())
      throw DataError("tensor \"" + tensor->name + "\" does not have the bytes of its shape", path.string());
    if (header.contains(tensor->name))
      throw DataError("tensor \"" + tensor->name + "\" is given twice", path.string());
    header[tensor->name] = {{"dtype", name_of(tensor->dtype)},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, offset + tensor->bytes.size()}}};
    offset += tensor->bytes.size();
  }
  std::string text = header.dump();
  while ((length_bytes + text.size()) % 8 != 0) text += ' ';  // the data begin aligned
  std::string head;
  for (std::uint64_t length = text.size(), i = 0; i < length_bytes; ++i)
    head += static_cast<char>(length >> (8 * i) & 0xff);
  head += text;
  std::vector<std::string_view> pieces{head};
  for (const TensorToWrite* tensor : order)
    pieces.emplace_back(reinterpret_cast<const char*>(tensor->bytes.data()), tensor->bytes.size());
  write_atomically(path, pieces);
}

}  // namespace deda::io

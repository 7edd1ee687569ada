#include "io/formats/torch_archive.h"

#include <array>
#include <cstring>
#include <fstream>
#include <set>
#include <span>
#include <string_view>

#include "core/error.h"
#include "core/files.h"

namespace deda::io {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint64_t most_bytes = 64ull << 20;
constexpr std::size_t most_values = 1u << 18;  // of one pickle; embeddings have some dozens
constexpr std::size_t most_depth = 8;

[[noreturn]] void damaged(const std::string& what) {
  throw DataError(what, {}, "Download or copy the file again.");
}

// Numbers of a fixed place; refuses what lies outside.
class Cursor {
 public:
  explicit Cursor(Bytes bytes, std::size_t at = 0) : bytes_{bytes}, at_{at} {}
  bool at_end() const { return at_ >= bytes_.size(); }
  std::size_t position() const { return at_; }
  std::uint64_t number(std::size_t width) {
    const auto raw = take(width);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i) value |= static_cast<std::uint64_t>(raw[i]) << (8 * i);
    return value;
  }
  Bytes take(std::uint64_t count) {
    if (at_ > bytes_.size() || count > bytes_.size() - at_) damaged("ends in the middle of a value");
    const auto part = bytes_.subspan(at_, static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
    return part;
  }
  std::string text(std::uint64_t count) {
    const auto raw = take(count);
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }
  std::string line() {
    std::string out;
    for (char c = 0; (c = static_cast<char>(take(1)[0])) != '\n';) out += c;
    return out;
  }

 private:
  Bytes bytes_;
  std::size_t at_;
};

// --- ZIP: members that are stored, not compressed, as torch writes them
// -------------------------------------------

constexpr std::uint32_t end_mark = 0x06054b50, entry_mark = 0x02014b50, member_mark = 0x04034b50;

std::size_t find_end_record(Bytes file) {
  constexpr std::size_t end_bytes = 22, most_comment = 65535;
  for (std::size_t back = end_bytes; back <= file.size() && back <= end_bytes + most_comment; ++back) {
    if (Cursor(file, file.size() - back).number(4) == end_mark) return file.size() - back;
  }
  damaged("is a ZIP archive without its end");
}

std::map<std::string, Bytes> members_of(Bytes file) {
  Cursor end(file, find_end_record(file));
  end.take(10);
  const auto count = end.number(2);
  end.take(4);
  Cursor entry(file, static_cast<std::size_t>(end.number(4)));
  std::map<std::string, Bytes> members;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (entry.number(4) != entry_mark) damaged("has a damaged list of members");
    entry.take(6);
    const auto method = entry.number(2);
    entry.take(12);
    const auto size = entry.number(4);
    const auto name_bytes = entry.number(2), extra_bytes = entry.number(2), comment_bytes = entry.number(2);
    entry.take(8);
    const auto offset = entry.number(4);
    const auto name = entry.text(name_bytes);
    entry.take(extra_bytes + comment_bytes);
    if (method != 0) damaged("has the compressed member " + name + ", which torch does not write");
    Cursor member(file, static_cast<std::size_t>(offset));
    if (member.number(4) != member_mark) damaged("has the damaged member " + name);
    member.take(22);
    const auto own_name_bytes = member.number(2), own_extra_bytes = member.number(2);
    member.take(own_name_bytes + own_extra_bytes);
    members[name] = member.take(size);
  }
  return members;
}

// --- Pickle
// ---------------------------------------------------------------------------------------------------

using Index = std::uint32_t;  // into the values of one pickle: no ownership, so that nesting costs no stack

enum class Kind : std::uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  sequence,
  dictionary,
  name,
  storage,
  tensor,
  mark
};

struct Value {
  Kind kind = Kind::none;
  std::int64_t integer = 0;
  double real = 0;
  std::string text{};          // of text and name; of a storage its key
  std::vector<Index> items{};  // of a sequence; of a dictionary key, value, key, value
  DType dtype = DType::f32;    // of storage and tensor
  Index storage = 0;           // of a tensor
  std::vector<std::int64_t> shape{}, strides{};
};

const std::map<std::string, DType>& storage_types() {
  static const std::map<std::string, DType> types{
      {"torch.FloatStorage", DType::f32}, {"torch.DoubleStorage", DType::f64},
      {"torch.HalfStorage", DType::f16},  {"torch.BFloat16Storage", DType::bf16},
      {"torch.LongStorage", DType::i64},  {"torch.IntStorage", DType::i32},
      {"torch.ShortStorage", DType::i16}, {"torch.CharStorage", DType::i8},
      {"torch.ByteStorage", DType::u8},   {"torch.BoolStorage", DType::boolean}};
  return types;
}

class Unpickler {
 public:
  explicit Unpickler(Bytes bytes) : in_{bytes} {}

  Index run() {
    for (;;) {
      const auto code = static_cast<std::uint8_t>(in_.number(1));
      if (code == '.') return pop();
      step(code);
      if (values_.size() > most_values || stack_.size() > most_values)
        damaged("holds more values than an embedding can");
    }
  }
  const Value& operator[](Index i) const { return values_[i]; }

 private:
  Index make(Value value) {
    values_.push_back(std::move(value));
    return static_cast<Index>(values_.size() - 1);
  }
  void push(Value value) { stack_.push_back(make(std::move(value))); }
  Index pop() {
    if (stack_.empty()) damaged("is no pickle: a value is missing");
    const auto top = stack_.back();
    stack_.pop_back();
    return top;
  }
  std::vector<Index> pop_to_mark() {
    std::vector<Index> items;
    for (;;) {
      const auto top = pop();
      if (values_[top].kind == Kind::mark) break;
      items.push_back(top);
    }
    return {items.rbegin(), items.rend()};
  }
  void push_sequence(std::vector<Index> items) { push({.kind = Kind::sequence, .items = std::move(items)}); }
  void push_last(std::size_t count) {
    std::vector<Index> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push_sequence(std::move(items));
  }
  void add_to_top(Kind kind, const std::vector<Index>& items) {
    if (stack_.empty() || values_[stack_.back()].kind != kind)
      damaged("is no pickle: items without a container");
    auto& to = values_[stack_.back()].items;
    to.insert(to.end(), items.begin(), items.end());
    items_ += items.size();
    if (items_ > most_values) damaged("holds more values than an embedding can");
  }
  void remember(std::uint64_t slot) {
    if (stack_.empty()) damaged("is no pickle: nothing to remember");
    memo_[slot] = stack_.back();
  }
  void recall(std::uint64_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) damaged("is no pickle: recalls what was never there");
    stack_.push_back(found->second);
  }
  std::int64_t signed_number(std::size_t width) {
    if (width > 8) damaged("holds an integer of more than 64 bits");
    if (width == 0) return 0;
    const auto raw = in_.number(width);
    const auto shift = 64 - 8 * width;
    return static_cast<std::int64_t>(raw << shift) >> shift;
  }
  double big_endian_double() {
    const auto raw = in_.take(8);
    std::uint64_t bits = 0;
    for (const auto byte : raw) bits = (bits << 8) | byte;
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  void step(std::uint8_t code) {
    switch (code) {
      case 0x80:
        in_.take(1);
        return;  // protocol
      case 0x95:
        in_.take(8);
        return;  // frame
      case '(':
        return push({.kind = Kind::mark});
      case '}':
        return push({.kind = Kind::dictionary});
      case ']':
      case ')':
        return push({.kind = Kind::sequence});
      case 't':
        return push_sequence(pop_to_mark());
      case 0x85:
        return push_last(1);
      case 0x86:
        return push_last(2);
      case 0x87:
        return push_last(3);
      case 's': {
        const auto value = pop(), key = pop();
        return add_to_top(Kind::dictionary, {key, value});
      }
      case 'u':
        return add_pairs(pop_to_mark());
      case 'a': {
        const auto item = pop();
        return add_to_top(Kind::sequence, {item});
      }
      case 'e': {
        const auto items = pop_to_mark();
        return add_to_top(Kind::sequence, items);
      }
      default:
        return scalar_or_object(code);
    }
  }
  void add_pairs(const std::vector<Index>& items) {
    if (items.size() % 2 != 0) damaged("is no pickle: a key without a value");
    add_to_top(Kind::dictionary, items);
  }

  void scalar_or_object(std::uint8_t code) {
    switch (code) {
      case 'N':
        return push({.kind = Kind::none});
      case 0x88:
        return push({.kind = Kind::boolean, .integer = 1});
      case 0x89:
        return push({.kind = Kind::boolean});
      case 'K':
        return push({.kind = Kind::integer, .integer = static_cast<std::int64_t>(in_.number(1))});
      case 'M':
        return push({.kind = Kind::integer, .integer = static_cast<std::int64_t>(in_.number(2))});
      case 'J':
        return push({.kind = Kind::integer, .integer = signed_number(4)});
      case 0x8a:
        return push(
            {.kind = Kind::integer, .integer = signed_number(static_cast<std::size_t>(in_.number(1)))});
      case 'G':
        return push({.kind = Kind::real, .real = big_endian_double()});
      case 'X':
        return push({.kind = Kind::text, .text = in_.text(in_.number(4))});
      case 0x8c:
        return push({.kind = Kind::text, .text = in_.text(in_.number(1))});
      case 0x8d:
        return push({.kind = Kind::text, .text = in_.text(in_.number(8))});
      case 'q':
        return remember(in_.number(1));
      case 'r':
        return remember(in_.number(4));
      case 0x94:
        return remember(memo_.size());
      case 'h':
        return recall(in_.number(1));
      case 'j':
        return recall(in_.number(4));
      case 'c': {
        const auto module = in_.line(), name = in_.line();
        return push({.kind = Kind::name, .text = module + "." + name});
      }
      case 0x93: {
        const auto name = pop(), module = pop();
        return push({.kind = Kind::name, .text = values_[module].text + "." + values_[name].text});
      }
      case 'Q':
        return push_storage(pop());
      case 'R':
        return reduce();
      case 'b': {  // the attributes of an OrderedDict
        pop();
        return;
      }
      default:
        damaged("holds what is no plain data (pickle code " + std::to_string(code) + ")");
    }
  }

  const Value& item(Index of, std::size_t i, Kind kind) const {
    const auto& items = values_[of].items;
    if (values_[of].kind != Kind::sequence || i >= items.size() || values_[items[i]].kind != kind)
      damaged("holds a malformed tensor");
    return values_[items[i]];
  }
  std::vector<std::int64_t> integers(Index of, std::size_t i) const {
    std::vector<std::int64_t> numbers;
    for (const auto number : item(of, i, Kind::sequence).items) {
      if (values_[number].kind != Kind::integer || values_[number].integer < 0)
        damaged("holds a malformed tensor");
      numbers.push_back(values_[number].integer);
    }
    return numbers;
  }
  // ("storage", type, key, device, count)
  void push_storage(Index id) {
    const auto& type = item(id, 1, Kind::name).text;
    const auto found = storage_types().find(type);
    if (found == storage_types().end()) damaged("holds numbers of the unknown type " + type);
    push({.kind = Kind::storage, .text = item(id, 2, Kind::text).text, .dtype = found->second});
  }
  void reduce() {
    const auto arguments = pop(), callee = pop();
    if (values_[callee].kind != Kind::name) damaged("is no pickle: calls what has no name");
    const auto& name = values_[callee].text;
    if (name == "torch._utils._rebuild_tensor_v2") {  // (storage, offset, shape, strides, ...)
      const auto storage = item(arguments, 0, Kind::storage);
      const auto offset = item(arguments, 1, Kind::integer).integer;
      return push({.kind = Kind::tensor,
                   .integer = offset,
                   .dtype = storage.dtype,
                   .storage = values_[arguments].items[0],
                   .shape = integers(arguments, 2),
                   .strides = integers(arguments, 3)});
    }
    if (name == "torch._utils._rebuild_parameter") {  // (tensor, ...)
      item(arguments, 0, Kind::tensor);
      stack_.push_back(values_[arguments].items[0]);
      return;
    }
    if (name == "collections.OrderedDict") return push({.kind = Kind::dictionary});
    throw DataError("would call " + name + ": it is no plain data and is not read", {},
                    "Convert the file to safetensors with the program that made it.");
  }

  Cursor in_;
  std::vector<Value> values_;
  std::vector<Index> stack_;
  std::map<std::uint64_t, Index> memo_;
  std::size_t items_ = 0;
};

// --- From values to what callers want
// ---------------------------------------------------------------------------

class Flattener {
 public:
  Flattener(const Unpickler& values, const std::map<std::string, Bytes>& members, std::string root)
      : values_{values}, members_{members}, root_{std::move(root)} {}

  TorchArchive run(Index top) {
    visit(top, "", 0);
    return std::move(archive_);
  }

 private:
  void visit(Index index, const std::string& path, std::size_t depth) {
    if (depth > most_depth || ++visited_ > most_values) damaged("is nested more than an embedding can be");
    const auto& value = values_[index];
    switch (value.kind) {
      case Kind::tensor:
        archive_.tensors[path] = tensor(value);
        break;
      case Kind::text:
        archive_.texts[path] = value.text;
        break;
      case Kind::integer:
        archive_.texts[path] = std::to_string(value.integer);
        break;
      case Kind::real:
        archive_.texts[path] = std::to_string(value.real);
        break;
      case Kind::sequence:
        for (std::size_t i = 0; i < value.items.size(); ++i)
          visit(value.items[i], below(path, std::to_string(i)), depth + 1);
        break;
      case Kind::dictionary:
        for (std::size_t i = 0; i + 1 < value.items.size(); i += 2) {
          const auto& key = values_[value.items[i]];
          visit(value.items[i + 1],
                below(path, key.kind == Kind::text ? key.text : std::to_string(key.integer)), depth + 1);
        }
        break;
      default:
        break;  // none, booleans, names: nothing to keep
    }
  }
  static std::string below(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "/" + name;
  }

  ArchivedTensor tensor(const Value& value) {
    const auto name = root_ + "/data/" + values_[value.storage].text;
    const auto member = members_.find(name);
    if (member == members_.end()) damaged("lacks the numbers " + name);
    const auto element = size_of(value.dtype);
    std::uint64_t count = 1, last = static_cast<std::uint64_t>(value.integer);
    if (value.shape.size() != value.strides.size() || value.integer < 0) damaged("holds a malformed tensor");
    for (std::size_t i = 0; i < value.shape.size(); ++i) {
      const auto extent = static_cast<std::uint64_t>(value.shape[i]),
                 stride = static_cast<std::uint64_t>(value.strides[i]);
      if (__builtin_mul_overflow(count, extent, &count) || count > most_bytes)
        damaged("holds a tensor that is too large");
      std::uint64_t reach = 0;
      if (extent > 0 &&
          (__builtin_mul_overflow(extent - 1, stride, &reach) || __builtin_add_overflow(last, reach, &last)))
        damaged("holds a malformed tensor");
    }
    total_ += count * element;
    if (total_ > most_bytes) damaged("holds more numbers than an embedding can");
    if (count > 0 && last >= member->second.size() / element)
      damaged("holds a tensor that reaches past its numbers");
    ArchivedTensor out{value.dtype, value.shape,
                       std::vector<std::uint8_t>(static_cast<std::size_t>(count) * element)};
    copy_strided(value, member->second, element, out.bytes);
    return out;
  }
  static void copy_strided(const Value& value, Bytes from, std::size_t element,
                           std::vector<std::uint8_t>& to) {
    std::vector<std::int64_t> at(value.shape.size(), 0);
    for (std::size_t done = 0; done < to.size(); done += element) {
      auto place = value.integer;
      for (std::size_t i = 0; i < at.size(); ++i) place += at[i] * value.strides[i];
      std::memcpy(to.data() + done, from.data() + static_cast<std::size_t>(place) * element, element);
      for (std::size_t i = at.size(); i-- > 0 && ++at[i] == value.shape[i];) at[i] = 0;
    }
  }

  const Unpickler& values_;
  const std::map<std::string, Bytes>& members_;
  std::string root_;
  TorchArchive archive_;
  std::size_t visited_ = 0;
  std::uint64_t total_ = 0;
};

TorchArchive read(Bytes file) {
  constexpr std::array<std::uint8_t, 2> zip{'P', 'K'}, pickle{0x80, 0x02};
  const auto begins = [&](const auto& mark) {
    return file.size() >= mark.size() && std::memcmp(file.data(), mark.data(), mark.size()) == 0;
  };
  if (begins(pickle))
    throw DataError("is a pickle of torch before 1.6, which is not read", {},
                    "Save it with a newer torch, or as safetensors.");
  if (!begins(zip)) throw DataError("is no file of torch.save", {}, "Expected a ZIP archive with data.pkl.");
  const auto members = members_of(file);
  const std::string tail = "/data.pkl";
  for (const auto& [name, bytes] : members) {
    if (name.size() <= tail.size() || name.compare(name.size() - tail.size(), tail.size(), tail) != 0)
      continue;
    const auto root = name.substr(0, name.size() - tail.size());
    if (const auto order = members.find(root + "/byteorder"); order != members.end()) {
      const std::string_view written{reinterpret_cast<const char*>(order->second.data()),
                                     order->second.size()};
      if (written != "little") throw DataError("has another byte order than this machine");
    }
    Unpickler unpickler(bytes);
    const auto top = unpickler.run();
    return Flattener(unpickler, members, root).run(top);
  }
  throw DataError("is a ZIP archive without data.pkl: no file of torch.save");
}

}  // namespace

bool is_torch_archive(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 4> begin{};
  return file.read(begin.data(), begin.size()) && std::memcmp(begin.data(), "PK\3\4", begin.size()) == 0;
}

TorchArchive read_torch_archive(const std::filesystem::path& path) {
  const auto bytes = read_bytes(path, most_bytes);
  try {
    return read(bytes);
  } catch (const DataError& error) {
    auto problems = error.problems();
    for (auto& problem : problems) problem.where = path.string();
    throw DataError(std::move(problems));
  }
}

}  // namespace deda::io

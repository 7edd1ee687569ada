// Owner of the one precompiled header (src/CMakeLists.txt says what is in it); the targets that include torch
// reuse it. Holds no code.
namespace deda {
extern const int torch_headers_compiled;
const int torch_headers_compiled = 1;
}  // namespace deda

// What the C library does with memory that the program gives back.
#pragma once

namespace deda {

// Keeps freed memory of up to 32 MiB a piece for the next tensor or picture, where glibc would hand every
// piece above 128 KiB back to the kernel and get it again, zeroed page by page: a quarter of the time of
// generation with tiny networks on a CPU. At most 256 MiB at the end of the main heap lie idle so. What the
// user chose in GLIBC_TUNABLES or MALLOC_* stays. Once, at the start of main; does nothing with other C
// libraries.
void keep_freed_memory();

}  // namespace deda

// Distinguishes a driver's library from a stub for linking (CUDA has one, some images put it on the loader's path).
#pragma once

#include <cstdint>

namespace nvml {

/// True where the library gives its own version, as a driver's does before nvmlInit and also where nvmlInit fails. A
/// stub answers no question. It is asked in a child process: stubs print to standard output, which may be somebody's
/// data.
bool KnowsItsVersion(int (*system_get_nvml_version)(char*, uint32_t));

}  // namespace nvml

#pragma once

#include <cstdint>

namespace hivepulse {

/// The soft RLIMIT_NOFILE that this process was started with, as far as known. Node itself raises the soft
/// limit to the hard one before any addon loads; the parent's limit, where its hard limit is the same as ours, is then
/// the one we came with. Children get this one back: programs that call select() break above 1024.
std::uint64_t OriginalDescriptorLimit();

/// Raises the soft limit to the hard one. Returns the soft limit now in force.
std::uint64_t RaiseDescriptorLimit();

}  // namespace hivepulse

#pragma once

namespace hivepulse {

/// At most two arenas of malloc, where nobody set another number (MALLOC_ARENA_MAX): each thread would else keep memory
/// of its own. Of threads that start later. Does nothing where the C library has no arenas.
void KeepFewArenas();

/// Gives back what the process holds and does not use, on a thread of its own: memory that was freed, and pages of
/// programs and libraries that were needed to start. Of these those that are used again come back from the page cache.
/// False when the system gives no thread.
bool ReleaseUnusedPages();

}  // namespace hivepulse

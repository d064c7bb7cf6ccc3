#pragma once

namespace hivepulse {

/// Gives back what the process holds and does not use, on a thread of its own: memory that was freed, and pages of
/// programs and libraries that were needed to start. Of these those that are used again come back from the page cache.
/// False when the system gives no thread.
bool ReleaseUnusedPages();

}  // namespace hivepulse

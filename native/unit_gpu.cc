/// What reads GPUs, without napi: in the addon and in hivepulse-gpu. See binding.gyp.
#include "detached_thread.cc"
#include "gpu_loop.cc"
#include "library_probe.cc"
#include "nvml_events.cc"
#include "nvml_library.cc"
#include "nvml_reader.cc"

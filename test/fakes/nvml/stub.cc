// CUDA's stub of libnvidia-ml, for linking: every call prints a banner on standard output and fails.
#include <cstdio>

namespace {

int Refuse() {
  std::printf(
      "\nWARNING:\n\nYou should always run with libnvidia-ml.so that is installed with your NVIDIA Display Driver.\n");
  std::fflush(stdout);
  return 999;
}

}  // namespace

#define STUB(NAME) \
  extern "C" __attribute__((visibility("default"))) int NAME() { return Refuse(); }

STUB(nvmlInit_v2)
STUB(nvmlShutdown)
STUB(nvmlSystemGetNVMLVersion)
STUB(nvmlSystemGetDriverVersion)
STUB(nvmlDeviceGetCount_v2)
STUB(nvmlDeviceGetHandleByIndex_v2)
STUB(nvmlDeviceGetUUID)
STUB(nvmlDeviceGetMemoryInfo)

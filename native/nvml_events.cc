// Xid events of the GPUs that a reader has. What cannot be registered is said of each GPU: no Xid is then not known.
#include "nvml_reader.h"

namespace nvml {

void NvmlReader::RegisterEvents() {
  if (nvml_.eventSetCreate != nullptr && nvml_.deviceRegisterEvents != nullptr && nvml_.eventSetWait != nullptr &&
      nvml_.eventSetFree != nullptr && nvml_.deviceGetSupportedEventTypes != nullptr && events_ == nullptr &&
      nvml_.eventSetCreate(&events_) != kSuccess) {
    events_ = nullptr;
  }
  for (State& state : states_) {
    if (state.report.handle_code != kSuccess) continue;
    const int code = state.hears_xids ? static_cast<int>(kSuccess) : RegisterXids(state);
    state.hears_xids = code == kSuccess;
    Set(state, kXidEvents, code, 1);
  }
}

int NvmlReader::RegisterXids(const State& state) {
  // Events of a MIG device are its GPU's.
  if (state.is_mig || state.unsupported.test(kXidEvents)) return kNotSupported;
  if (events_ == nullptr) return nvml_.eventSetCreate == nullptr ? kFunctionNotFound : kUnknown;
  uint64_t supported = 0;
  const int code = nvml_.deviceGetSupportedEventTypes(state.handle, &supported);
  if (code != kSuccess) return code;
  return (supported & kEventXid) == 0 ? static_cast<int>(kNotSupported)
                                      : nvml_.deviceRegisterEvents(state.handle, kEventXid, events_);
}

void NvmlReader::TakeEvents(Report& report) {
  if (events_ == nullptr) return;
  // Bounded: a failing GPU may report events faster than they are read.
  for (int i = 0; i < 64; i++) {
    EventData data{};
    if (nvml_.eventSetWait(events_, &data, 0) != kSuccess) return;  // TIMEOUT: nothing new
    if ((data.eventType & kEventXid) == 0) continue;
    for (const State& state : states_) {
      if (state.handle == data.device && !state.is_mig) report.xids.push_back({state.report.uuid, data.eventData});
    }
  }
}

}  // namespace nvml

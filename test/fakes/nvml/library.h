// What the fake's exported functions do. exports.cc gives them NVML's names, as far as a driver generation has them.
// Structures are written at literal offsets, on purpose not through native/nvml_abi.h: a mistake there must show.
#pragma once

#include <cstdint>

namespace fake {

/// `generation`: of the library that is asked.
int Init(int generation);
int Shutdown();
int DriverVersion(char* text, uint32_t size);
int Count(uint32_t* count);
int HandleByIndex(uint32_t index, void** device);
int Uuid(void* device, char* text, uint32_t size);
int Name(void* device, char* text, uint32_t size);
/// `extended`: also writes busId at offset 36, as _v3 does.
int PciInfo(void* device, void* info, bool extended);
int ComputeCapability(void* device, int* major, int* minor);
int MemoryV1(void* device, void* memory);
int MemoryV2(void* device, void* memory);
int Utilization(void* device, void* utilization);
int Temperature(void* device, int sensor, uint32_t* celsius);
int TemperatureV(void* device, void* temperature);
int Power(void* device, uint32_t* milliwatts);
int PowerLimit(void* device, uint32_t* milliwatts);
int Clock(void* device, int type, uint32_t* megahertz);
int Fan(void* device, uint32_t* percent);
int Throttle(void* device, uint64_t* bits);
int Ecc(void* device, int type, int counter, uint64_t* errors);
int Remapped(void* device, uint32_t* corrected, uint32_t* uncorrected, uint32_t* pending, uint32_t* failed);
int NvLinkState(void* device, uint32_t link, int* active);
int FieldValues(void* device, int count, void* values, bool knowsRecovery);
int MigMode(void* device, uint32_t* current, uint32_t* pending);
int MaxMig(void* device, uint32_t* count);
int MigHandle(void* device, uint32_t slot, void** mig);
/// `kind`: C, G or M. `stride`: 16, 24 or 32.
int Processes(void* device, const char* function, char kind, unsigned stride, uint32_t* count, void* infos);
int ProcessUtilization(void* device, void* samples, uint32_t* count, uint64_t since);
int ProcessesUtilization(void* device, void* info);
int EventCreate(void** set);
int EventFree(void* set);
int EventWait(void* set, void* data, uint32_t milliseconds, bool extended);
int RegisterEvents(void* device, uint64_t mask, void* set);
int SupportedEvents(void* device, uint64_t* mask);

}  // namespace fake

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const native = fileURLToPath(new URL('../../../native', import.meta.url));

/** NVIDIA's own header, where a CUDA toolkit is installed or HIVEPULSE_NVML_HEADER names one. */
function nvidiaHeader(): string | null {
  const cuda = existsSync('/usr/local') ? readdirSync('/usr/local').filter((name) => name.startsWith('cuda')) : [];
  const candidates = [
    process.env.HIVEPULSE_NVML_HEADER ?? '',
    join(process.env.CUDA_HOME ?? '/nonexistent', 'include/nvml.h'),
    '/usr/include/nvml.h',
    ...cuda.flatMap((name) => [
      `/usr/local/${name}/include/nvml.h`,
      `/usr/local/${name}/targets/x86_64-linux/include/nvml.h`,
    ]),
  ];
  return candidates.find((path) => path !== '' && existsSync(path)) ?? null;
}

function compile(code: string, ...includes: string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'hivepulse-abi-'));
  try {
    const file = join(directory, 'abi.cc');
    writeFileSync(file, code);
    const flags = includes.flatMap((path) => ['-I', path]);
    const { status, stderr, error } = spawnSync('c++', ['-std=c++17', '-fsyntax-only', ...flags, file], {
      encoding: 'utf8',
    });
    if (error) throw error;
    return status === 0 ? '' : stderr;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Ours, NVIDIA's, and the fields, which have the same names. */
const structures: readonly (readonly [ours: string, theirs: string, fields: readonly string[]])[] = [
  ['PciInfo', 'nvmlPciInfo_t', ['busIdLegacy', 'domain', 'bus', 'device', 'pciDeviceId', 'pciSubSystemId', 'busId']],
  ['Memory', 'nvmlMemory_t', ['total', 'free', 'used']],
  ['MemoryV2', 'nvmlMemory_v2_t', ['version', 'total', 'reserved', 'free', 'used']],
  ['Utilization', 'nvmlUtilization_t', ['gpu', 'memory']],
  ['ProcessInfoV1', 'nvmlProcessInfo_v1_t', ['pid', 'usedGpuMemory']],
  ['ProcessInfoV2', 'nvmlProcessInfo_v2_t', ['pid', 'usedGpuMemory', 'gpuInstanceId', 'computeInstanceId']],
  [
    'ProcessUtilizationSample',
    'nvmlProcessUtilizationSample_t',
    ['pid', 'timeStamp', 'smUtil', 'memUtil', 'encUtil', 'decUtil'],
  ],
  [
    'ProcessUtilizationInfo',
    'nvmlProcessUtilizationInfo_v1_t',
    ['timeStamp', 'pid', 'smUtil', 'memUtil', 'encUtil', 'decUtil', 'jpgUtil', 'ofaUtil'],
  ],
  [
    'ProcessesUtilizationInfo',
    'nvmlProcessesUtilizationInfo_v1_t',
    ['version', 'processSamplesCount', 'lastSeenTimeStamp', 'procUtilArray'],
  ],
  ['Temperature', 'nvmlTemperature_v1_t', ['version', 'sensorType', 'temperature']],
  ['EventData', 'nvmlEventData_t', ['device', 'eventType', 'eventData', 'gpuInstanceId', 'computeInstanceId']],
  [
    'FieldValue',
    'nvmlFieldValue_t',
    ['fieldId', 'scopeId', 'timestamp', 'latencyUsec', 'valueType', 'nvmlReturn', 'value'],
  ],
];

const constants: readonly (readonly [ours: string, theirs: string])[] = [
  ['kNotSupported', 'NVML_ERROR_NOT_SUPPORTED'],
  ['kInsufficientSize', 'NVML_ERROR_INSUFFICIENT_SIZE'],
  ['kDriverNotLoaded', 'NVML_ERROR_DRIVER_NOT_LOADED'],
  ['kGpuIsLost', 'NVML_ERROR_GPU_IS_LOST'],
  ['kResetRequired', 'NVML_ERROR_RESET_REQUIRED'],
  ['kVersionMismatch', 'NVML_ERROR_LIB_RM_VERSION_MISMATCH'],
  ['kArgumentVersionMismatch', 'NVML_ERROR_ARGUMENT_VERSION_MISMATCH'],
  ['kDeprecated', 'NVML_ERROR_DEPRECATED'],
  ['kClockSm', 'NVML_CLOCK_SM'],
  ['kEccUncorrected', 'NVML_MEMORY_ERROR_TYPE_UNCORRECTED'],
  ['kEccVolatile', 'NVML_VOLATILE_ECC'],
  ['kEventXid', 'nvmlEventTypeXidCriticalError'],
  ['kFieldRecoveryAction', 'NVML_FI_DEV_GET_GPU_RECOVERY_ACTION'],
];

describe('NVML ABI', () => {
  it('NVML ABI: sizes and offsets are those that drivers write', () => {
    expect(compile('#include "nvml_abi.h"\n', native)).toBe('');
    // The asserts are really there: with another layout of a structure they fail.
    expect(compile('#include <cstdint>\n#define uint32_t uint64_t\n#include "nvml_abi.h"\n', native)).toMatch(
      /nvmlPciInfo_t/,
    );
  });

  const header = nvidiaHeader();
  it.skipIf(header === null)(
    `NVML ABI: the same as NVIDIA's own header${header ? ` (${header})` : ' (no nvml.h here; HIVEPULSE_NVML_HEADER=/path/nvml.h runs it)'}`,
    () => {
      // Older headers lack what came later.
      const text = readFileSync(header!, 'utf8');
      const known = (name: string) => new RegExp(`\\b${name}\\b`).test(text);
      const shared = structures.filter(([, theirs]) => known(theirs));
      expect(shared.length).toBeGreaterThan(5);
      const asserts = [
        ...shared.flatMap(([ours, theirs, fields]) => [
          `static_assert(sizeof(nvml::${ours}) == sizeof(${theirs}), "${theirs}");`,
          ...fields.map(
            (field) =>
              `static_assert(offsetof(nvml::${ours}, ${field}) == offsetof(${theirs}, ${field}), "${theirs}.${field}");`,
          ),
        ]),
        ...constants
          .filter(([, theirs]) => known(theirs))
          .map(
            ([ours, theirs]) =>
              `static_assert(static_cast<long long>(nvml::${ours}) == static_cast<long long>(${theirs}), "${theirs}");`,
          ),
        known('nvmlMemory_v2')
          ? 'static_assert(nvml::StructVersion<nvml::MemoryV2>(2) == nvmlMemory_v2, "nvmlMemory_v2");'
          : '',
      ];
      const code = `#include <cstddef>\n#include <nvml.h>\n#include "nvml_abi.h"\n${asserts.join('\n')}\n`;
      expect(compile(code, native, dirname(header!))).toBe('');
    },
  );
});

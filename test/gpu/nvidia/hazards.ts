import { type FakeGpu, h100, h100With, type Scenario } from '../../fakes/scenario.js';

const MiB = 1024 * 1024;

/** A consumer card: no ECC, no MIG, no NVLink, a fan. */
export function consumer(index: number, changes: Partial<FakeGpu> = {}): FakeGpu {
  return h100(index, {
    uuid: `GPU-c0a5e1d2-1111-2222-3333-00000000000${index}`,
    name: 'NVIDIA GeForce RTX 4090',
    computeCapability: '8.9',
    memory: { total: 24564 * MiB, reserved: 355 * MiB, used: 0 },
    fan: 30,
    ecc: null,
    remap: null,
    nvlinks: null,
    mig: null,
    powerMilliwatts: 21_480,
    powerLimitMilliwatts: 450_000,
    ...changes,
  });
}

/** A MIG-split H100: sparse slots, one instance in use. The driver gives a privileged caller the sum on the parent too. */
export const migGpu: FakeGpu = h100(0, {
  mig: {
    enabled: true,
    slots: 7,
    devices: [
      {
        slot: 0,
        uuid: 'MIG-6c1a3bd0-94dd-5b8a-a0b4-000000000001',
        gpuInstance: 1,
        computeInstance: 0,
        totalBytes: 40_448 * MiB,
        reservedBytes: 0,
        usedBytes: 9000 * MiB,
      },
      {
        slot: 3,
        uuid: 'MIG-6c1a3bd0-94dd-5b8a-a0b4-000000000002',
        gpuInstance: 5,
        computeInstance: 0,
        totalBytes: 19_968 * MiB,
        reservedBytes: 0,
        usedBytes: 0,
      },
    ],
  },
  memory: { total: 81559 * MiB, reserved: 501481472, used: 11125 * MiB },
  utilization: [55, 20],
  processes: [{ pid: 777, bytes: 8900 * MiB, utilization: null, gpuInstance: 1, computeInstance: 0 }],
});

/** Grace-Blackwell desktop chip: no memory of its own, nor a limit, nor a fan. */
export const gb10: FakeGpu = consumer(0, {
  name: 'NVIDIA GB10',
  bus: '0000000F:01:00.0',
  computeCapability: '12.1',
  memory: null,
  utilization: [0, 0],
  powerLimitMilliwatts: null,
  fan: null,
  processes: [
    { pid: 501, bytes: 34_000 * MiB, utilization: null },
    { pid: 502, bytes: 120 * MiB, utilization: null },
  ],
});

const readers = (code: number) => ({ nvmlDeviceGetMemoryInfo: code, nvmlDeviceGetMemoryInfo_v2: code });

/** What every list of processes answers instead. */
export const listCodes = (code: number): Readonly<Record<string, number>> => ({
  nvmlDeviceGetComputeRunningProcesses: code,
  nvmlDeviceGetComputeRunningProcesses_v2: code,
  nvmlDeviceGetComputeRunningProcesses_v3: code,
  nvmlDeviceGetGraphicsRunningProcesses: code,
  nvmlDeviceGetGraphicsRunningProcesses_v2: code,
  nvmlDeviceGetMPSComputeRunningProcesses_v2: code,
});

/** Machines on which telemetry has gone wrong before; the numbers are those of the catalogue of known faults. */
export const hazards = {
  '01 a 535.54 whose _v3 lists take 32 bytes': {
    generation: 53554,
    driver: '535.54.03',
    gpus: [
      h100With(0, [
        { pid: 100, bytes: 700 * MiB },
        { pid: 200, bytes: 900 * MiB },
      ]),
    ],
  },
  '02 a 440 that knows only the first layouts': {
    generation: 440,
    driver: '440.33.01',
    gpus: [
      consumer(0, {
        processes: [
          { pid: 9980, bytes: 5 * MiB },
          { pid: 9981, bytes: 6 * MiB },
        ],
        memory: { total: 11_019 * MiB, reserved: 0, used: 11 * MiB },
      }),
    ],
  },
  '03 a 535.98 without _v3 lists': {
    generation: 53598,
    driver: '535.98',
    gpus: [h100With(0, [{ pid: 100, bytes: 700 * MiB }])],
  },
  '04 memory info v2 that fails': {
    gpus: [
      consumer(0, {
        codes: { nvmlDeviceGetMemoryInfo_v2: 13 },
        memory: { total: 24564 * MiB, reserved: 300 * MiB, used: 100 * MiB },
      }),
    ],
  },
  '05 an idle GPU of which the driver reserves some': {
    gpus: [consumer(0, { memory: { total: 24564 * MiB, reserved: 308 * MiB, used: 1 * MiB } })],
  },
  '06 WSL: no memory of processes, v2 unknown': {
    gpus: [
      consumer(0, {
        codes: { nvmlDeviceGetMemoryInfo_v2: 999 },
        memory: { total: 24564 * MiB, reserved: 0, used: 2000 * MiB },
        processes: [{ pid: 79, bytes: null, utilization: null }],
      }),
    ],
  },
  '07 GB10: no memory info': { generation: 590, driver: '580.95.05', gpus: [gb10] },
  '09 utilization that a card can not tell': {
    generation: 440,
    driver: '440.33.01',
    gpus: [
      consumer(0, {
        memory: { total: 2004 * MiB, reserved: 0, used: 2004 * MiB },
        utilization: null,
        fan: 44,
        powerMilliwatts: null,
        powerLimitMilliwatts: null,
      }),
    ],
  },
  '10 tokens in another case': {
    generation: 440,
    driver: '418.87.00',
    smi: { lowerCase: true },
    gpus: [
      consumer(0, {
        memory: { total: 6144 * MiB, reserved: 0, used: 100 * MiB },
        utilization: null,
        fan: null,
        powerMilliwatts: null,
        powerLimitMilliwatts: null,
        processes: [{ pid: 79, bytes: null, utilization: null }],
      }),
    ],
  },
  '11 a nvidia-smi that knows none of the newer fields': {
    generation: 470,
    driver: '470.57.02',
    gpus: [h100(0)],
  },
  '14 one lost handle between healthy ones': {
    gpus: [h100(0), h100(1), h100(2, { codes: { nvmlDeviceGetHandleByIndex_v2: 999 } }), h100(3)],
  },
  '14b one lost in the middle of its answers': {
    gpus: [h100(0), h100With(1, [{ pid: 5, bytes: 10 * MiB }], { codes: readers(15) }), h100(2)],
  },
  '15 a fan that errs and a recovery action': {
    generation: 590,
    driver: '590.44.01',
    gpus: [consumer(0, { codes: { nvmlDeviceGetFanSpeed: 999 }, recovery: 1 })],
  },
  '16 only the fan is unknown': {
    generation: 440,
    driver: '440.33.01',
    gpus: [
      consumer(0, {
        name: 'GeForce GTX 1080 Ti',
        utilization: [53, 3],
        temperature: 84,
        powerMilliwatts: 123_000,
        powerLimitMilliwatts: 262_500,
        codes: { nvmlDeviceGetFanSpeed: 999 },
      }),
    ],
  },
  '18 a container that may not see processes': { gpus: [h100(0, { codes: listCodes(4) })] },
  '18b a process list that fails beside one that does not': {
    gpus: [
      h100With(0, [{ pid: 42, bytes: 500 * MiB, utilization: 7 }]),
      h100With(1, [{ pid: 43, bytes: 600 * MiB, utilization: 9 }], { codes: listCodes(999) }),
    ],
  },
  '20 an idle GPU has no samples': { gpus: [h100With(0, [{ pid: 42, bytes: 500 * MiB, utilization: null }])] },
  '21 a ring full of nonsense': {
    generation: 510,
    driver: '510.39.01',
    ringGarbage: true,
    gpus: [
      h100With(0, [
        { pid: 42, bytes: 500 * MiB, utilization: 61 },
        { pid: 43, bytes: 5 * MiB, utilization: 2 },
      ]),
    ],
  },
  '22 Blackwell: the old utilization call stays empty': {
    generation: 590,
    driver: '590.44.01',
    gpus: [
      h100With(0, [{ pid: 42, bytes: 500 * MiB, utilization: 77 }], { codes: { nvmlDeviceGetProcessUtilization: 6 } }),
    ],
  },
  '24 MIG': { gpus: [migGpu] },
  '24b MIG is on, and nothing is cut yet': {
    gpus: [{ ...migGpu, mig: { enabled: true, slots: 7, devices: [] }, processes: [] }, h100(1)],
  },
  '28 utilization latched at 100 %': {
    gpus: [consumer(0, { utilization: [100, 0], memory: { total: 24564 * MiB, reserved: 300 * MiB, used: 0 } })],
  },
  '32 a vGPU guest that can tell little': {
    gpus: [
      h100With(0, [{ pid: 42, bytes: 500 * MiB, utilization: 7 }], {
        temperature: null,
        powerMilliwatts: null,
        powerLimitMilliwatts: null,
        fan: null,
        remap: null,
        ecc: null,
        nvlinks: null,
      }),
    ],
  },
  '34 a library under one name alone': { gpus: [h100With(0, [{ pid: 42, bytes: 500 * MiB, utilization: 7 }])] },
  '35 an order that is not that of the bus, nor of CUDA': {
    gpus: [
      h100With(3, [{ pid: 43, bytes: 900 * MiB, utilization: 9 }]),
      consumer(0, { bus: '00000000:F1:00.0' }),
      h100With(1, [{ pid: 42, bytes: 500 * MiB, utilization: 7 }]),
    ],
  },
  'graphics and MPS processes, some in two lists': {
    gpus: [
      h100With(0, [
        { pid: 10, kind: 'CG', bytes: 700 * MiB, utilization: 3 },
        { pid: 11, kind: 'G', bytes: 40 * MiB, utilization: null },
        { pid: 12, kind: 'M', bytes: 900 * MiB, utilization: 40 },
      ]),
    ],
  },
  'rows waiting to be remapped': { gpus: [h100(0, { remap: { pending: true, failed: false }, ecc: 2 })] },
  'a GPU that must be reset': { gpus: [h100(0, { codes: readers(16) }), h100(1)] },
  'no permission for one device': { gpus: [h100(0), h100(1, { codes: { nvmlDeviceGetHandleByIndex_v2: 4 } })] },
} satisfies Record<string, Scenario>;

/** Rows of the catalogue that are no single answer of a machine, and the tests that stand for them: [file, title]. */
export const elsewhere: Readonly<Record<number, readonly [file: string, title: string]>> = {
  8: ['test/gpu/nvidia/hazards.test.ts', 'known faults: 08 the memory of the host is never taken for that of a GPU'],
  13: ['test/gpu/nvidia/readers.test.ts', 'driver_appears_after_boot: nvmlInit says 9, 9, 0'],
  25: [
    'test/sampling/collect.test.ts',
    'in another pid namespace no worker is given a stranger’s memory, and the fault says why',
  ],
  26: [
    'test/gpu/nvidia/hazards.test.ts',
    'known faults: 26 access lost within a container: unknown errors everywhere, then re-initialized',
  ],
  29: ['test/gpu/nvidia/hazards.test.ts', 'known faults: 29 a slow nvidia-smi ages, and is not cut off'],
  30: [
    'test/gpu/nvidia/hazards.test.ts',
    'known faults: 30 power is a column asked for by name; nothing is read from XML',
  ],
  31: ['test/gpu/nvidia/readers.test.ts', 'release lets go of the driver and takes it up again (%s)'],
};

/** The catalogue of known faults, by number; those left out were found to be none of a reader's. */
export const catalogue = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 18, 20, 21, 22, 24, 25, 26, 28, 29, 30, 31, 32, 34, 35,
] as const;

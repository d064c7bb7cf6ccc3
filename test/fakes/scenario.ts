import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../harness/leftovers.js';

/** Driver generations that the fake is built for: which symbols exist and which strides they write. */
export const generations = [440, 470, 510, 53554, 53598, 550, 590] as const;
export type Generation = (typeof generations)[number];

/** Bytes of a 64-bit counter beyond what a number holds exactly are given as a bigint. */
type Amount = number | bigint;

/** Where an amount is null, the device can't tell it (NOT_SUPPORTED, `[N/A]`). */
export interface FakeProcess {
  readonly pid: number;
  /** C compute, G graphics, CG both, M a client of MPS. */
  readonly kind?: 'C' | 'G' | 'CG' | 'M';
  readonly bytes: Amount | null;
  /** null: no sample, that is idle. */
  readonly utilization?: number | null;
  /** Of a MIG device. */
  readonly gpuInstance?: number;
  readonly computeInstance?: number;
  readonly name?: string;
}

export interface FakeMig {
  readonly slot: number;
  readonly uuid: string;
  readonly gpuInstance: number;
  readonly computeInstance: number;
  readonly totalBytes: Amount;
  readonly reservedBytes: Amount;
  readonly usedBytes: Amount;
}

export interface FakeGpu {
  readonly uuid: string;
  readonly name: string;
  readonly bus: string;
  readonly computeCapability?: string;
  readonly memory: { readonly total: Amount; readonly reserved: Amount; readonly used: Amount } | null;
  readonly utilization?: readonly [gpu: Amount, memory: Amount] | null;
  readonly temperature?: Amount | null;
  readonly powerMilliwatts?: Amount | null;
  readonly powerLimitMilliwatts?: Amount | null;
  readonly smClock?: Amount | null;
  readonly fan?: Amount | null;
  readonly throttle?: Amount | null;
  readonly ecc?: Amount | null;
  readonly remap?: { readonly pending: boolean | Amount; readonly failed: boolean | Amount } | null;
  /** `state`: what the first link says of itself instead of 0 or 1. */
  readonly nvlinks?: { readonly up: number; readonly total: number; readonly state?: Amount } | null;
  /** GPU recovery action: 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset. Told since 565. */
  readonly recovery?: number | null;
  /** null: has no MIG. */
  readonly mig?: { readonly enabled: boolean; readonly slots?: number; readonly devices: readonly FakeMig[] } | null;
  readonly processes?: readonly FakeProcess[];
  /** What a function returns for this GPU instead. nvidia-smi follows the same codes; its pmon leaves a GPU out that has one for `pmon`. */
  readonly codes?: Readonly<Record<string, number>>;
}

/** What a function of the library does instead, whichever GPU it is asked for. nvidia-smi does not follow these. */
export interface FakeCall {
  /** One for each call of a process; the last stays. */
  readonly codes?: readonly number[];
  readonly delayMs?: number;
  /** Does not return, until a newer scenario says otherwise. */
  readonly hang?: boolean;
  /** The process dies of SIGSEGV in this call; 1 is its first. */
  readonly dieAt?: number;
}

export interface Scenario {
  readonly generation?: Generation;
  readonly driver?: string;
  /** Of the loaded module; a library of another generation does not work with it. Without it: that of each library. */
  readonly module?: Generation;
  readonly gpus: readonly FakeGpu[];
  readonly calls?: Readonly<Record<string, FakeCall>>;
  /** Bytes that a process list takes for each process, instead of the generation's own. */
  readonly stride?: 16 | 24 | 32;
  /** Pad utilization rings with nonsense, as real ones are. */
  readonly ringGarbage?: boolean;
  /** Xid events, oldest first; those there when the library is initialized are not told. */
  readonly xids?: readonly { readonly gpu: number; readonly xid: number }[];
  readonly smi?: {
    readonly delayMs?: number;
    /** 6, 9, 12, 18, 255: fails with the text of that code. 14: ends so, after it has told everything. */
    readonly exit?: number;
    /** As `exit`, for the list of processes alone. */
    readonly appsExit?: number;
    /** A query for GPUs ends so, after it has given every row. */
    readonly exitCode?: number;
    /** GPUs that one run of pmon shows at most, as real ones do. */
    readonly pmonLimit?: number;
    /** Tokens are written as `[n/a]`, as some releases do. */
    readonly lowerCase?: boolean;
    /** A line before the rows. */
    readonly warning?: string;
  };
}

const amount = (value: Amount | null | undefined): string =>
  value === null || value === undefined ? '-' : String(value);

function gpuLines(gpu: FakeGpu): string[] {
  const lines = ['gpu', `uuid ${gpu.uuid}`, `name ${gpu.name}`, `bus ${gpu.bus}`];
  if (gpu.computeCapability) lines.push(`cc ${gpu.computeCapability}`);
  lines.push(`memory ${amount(gpu.memory?.total)} ${amount(gpu.memory?.reserved)} ${amount(gpu.memory?.used)}`);
  lines.push(`utilization ${amount(gpu.utilization?.[0])} ${amount(gpu.utilization?.[1])}`);
  lines.push(`temperature ${amount(gpu.temperature)}`);
  lines.push(`power ${amount(gpu.powerMilliwatts)} ${amount(gpu.powerLimitMilliwatts)}`);
  lines.push(`smClock ${amount(gpu.smClock)}`, `fan ${amount(gpu.fan)}`, `throttle ${amount(gpu.throttle)}`);
  lines.push(`ecc ${amount(gpu.ecc)}`, `recovery ${amount(gpu.recovery)}`);
  if (gpu.remap) lines.push(`remap ${Number(gpu.remap.pending)} ${Number(gpu.remap.failed)}`);
  if (gpu.nvlinks) lines.push(`nvlinks ${gpu.nvlinks.up} ${gpu.nvlinks.total} ${amount(gpu.nvlinks.state)}`);
  if (gpu.mig) lines.push(`mig ${Number(gpu.mig.enabled)} ${gpu.mig.slots ?? 7}`);
  for (const mig of gpu.mig?.devices ?? []) {
    lines.push(
      `migdevice ${mig.slot} ${mig.uuid} ${mig.gpuInstance} ${mig.computeInstance} ` +
        `${mig.totalBytes} ${mig.reservedBytes} ${mig.usedBytes}`,
    );
  }
  for (const process of gpu.processes ?? []) {
    lines.push(
      `process ${process.pid} ${process.kind ?? 'C'} ${amount(process.bytes)} ${amount(process.utilization)} ` +
        `${amount(process.gpuInstance)} ${amount(process.computeInstance)} ${process.name ?? 'python'}`,
    );
  }
  for (const [name, code] of Object.entries(gpu.codes ?? {})) lines.push(`code ${name} ${code}`);
  return lines;
}

/** The scenario as the fakes read it. */
export function scenarioText(scenario: Scenario): string {
  const lines = [`generation ${scenario.generation ?? 550}`, `driver ${scenario.driver ?? '550.54.15'}`];
  if (scenario.module) lines.push(`module ${scenario.module}`);
  if (scenario.stride) lines.push(`stride ${scenario.stride}`);
  if (scenario.ringGarbage) lines.push('ringGarbage');
  for (const [name, call] of Object.entries(scenario.calls ?? {})) {
    if (call.codes) lines.push(`call ${name} codes ${call.codes.join(' ')}`);
    if (call.delayMs) lines.push(`call ${name} delay ${call.delayMs}`);
    if (call.hang) lines.push(`call ${name} hang`);
    if (call.dieAt) lines.push(`call ${name} die ${call.dieAt}`);
  }
  if (scenario.smi?.delayMs) lines.push(`smi delay ${scenario.smi.delayMs}`);
  if (scenario.smi?.exit) lines.push(`smi exit ${scenario.smi.exit}`);
  if (scenario.smi?.appsExit) lines.push(`smi appsExit ${scenario.smi.appsExit}`);
  if (scenario.smi?.exitCode) lines.push(`smi exitCode ${scenario.smi.exitCode}`);
  if (scenario.smi?.pmonLimit) lines.push(`smi pmonLimit ${scenario.smi.pmonLimit}`);
  if (scenario.smi?.lowerCase) lines.push('smi lowerCase');
  if (scenario.smi?.warning) lines.push(`smi warning ${scenario.smi.warning}`);
  for (const xid of scenario.xids ?? []) lines.push(`xid ${xid.gpu} ${xid.xid}`);
  return `${[...lines, ...scenario.gpus.flatMap(gpuLines)].join('\n')}\n`;
}

const built = fileURLToPath(new URL('./build/', import.meta.url));

/** Directory that holds the fake libnvidia-ml.so.1 of a generation: for LD_LIBRARY_PATH. */
export const fakeLibraryDirectory = (generation: Generation = 550): string => join(built, 'nvml', String(generation));
/** The fake libnvidia-ml.so.1 itself. */
export const fakeLibrary = (generation: Generation = 550): string =>
  join(fakeLibraryDirectory(generation), 'libnvidia-ml.so.1');
/** CUDA's stub of the library: prints a banner, and answers nothing. */
export const stubLibrary = join(built, 'nvml', 'stub', 'libnvidia-ml.so.1');
/** The fake nvidia-smi. Its directory: for PATH. */
export const fakeNvidiaSmi = join(built, 'nvidia-smi');

/** A machine with fake GPUs. `become` changes it under whoever looks at it. */
export class FakeGpuHost implements Disposable {
  readonly directory: string;
  readonly file: string;
  readonly #temporary = temporaryDirectory('fake-gpu');
  #generation: Generation;

  constructor(scenario: Scenario) {
    this.directory = this.#temporary.path;
    this.file = join(this.directory, 'scenario');
    this.#generation = scenario.generation ?? 550;
    this.become(scenario);
  }

  /** What the driver's module shows in /proc: for `paths.procDriver`. */
  get procDriver(): string {
    return join(this.directory, 'driver');
  }

  become(scenario: Scenario): void {
    for (const { bus } of scenario.gpus) {
      mkdirSync(join(this.procDriver, 'gpus', bus.toLowerCase().slice(4)), { recursive: true });
    }
    writeFileSync(`${this.file}.new`, scenarioText(scenario));
    renameSync(`${this.file}.new`, this.file);
  }

  /** What a process needs in its environment to see these GPUs through either reader. */
  get env(): Record<string, string> {
    return {
      HIVEPULSE_FAKE_GPU: this.file,
      LD_LIBRARY_PATH: fakeLibraryDirectory(this.#generation),
      PATH: `${built}:${process.env.PATH ?? ''}`,
    };
  }

  [Symbol.dispose](): void {
    this.#temporary.remove();
  }
}

const MiB = 1024 * 1024;

/** An H100 in slot `index`, with what real ones answer. */
export function h100(index: number, changes: Partial<FakeGpu> = {}): FakeGpu {
  return {
    uuid: `GPU-5b0e8a1c-7d3f-4c52-9a60-00000000000${index}`,
    name: 'NVIDIA H100 80GB HBM3',
    bus: `00000000:${['1B', '43', '52', '61', '9D', 'C3', 'D1', 'DF'][index] ?? '01'}:00.0`,
    computeCapability: '9.0',
    memory: { total: 81559 * MiB, reserved: 501481472, used: 0 },
    utilization: [0, 0],
    temperature: 31 + index,
    powerMilliwatts: 71_350 + 10 * index,
    powerLimitMilliwatts: 700_000,
    smClock: 345,
    fan: null,
    throttle: 0x1,
    ecc: 0,
    remap: { pending: false, failed: false },
    nvlinks: { up: 18, total: 18 },
    recovery: 0,
    mig: { enabled: false, devices: [] },
    processes: [],
    ...changes,
  };
}

/** `h100` with processes, its memory in use being theirs and its utilization the busiest's. */
export function h100With(index: number, processes: readonly FakeProcess[], changes: Partial<FakeGpu> = {}): FakeGpu {
  const used = processes.reduce((sum, process) => sum + Number(process.bytes ?? 0), 0);
  const busy = Math.max(0, ...processes.map((process) => process.utilization ?? 0));
  return h100(index, {
    memory: { total: 81559 * MiB, reserved: 501481472, used },
    utilization: [busy, Math.floor(busy / 2)],
    smClock: busy > 0 ? 1980 : 345,
    throttle: busy > 0 ? 0 : 1,
    powerMilliwatts: 71_350 + busy * 6000,
    processes,
    ...changes,
  });
}

/** Four H100s, two at work: the machine of the examples. The pids may be given, so that they can be real ones. */
export function fourH100(pids: readonly [number, number, number] = [4101, 4102, 4103]): Scenario {
  return {
    generation: 550,
    driver: '550.54.15',
    gpus: [
      h100With(0, [{ pid: pids[0], bytes: 70_254 * MiB, utilization: 87, name: 'VLLM::EngineCore' }]),
      h100With(1, [
        { pid: pids[1], bytes: 40_960 * MiB, utilization: 12, name: 'python3' },
        { pid: pids[2], bytes: 1536 * MiB + 4096, utilization: null, name: '/opt/engine, v2/serve' },
      ]),
      h100(2),
      h100(3),
    ],
  };
}

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { HiveView, WorkerView } from '../../lib/contract/api.js';
import type { FieldTable } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import type { Heartbeat, Snapshot, StoredWorker } from '../../lib/contract/heartbeat.js';
import { readHeartbeat } from '../../lib/contract/validate.js';
import type { ReportedGpu } from '../../lib/gpu/report.js';
import type { GpuReader, VendorReading } from '../../lib/gpu/vendor.js';
import { VendorGpus } from '../../lib/gpu/vendor-gpus.js';
import { type RawPass, type RawReader, workerFiles } from '../../lib/native/layout.js';
import { gpuNullText, nullPaths, unexplained, workerNullText } from '../../lib/present/null-text.js';
import { hostSample } from '../../lib/procfs/host.js';
import { pidCheck } from '../../lib/procfs/pids.js';
import type { SamplerDeps } from '../../lib/sampling/deps.js';
import { Sampler } from '../../lib/sampling/sampler.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import { noTrees } from '../../lib/workers/tree-workers.js';
import type { Watched } from '../../lib/workers/watched.js';
import { drawnPage } from '../harness/drawn-page.js';
import { type Content, type DrawnPasses, drawnReaders } from '../harness/drawn-passes.js';
import { readerDraws as draws } from '../harness/draws.js';
import { monstrous, shownText } from '../harness/every-output.js';
import { heartbeatOf, wire } from '../harness/heartbeats.js';
import { TestQueen } from '../queen/heartbeats.js';

// Components are called without a renderer: what hooks would do later plays no part in what they say.
vi.mock('preact/hooks', () => ({
  useEffect: () => undefined,
  useRef: (current: unknown) => ({ current }),
  useState: (initial: unknown) => [initial, () => undefined],
  useMemo: (make: () => unknown) => make(),
}));
vi.mock('uplot', () => ({ default: class {} }));

const count = 8;
const steps = 5;
const pidMax = 40_000;

const enoent = 2;
const files = workerFiles.filter((name) => name !== 'cgroup.procs');
const hostFiles = 7;
/** Of one way in which cgroups are read. */
const share = Math.ceil(draws / drawnReaders.length);
const perStep = count * (workerFiles.length + 3) + hostFiles;

const number = fc.integer({ min: 0, max: 2 ** 31 });
const good: Readonly<Record<string, fc.Arbitrary<string>>> = {
  'cpu.stat': fc
    .tuple(number, number)
    .map(
      ([u, p]) => `usage_usec ${u}\nuser_usec ${u}\nsystem_usec 0\nnr_periods ${p}\nnr_throttled 0\nthrottled_usec 0\n`,
    ),
  'memory.stat': number.map((n) => `anon ${n}\ninactive_file 0\n`),
  'memory.events': fc.integer({ min: 0, max: 9 }).map((n) => `low 0\noom ${n}\noom_kill ${n}\n`),
  'io.stat': number.map((n) => `8:0 rbytes=${n} wbytes=${n} rios=1 wios=1 dbytes=0 dios=0\n`),
  'cpu.max': fc.constantFrom('max 100000\n', '50000 100000\n'),
  'memory.max': fc.constantFrom('max\n', '1073741824\n'),
  'cgroup.events': fc.constant('populated 1\nfrozen 0\n'),
};
const pressureText = fc.integer({ min: 0, max: 100 }).map((n) => `some avg10=${n}.00 avg60=0.00 avg300=0.00 total=1\n`);
const goodText = (file: string) =>
  file.endsWith('.pressure') ? pressureText : (good[file] ?? number.map((n) => `${n}\n`));
const odd = fc.constantFrom<Content>(
  ...[
    '',
    '\n',
    '-1\n',
    '18446744073709551615\n',
    '4294967295\n',
    'usage_usec -1\n',
    'nr_periods 18446744073709551615\n',
    'anon 1\n',
  ],
  ...[
    'max\n',
    'some avg10=101.00 avg60=0 avg300=0 total=0\n',
    'some avg10=4294967295.00 total=1\n',
    '8:0 rbytes=18446744073709551615\n',
    'oom_kill x\n',
  ],
  ...[enoent, 13, 95, 5, 24],
);
const contentOf = (file: string) =>
  fc.oneof({ weight: 3, arbitrary: goodText(file) as fc.Arbitrary<Content> }, { weight: 2, arbitrary: odd });

const processDraw = fc.record({
  pid: fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 1, max: pidMax }) },
    { weight: 1, arbitrary: fc.constantFrom(0, pidMax + 1, 2 ** 22, 2 ** 32 - 1) },
  ),
  start: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 1000 }) },
    { weight: 1, arbitrary: fc.constantFrom(Number.NaN, 10 ** 9) },
  ),
  argv: fc.constantFrom<readonly string[] | null>(
    null,
    [],
    ['vllm', 'serve', 'm'],
    ['python3', 'x.py'],
    ['ollama', 'serve'],
    ['vllm', 'serve', '--uds', '/s'],
  ),
  denied: fc.boolean(),
  bytes: fc.constantFrom(0, 2 ** 30, Number.NaN, 2 ** 64),
});
const workerDraw = fc.record({
  files: fc.record(Object.fromEntries(files.map((file) => [file, contentOf(file)]))),
  procs: fc.oneof(
    { weight: 5, arbitrary: fc.array(processDraw, { minLength: 0, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.constantFrom(enoent, 95, 13) },
  ),
  hung: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  held: fc.constantFrom<number | null>(null, 0, 2 ** 30, 2 ** 64),
  busy: fc.constantFrom<number | null>(null, 0, 55, 2 ** 32 - 1),
});
const stepDraw = fc.record({
  workers: fc.array(workerDraw, { minLength: count, maxLength: count }),
  host: fc.array(fc.oneof({ weight: 1, arbitrary: odd }, { weight: 2, arbitrary: fc.constant<Content>('') }), {
    minLength: hostFiles,
    maxLength: hostFiles,
  }),
  reader: fc.oneof(
    { weight: 4, arbitrary: fc.constant('reads' as const) },
    { weight: 1, arbitrary: fc.constant('stuck' as const) },
  ),
  gpu: fc.oneof(
    { weight: 3, arbitrary: fc.constant('working' as const) },
    { weight: 2, arbitrary: fc.constantFrom('failed' as const, 'stalled' as const, 'initializing' as const) },
  ),
  processesKnown: fc.boolean(),
});
type Step = typeof stepDraw extends fc.Arbitrary<infer T> ? T : never;

const goodHost = [
  'cpu  1 0 1 98 0 0 0 0 0 0\ncpu0 1 0 1 98 0 0 0 0 0 0\n',
  'MemTotal: 1024 kB\nMemAvailable: 512 kB\n',
  '0.1 0.1 0.1 1/10 99\n',
  '5000.00 1\n',
  ...Array(3).fill('some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n'),
];

const watchedOf = (i: number): Watched => ({
  scope: 'cgroup',
  id: `llm/${i}`,
  group: 'llm',
  instance: String(i),
  path: `/llm/${i}`,
  directory: `/cg/llm/${i}`,
  origin: 'adopted',
  name: null,
  record: null,
  ancestorMemoryBytes: null,
  ancestorCpuPercent: null,
});

/** A sampler over what is drawn: the parsers of the kernel's files, the assembly of GPUs and the heartbeat are the real ones. */
class Bench {
  nowMs = 10_000;
  pass: RawPass | null = null;
  step: Step | null = null;
  readonly queen = new TestQueen();
  readonly passes: DrawnPasses;
  readonly #fromProc: SamplerDeps['fromProc'];
  readonly #sampler: Sampler;
  #host = hostSample([], null, 1);
  #seq = 0;
  #gpuAt = 0;
  readonly #hasDriver: boolean;
  readonly #vendor: VendorGpus;

  constructor(fromProc: SamplerDeps['fromProc'], hasDriver: boolean, passes: DrawnPasses) {
    this.passes = passes;
    this.#fromProc = fromProc;
    this.#hasDriver = hasDriver;
    const idle = {
      takeEvents: () => [],
      release: async () => undefined,
      resume: () => undefined,
      close: () => undefined,
    };
    this.#vendor = new VendorGpus((): GpuReader => ({ ...idle, read: () => this.#vendorReading() }));
    this.#sampler = new Sampler(this.#deps());
  }

  #vendorReading(): VendorReading {
    if (!this.#hasDriver) return { status: 'absent', reader: 'none', reason: 'there is no driver', faults: [] };
    const { gpu = 'initializing', processesKnown = true, workers = [] } = this.step ?? {};
    if (gpu !== 'working')
      return {
        status: gpu,
        reader: 'nvml',
        reason: null,
        faults: [{ source: 'gpu', code: 'X', message: gpu, field: 'gpus' }],
      };
    const device = (index: number): ReportedGpu => ({
      index,
      uuid: `GPU-${index}`,
      parentUuid: '',
      name: index === 0 ? 'card' : '',
      busId: '',
      computeCapability: '',
      unifiedMemory: false,
      unreachable: null,
      values: { memoryTotalBytes: 2 ** 34 },
      reasons: {},
      problems: [],
      processesKnown,
    });
    const processes = workers.flatMap(({ procs, held, busy }, i) =>
      Array.isArray(procs)
        ? procs.slice(0, 1).map(({ pid }) => ({ device: i % 2, pid, bytes: held, utilization: busy }))
        : [],
    );
    const at = ++this.#gpuAt;
    return {
      status: 'working',
      reader: 'nvml',
      reason: null,
      at,
      report: { unlisted: null, devices: [device(0), device(1)], processes },
    };
  }

  #deps(): SamplerDeps {
    let slot = 0;
    const reader = {
      kind: 'files',
      add: () => slot++,
      remove: () => undefined,
      latest: () => this.pass,
      runningMs: () => 0,
    };
    const set = {
      watched: Array.from({ length: count }, (_, i) => watchedOf(i)),
      complete: true,
      faults: [],
      ended: [],
      recordsReadAtMs: 0,
    };
    const nothing = () => undefined;
    return {
      reader: reader as unknown as RawReader,
      trees: null,
      readerReason: null,
      gpu: {
        latest: () => this.#vendor.reading(this.nowMs),
        takeEvents: () => [],
        release: async () => undefined,
        close: nothing,
      },
      deviceFiles: null,
      discovery: { current: () => set, trees: noTrees, holdsGpu: nothing, keepHeld: nothing, changed: nothing },
      processes: {
        generation: 0,
        all: () => [],
        want: nothing,
        get: () => null,
        find: (pid, start) => this.#known(pid, start),
        denied: (pid) => this.#draws().some((p) => p.pid === pid && p.denied),
      },
      host: { latest: () => ({ host: this.#host.host, faults: this.#host.faults, atMs: this.nowMs }) },
      blockDevices: null,
      listening: null,
      prober: null,
      loads: null,
      namespaces: null,
      containers: null,
      showCommand: (argv) => argv[0] ?? null,
      state: { idleBelowPercent: 1, idleBelowCpuPercent: 1, idleForMs: 1000 },
      clockTicks: 100,
      fromProc: this.#fromProc,
      isPid: pidCheck(() => pidMax),
      gpuPidsKnown: true,
      address: null,
      reported: null,
      root: '/cg',
      intervalMs: 1000,
      nowMs: () => this.nowMs,
      wallMs: () => 1.7e12 + this.nowMs,
    };
  }

  #draws = () => (this.step?.workers ?? []).flatMap(({ procs }) => (Array.isArray(procs) ? procs : []));

  #known(pid: number, startTicks: number): KnownProcess | null {
    const found = this.#draws().find((p) => p.pid === pid && p.start === startTicks);
    if (found?.argv == null) return null;
    const role = { role: 'other', engine: null, port: null, defaultPort: null } as const;
    const origin = { comm: 'x', parentPid: 1, session: 1, marker: null, cgroup: null };
    return { pid, startTicks, ...origin, argv: found.argv, engine: null, role };
  }

  take(step: Step): { readonly heartbeat: Heartbeat; readonly snapshot: Snapshot } {
    this.step = step;
    this.nowMs += step.reader === 'stuck' ? 60_000 : 1000;
    if (step.reader === 'reads') this.pass = this.passes.pass(step.workers, this.nowMs, (this.pass?.sequence ?? 0) + 1);
    const contents = step.host.map((content, i) =>
      typeof content === 'number' ? content : Buffer.from(content || (goodHost[i] as string)),
    );
    this.#host = hostSample(contents, this.#host.cpu, 1);
    this.#vendor.update();
    if (this.#seq === 0) this.#sampler.reconcile();
    const snapshot = this.#sampler.snapshot();
    const sent = heartbeatOf('h', ++this.#seq, snapshot);
    const verdict = readHeartbeat(wire(sent), { maxWorkers: 100 });
    if (!verdict.ok) throw new Error(`${verdict.refusal.field} ${verdict.refusal.message}`);
    expect(verdict.heartbeat.faults.filter(({ source }) => source === 'queen')).toEqual([]);
    this.queen.heartbeat(verdict.heartbeat);
    return { heartbeat: verdict.heartbeat, snapshot };
  }
}

function holdReasons(worker: StoredWorker, hive: HiveView): void {
  for (const path of nullPaths(workerFields, worker))
    expect(workerNullText(worker, path, hive).text, `${path} of ${worker.id}`).not.toBe(unexplained);
  if (hive.gpusKnown === 'none' && worker.vramUsedBytes === null && worker.gpusReason === null)
    expect(workerNullText(worker, 'vramUsedBytes', hive)).toEqual({ unknown: false, text: 'no GPU' });
  const values = worker as unknown as Readonly<Record<string, unknown>>;
  // A reason is of a value that is null.
  for (const path of Object.keys(worker.nullReasons ?? {})) {
    const [name, part] = path.split('.') as [string, string | undefined];
    const value = part === undefined ? values[name] : (values[name] as Record<string, unknown>)[part];
    expect(value, path).toBeNull();
  }
  if (worker.pid !== null) expect(worker.pid >= 1 && worker.pid <= pidMax).toBe(true);
}

const fine: Step = {
  workers: Array.from({ length: count }, (_, i) => ({
    files: {
      ...Object.fromEntries(
        files.map((file) => [
          file,
          file.endsWith('.pressure') ? 'some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n' : '1024\n',
        ]),
      ),
      'cpu.stat': 'usage_usec 2147483648\nnr_periods 2147483648\nnr_throttled 0\n',
      'memory.stat': 'anon 1\ninactive_file 0\n',
      'memory.events': 'oom 0\noom_kill 9\n',
      'io.stat': '8:0 rbytes=2147483648 wbytes=2147483648 rios=1 wios=1\n',
      'cpu.max': 'max 100000\n',
      'memory.max': 'max\n',
      'cgroup.events': 'populated 1\n',
    },
    procs: [{ pid: 100 + i, start: 50, argv: ['vllm', 'serve', 'm'], denied: false, bytes: 1024 }],
    hung: false,
    held: 1024,
    busy: 5,
  })),
  host: Array(hostFiles).fill(''),
  reader: 'reads',
  gpu: 'working',
  processesKnown: true,
};

/** All is well again: after a second reading no value is null for a reason, and no fault is left. */
function holdRecovery(bench: Bench, memoryMissing: boolean): void {
  for (let i = 0; i < 2; i++) {
    bench.take(fine);
    bench.passes.rediscover();
  }
  const { faults, workers } = bench.take(fine).heartbeat;
  expect(faults.filter(({ source, code }) => source === 'cgroup' && !/MISSING/.test(code))).toEqual([]);
  const table: FieldTable = workerFields;
  // The bench asks no server.
  for (const { nullReasons } of bench.queen.workers({}).items) expect(nullReasons).toEqual({ ready: 'notProbed' });
  const isReason = (path: string) => table[path]?.absent === undefined && table[path]?.reasonIn === undefined;
  for (const worker of workers) {
    const left = nullPaths(table, worker).filter((path) => isReason(path) && path !== 'ready');
    expect(left.filter((path) => !/memory|workingSet|oom/.test(path) || !memoryMissing)).toEqual([]);
  }
}

/** Every output of the hive and its workers. `page` is drawn for some steps: it takes longer than all else. */
function holdShown(queen: TestQueen, page: Awaited<ReturnType<typeof drawnPage>> | null): void {
  const hive = queen.hive('h') as HiveView;
  const workers = queen.workers({}).items as readonly WorkerView[];
  for (const worker of workers) holdReasons(worker, hive);
  for (const gpu of hive.gpus)
    for (const name of nullPaths(gpuFields, gpu))
      expect(gpuNullText(gpu, name, hive).text, `${name} of a GPU`).not.toBe(unexplained);
  expect(shownText(queen)).not.toMatch(monstrous);
  if (page === null) return;
  const calm = { ...hive, faults: hive.faults.filter(({ code }) => code !== 'IMPLAUSIBLE') };
  const text = page([calm], workers.slice(0, 3));
  expect(text).not.toMatch(monstrous);
  expect(text).not.toMatch(/NaN|undefined|\[object/);
  if (hive.gpusKnown === 'unknown') expect(text).not.toMatch(/no GPU/i);
}

describe('of a worker, what is not known is null with its reason', () => {
  it.each(drawnReaders)(
    `$name: ${share} draws of the files of cgroups, processes, the host and GPUs, on every output`,
    {
      timeout: 60_000 + 6 * draws,
    },
    async ({ open }) => {
      const page = await drawnPage();
      let counted = 0;
      let turn = 0;
      const machine = fc.constantFrom({ memory: false, io: false }, { memory: true, io: true });
      const drawnSteps = fc.array(stepDraw, { minLength: steps, maxLength: steps });
      const driver = fc.integer({ min: 0, max: 5 }).map((n) => n > 0);
      fc.assert(
        fc.property(machine, driver, drawnSteps, (fromProc, has, all) => {
          using passes = open(count, fromProc);
          const bench = new Bench(fromProc, has, passes);
          for (const step of all) {
            bench.take(step);
            holdShown(bench.queen, turn++ % 4 === 0 ? page : null);
            counted += perStep;
          }
          holdRecovery(bench, fromProc.memory);
        }),
        { numRuns: Math.ceil(share / (perStep * steps)), endOnFailure: true },
      );
      expect(counted).toBeGreaterThanOrEqual(share);
    },
  );
});

import { describe, expect, it } from 'vitest';
import type { Finding } from '../../lib/engines/examine.js';
import type { Load, LoadTarget } from '../../lib/engines/load/prober.js';
import { type LoadReading, noCounters } from '../../lib/engines/load/reading.js';
import type { Engine } from '../../lib/engines/table.js';
import { type Tracked, track } from '../../lib/sampling/tracked.js';
import { WorkerLoads } from '../../lib/sampling/worker-loads.js';
import type { NamespaceSocket } from '../../lib/workers/listening.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import { finding, other, own, processOf, socket } from './endpoints-world.js';
import { watched } from './worker-support.js';

const key = (port: number, namespace = own) => `${namespace}/${port}/1`;
const connect = async () => undefined as never;

/** A server that was asked which it is. */
const candidate = (port: number, engine: Engine | null = 'vllm', more: object = {}) => ({
  ...{ key: key(port), engine, held: true, addresses: [{ host: '127.0.0.1', port }] },
  ...more,
});

/** What engines say, and whom the hive asks. */
function scene({ asks = true, probes = true, sees = true } = {}) {
  const updates: (readonly LoadTarget[])[] = [];
  const answers = new Map<string, Load>();
  const findings = new Map<string, Finding>();
  const sockets = new Map<number, readonly NamespaceSocket[] | null>();
  const strangers: NamespaceSocket[] = [];
  const clock = { nowMs: 50_000 };
  const loads = {
    onAnswer: undefined as ((id: string) => void) | undefined,
    update: (targets: readonly LoadTarget[]) => updates.push([...targets]),
    loadOf: (id: string) => answers.get(id) ?? null,
  };
  const workers = new WorkerLoads({
    loads: asks ? (loads as never) : null,
    prober: probes ? { findingsOf: () => findings } : null,
    listening: sees
      ? ({
          of: ({ pid }: KnownProcess) => (sockets.has(pid) ? { namespace: own, sockets: sockets.get(pid) } : null),
          inNamespace: (namespace: number) =>
            [...[...sockets.values()].flatMap((each) => each ?? []), ...strangers].filter(
              (each) => each.namespace === namespace,
            ),
        } as never)
      : null,
    nowMs: () => clock.nowMs,
  });
  const tracked: Tracked = track(watched(), 1, 1);
  tracked.main = { key: '7/70' } as Tracked['main'];
  return {
    ...{ workers, loads, updates, answers, findings, sockets, strangers, clock, tracked },
    /** Whom a tick asks. */
    tick: (processes: readonly KnownProcess[], asked: unknown): readonly LoadTarget[] => {
      workers.add(tracked, processes, asked as never);
      workers.ask();
      return updates.at(-1) ?? [];
    },
  };
}

describe('which engine is asked for its load', () => {
  it('the one that has answered as the worker’s own, where it answered', () => {
    const { tick, findings, updates, tracked } = scene();
    findings.set(key(7000), finding({ own: false }));
    findings.set(key(8000), finding({ scheme: 'https', host: '127.0.0.2' }));
    const address = { host: '127.0.0.2', port: 8000 };
    expect(tick([], [candidate(7000), candidate(8000, 'vllm', { connect })])).toEqual([
      {
        ...{ id: 'llm/0', identity: '7/70', runners: [] },
        server: { engine: 'vllm', scheme: 'https', address, connect },
      },
    ]);
    expect(tick([], null)).toEqual([]);
    expect(updates).toHaveLength(2);
    tracked.main = null;
    expect(tick([], [candidate(8000)])[0]?.identity).toBe('');
  });

  it.each<[string, unknown, Partial<Finding> | null]>([
    ['that has not answered', [candidate(8000)], null],
    ['that answered as another', [candidate(8000)], { own: false }],
    ['of which it is not known', [candidate(8000)], { own: null }],
    ['without a scheme', [candidate(8000)], { scheme: null }],
    ['without an address', [candidate(8000)], { host: undefined as never }],
    ['that is no engine', [candidate(8000, null)], {}],
    ['that has no address', [candidate(8000, 'vllm', { addresses: [] })], {}],
    ['that listens nowhere', 'none', {}],
    ['that cannot be asked', null, {}],
  ])('none %s', (_what, asked, found) => {
    const { tick, findings } = scene();
    if (found !== null) findings.set(key(8000), finding(found));
    expect(tick([], asked)).toEqual([]);
  });

  it.each([{ asks: false }, { probes: false }, { sees: false }])('none where %j', (without) => {
    const { tick, findings } = scene(without);
    findings.set(key(8000), finding());
    expect(tick([], [candidate(8000)])).toEqual([]);
  });

  it('of an engine with a port for it, the socket there', () => {
    const { tick, findings, sockets, strangers } = scene();
    findings.set(key(8000), finding());
    const triton = processOf(31, 'tritonserver --model-repository /m');
    expect(triton.role.loadPort).toBe(8002);
    const asked = [candidate(8000, 'tritonserver', { connect })];
    expect(tick([triton], asked)).toEqual([]);
    sockets.set(31, null);
    expect(tick([triton], asked)).toEqual([]);
    sockets.set(31, [socket(1, 8000), socket(2, 8001), socket(3, 8002, '0.0.0.0', other), socket(4, 8002)]);
    const address = { host: '127.0.0.1', port: 8002 };
    const expected = { engine: 'tritonserver', scheme: 'http', address, connect };
    expect(tick([processOf(30, 'sh'), triton], asked).map(({ server }) => server)).toEqual([expected]);
    strangers.push(socket(9, 8002));
    expect(tick([triton], asked)).toEqual([]);
  });

  it('a port that another engine of the worker has for it does not count', () => {
    const { tick, findings } = scene();
    findings.set(key(8000), finding());
    const beside = processOf(31, 'tritonserver --model-repository /m');
    const [target] = tick([processOf(32, 'vllm serve a'), beside], [candidate(8000)]);
    expect(target?.server).toMatchObject({ engine: 'vllm', address: { host: '127.0.0.1', port: 8000 } });
  });

  it('of ollama each llama-server that it started as well', () => {
    const { tick, findings, sockets } = scene();
    findings.set(key(11_434), finding());
    const processes = [processOf(41, 'ollama serve'), processOf(42, 'llama-server'), processOf(43, 'llama-server')];
    sockets.set(41, [socket(1, 11_434)]);
    sockets.set(42, [socket(2, 40_001, '127.0.0.1')]);
    sockets.set(43, [socket(3, 40_002, '127.0.0.1', other)]);
    const [target] = tick(processes, [candidate(11_434, 'ollama')]);
    expect(target?.runners).toEqual([
      { engine: 'llama-server', scheme: 'http', address: { host: '127.0.0.1', port: 40_001 }, connect: undefined },
    ]);
    sockets.set(42, [socket(2, 40_001, '::1'), socket(4, 40_001, '127.0.0.1', other), socket(5, 40_009)]);
    expect(tick(processes, [candidate(11_434, 'ollama')])[0]?.runners).toMatchObject([
      { address: { host: '::1', port: 40_001 } },
    ]);
    findings.set(key(8000), finding());
    expect(tick(processes, [candidate(8000, 'vllm')])[0]?.runners).toEqual([]);
  });

  it('in the network namespace of its server', () => {
    const { tick, findings, sockets } = scene();
    const there = `${other}/11434/1`;
    findings.set(there, finding());
    sockets.set(42, [socket(2, 40_001, '127.0.0.1'), socket(3, 40_002, '127.0.0.1', other)]);
    const asked = [candidate(11_434, 'ollama', { key: there, connect })];
    expect(tick([processOf(42, 'llama-server')], asked)[0]?.runners).toMatchObject([
      { address: { port: 40_002 }, connect },
    ]);
  });
});

describe('what is known of the load of a worker', () => {
  const reading = (over: Partial<LoadReading> = {}): LoadReading => ({
    ...{ version: null, models: [], adapters: null, maxContext: null, running: 2, waiting: 1, waitingTokens: null },
    ...{ kvPercent: 40, prefixHitPercent: null, generationTokensPerSecond: null, sleeping: false, ranks: null },
    ...{ counters: noCounters, capacity: 64, progress: null },
    ...(over as object),
  });
  const load = (over: Partial<Load> = {}): Load => ({
    ...{ engine: 'vllm', reading: reading(), atMs: 49_000, countedMs: 49_000, reason: null },
    ...over,
  });

  it.each([
    [null, {}, 'noEngine'],
    ['mlx-lm', {}, 'unsupported'],
    ['vllm', { asks: false }, 'notAsked'],
    ['vllm', {}, 'noAddress'],
  ] as const)('of the engine %j, where %j: %s', (engine, options, reason) => {
    const { workers, tracked } = scene(options);
    tracked.described = { serving: { engine } } as Tracked['described'];
    expect(workers.of(tracked)).toEqual({ serving: null, reason, evidence: null, isLoading: false });
  });

  it('is nothing of a worker that is not described yet, and what it said of one without a main process', () => {
    const { workers, tracked, answers } = scene();
    expect(workers.of(tracked).reason).toBe('noEngine');
    tracked.main = null;
    answers.set('llm/0', load());
    expect(workers.of(tracked).serving).toMatchObject({ running: 2 });
  });

  it('is what it said, and the evidence for its state', () => {
    const { workers, answers, tracked } = scene();
    answers.set('llm/0', load());
    const found = workers.of(tracked);
    expect(found).toMatchObject({ serving: { engine: 'vllm', running: 2, waiting: 1, ageMs: 1000 }, reason: null });
    expect(found.evidence).toEqual({
      ...{ running: 2, waiting: 1, kvPercent: 40, sleeping: false, progressAgeMs: null, ageMs: 1000, capacity: 64 },
      stepwise: true,
    });
    expect(found.isLoading).toBe(false);
    expect(tracked.serving?.run).toContain('7/70');
  });

  it('what its gauges lag behind is no silence', () => {
    const { workers, answers, tracked } = scene();
    const silent = (engine: Engine) => {
      answers.set('llm/0', load({ engine }));
      return workers.of(tracked).evidence;
    };
    answers.set('llm/0', load({ engine: 'lmdeploy', atMs: 38_000 }));
    expect(workers.of(tracked).evidence).toMatchObject({ ageMs: 12_000 });
    expect(silent('ollama')).toMatchObject({ ageMs: 1000 });
    expect(silent('llama-cpp-python')).toMatchObject({ ageMs: 1000, stepwise: false });
  });

  it('it loads where it says so and nothing else', () => {
    const { workers, answers, tracked } = scene();
    answers.set('llm/0', load({ reading: null, reason: 'loading' }));
    expect(workers.of(tracked)).toMatchObject({ serving: null, reason: 'loading', evidence: null, isLoading: true });
    answers.set('llm/0', load({ reason: 'loading' }));
    expect(workers.of(tracked)).toMatchObject({ reason: 'loading', isLoading: false });
    answers.set('llm/0', load({ reading: null, reason: 'noAnswer' as never }));
    expect(workers.of(tracked).isLoading).toBe(false);
  });

  it('is passed on when it is said, of whom is asked', () => {
    const { workers, answers, tracked, findings, tick, loads } = scene();
    const heard: unknown[] = [];
    workers.listen((id, serving) => heard.push([id, serving.running]));
    findings.set(key(8000), finding());
    loads.onAnswer?.('llm/0');
    tick([], [candidate(8000)]);
    loads.onAnswer?.('llm/0');
    expect(heard).toEqual([]);
    answers.set('llm/0', load());
    loads.onAnswer?.('llm/0');
    answers.set('llm/9', load());
    loads.onAnswer?.('llm/9');
    expect(heard).toEqual([['llm/0', 2]]);
    tick([], null);
    loads.onAnswer?.('llm/0');
    expect(heard).toHaveLength(1);
    expect(() => scene({ asks: false }).workers.listen(() => undefined)).not.toThrow();
    expect(tracked.watched.id).toBe('llm/0');
  });
});

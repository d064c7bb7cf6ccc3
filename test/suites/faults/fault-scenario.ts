import { expect } from 'vitest';
import type { FleetEvent, StreamSnapshot } from '../../../lib/contract/api.js';
import type { Heartbeat } from '../../../lib/contract/heartbeat.js';
import { createHost, sleeping, type TestHost, workerSeen } from '../../e2e/fleet.js';
import { CadenceWatch, faultGone, faultNamed, faultSeconds } from '../../harness/cadence-watch.js';
import { type Daemon, type DaemonOptions, getJson, type Harness } from '../../harness/harness.js';
import { residentMiB } from '../../harness/resources.js';
import type { StreamReader } from '../../harness/sse.js';
import { waitFor } from '../../harness/wait.js';

export const intervalMs = 500;
/** A Node process breathes: what it may take more than before a fault, MiB. A leak of a heartbeat each time would be far more. */
export const breathMiB = 64;

/** How the hive sends: its stream, which it tries first, and requests alone. */
export const waysOfSending = [
  ['by its stream', []],
  ['by POST', ['--no-stream']],
] as const;

/** Passes when `seconds` are over: the length of a fault is not a wait for something. */
export const lasts = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** One host with its hive, and a queen: what most faults come between. */
export interface FaultScenario {
  readonly host: TestHost;
  readonly hive: Daemon;
  readonly cadence: CadenceWatch;
  /** What the hive was started with, to start it again. */
  readonly args: readonly string[];
}

export async function startFaultScenario(
  harness: Harness,
  queenUrls: readonly string[],
  options: DaemonOptions = {},
): Promise<FaultScenario> {
  const host = await createHost(harness);
  const args = [...host.watchArgs, '--id', 'alpha', '--interval', `${intervalMs}ms`, ...(options.args ?? [])];
  const hive = await harness.hive(queenUrls, { ...options, args });
  const cadence = await CadenceWatch.start(harness, hive.url, intervalMs);
  return { host, hive, cadence, args };
}

/** Every fact about `workerId` that the stream has told, by kind. */
export function eventKindsOf(stream: StreamReader, workerId: string): readonly string[] {
  return stream.messages
    .filter(({ event }) => event === 'event')
    .map(({ data }) => data as FleetEvent)
    .filter((event) => event.workerId === workerId)
    .map(({ kind }) => kind);
}

/** Waits until the hive itself has seen the worker, whatever its queen knows. */
export const sampled = (hive: Daemon, id: string): Promise<unknown> =>
  waitFor(
    async () => (await getJson<Heartbeat>(`${hive.url}/v1/snapshot`)).workers.some((worker) => worker.id === id),
    {
      timeoutMs: 30_000,
      what: `the hive to see ${id}`,
    },
  );

/** What happened on the host while a fault lasted: a worker that came and stayed, and one that was there and ended. */
export interface Happened {
  readonly started?: string;
  readonly ended: string;
}

/** One worker comes and stays, another comes and goes; both are seen by the hive, whatever its queen knows. */
export async function comeAndGo({ host, hive }: Pick<FaultScenario, 'host' | 'hive'>): Promise<Happened> {
  const brief = host.worker('demo', 'brief', sleeping);
  host.worker('demo', 'during', sleeping);
  await Promise.all([sampled(hive, 'demo/brief'), sampled(hive, 'demo/during')]);
  brief.signal('SIGTERM');
  await brief.ended(30_000);
  return { started: 'demo/during', ended: 'demo/brief' };
}

/** Everything that this queen has told since it started, replayed. */
export async function wholeStory(harness: Harness, queen: Daemon): Promise<StreamReader> {
  const first = harness.stream(`${queen.url}/v1/events`);
  const { data } = await first.next(({ event }) => event === 'snapshot', 30_000);
  const epoch = (data as StreamSnapshot).lastEventId.replace(/-\d+$/, '');
  return harness.stream(`${queen.url}/v1/events`, { 'last-event-id': `${epoch}-0` });
}

/** The events of the time of the fault reached the queen, each once. */
export async function reportedOnce(stream: StreamReader, { started, ended }: Happened): Promise<void> {
  for (const [id, kind] of [
    [started, 'workerStarted'],
    [ended, 'workerExited'],
  ] as const) {
    if (id === undefined) continue;
    await waitFor(() => eventKindsOf(stream, id).includes(kind), {
      timeoutMs: 30_000,
      what: `${kind} of ${id}, which happened during the fault`,
    });
    expect(eventKindsOf(stream, id).filter((each) => each === kind)).toHaveLength(1);
  }
}

type Watched = Pick<FaultScenario, 'hive' | 'cadence'>;

/** A row of the matrix: how it breaks, and how it is seen that all that must hold does. */
export interface Trial {
  readonly scenario: Watched;
  readonly breakIt: () => unknown;
  /** Waits until the fault is named, in `faults` or the log, and judges how. */
  readonly named: () => Promise<unknown>;
  /** What happens on the host meanwhile. */
  readonly happens: () => Promise<Happened>;
  /** How long it lasts from then on, s (default: `faultSeconds`). */
  readonly seconds?: number;
  /** Judges what else holds while it lasts. */
  readonly meanwhile?: () => unknown;
  /** Takes the fault away; gives the hive that is there afterwards, where it is another one. */
  readonly fix: () => unknown;
  /** Waits until all is as before, without anything having been restarted. */
  readonly recovered: () => Promise<unknown>;
  /** Where the queen tells its events, asked once all is as before. */
  readonly stream: () => StreamReader | Promise<StreamReader>;
  /** The hive itself does not run while it lasts: its heartbeats are judged from its recovery on. */
  readonly hiveStops?: boolean;
}

const isWatched = (value: unknown): value is Watched =>
  typeof value === 'object' && value !== null && 'cadence' in value && 'hive' in value;

/**
 * What must hold of every hive under every fault: heartbeats stay as even as the control timer's, memory is bounded, the
 * fault is named, all is as before once it is over, and no event of its time is lost or told twice.
 */
export async function withstand(trial: Trial): Promise<void> {
  const { scenario, seconds = faultSeconds, hiveStops = false } = trial;
  const before = residentMiB(scenario.hive.process.pid);
  await trial.breakIt();
  scenario.cadence.begin();
  await trial.named();
  const happened = await trial.happens();
  await lasts(seconds);
  await trial.meanwhile?.();
  if (!hiveStops) expect(scenario.cadence.uneven()).toBeNull();
  const fixed = await trial.fix();
  const after = isWatched(fixed) ? fixed : scenario;
  await trial.recovered();
  if (hiveStops) {
    after.cadence.begin();
    await lasts(Math.max(seconds, 3));
    expect(after.cadence.uneven()).toBeNull();
  }
  expect(after.hive.process.running).toBe(true);
  expect(residentMiB(after.hive.process.pid)).toBeLessThan(before + breathMiB);
  await reportedOnce(await trial.stream(), happened);
}

/**
 * Puts a fault between a hive and its queen and takes it away. `direct`: the queen's address that the fault does not
 * touch.
 */
export async function survive(
  harness: Harness,
  scenario: FaultScenario,
  options: {
    readonly direct: Daemon;
    readonly breakIt: () => unknown;
    /** Gives the queen that is there afterwards, where it is another one. */
    readonly fix: () => unknown;
    /** Code of the fault that the hive must name. */
    readonly code: RegExp;
  },
): Promise<void> {
  const { direct, breakIt, fix, code } = options;
  const { host, hive } = scenario;
  host.worker('demo', 'before', sleeping);
  await workerSeen(direct, 'demo/before');
  let after = direct;
  const untaken = () => hive.process.lines.filter((line) => line.includes('heartbeat not taken')).length;
  await withstand({
    scenario,
    breakIt,
    named: async () => {
      const fault = await faultNamed(hive.url, (each) => each.source === 'queen' && code.test(each.code));
      expect(fault.message.length).toBeGreaterThan(10);
    },
    happens: () => comeAndGo(scenario),
    meanwhile: () => {
      expect(untaken()).toBeGreaterThan(0);
      // Said once, at the tenth and at doublings: never a line for each try.
      expect(untaken()).toBeLessThan(8);
    },
    fix: async () => {
      after = ((await fix()) as Daemon | undefined) ?? direct;
    },
    recovered: async () => {
      await workerSeen(after, 'demo/during');
      await faultGone(hive.url, ({ source }) => source === 'queen');
      await hive.process.line(/heartbeats are taken again/);
    },
    // All that the queen of afterwards has told, whichever it is.
    stream: () => wholeStory(harness, after),
  });
}

import { expect } from 'vitest';
import type { FleetEvent } from '../../lib/contract/api.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { createHost, sleeping, type TestHost, workerSeen } from '../e2e/fleet.js';
import { BeatWatch, faultGone, faultNamed, faultSeconds } from '../harness/beat.js';
import { type Daemon, type DaemonOptions, getJson, type Harness } from '../harness/harness.js';
import { residentMiB } from '../harness/resources.js';
import type { StreamReader } from '../harness/sse.js';
import { waitFor } from '../harness/wait.js';

export const intervalMs = 500;
/** A Node process breathes: what it may take more than before a fault, MiB. A leak of a beat each time would be far more. */
export const breathMiB = 64;

/** Passes when `seconds` are over: the length of a fault is not a wait for something. */
export const lasts = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** One host with its hive, and a queen: what most faults come between. */
export interface Scene {
  readonly host: TestHost;
  readonly hive: Daemon;
  readonly beat: BeatWatch;
}

export async function startScene(
  harness: Harness,
  queenUrls: readonly string[],
  options: DaemonOptions = {},
): Promise<Scene> {
  const host = await createHost(harness);
  const args = [...host.watchArgs, '--id', 'alpha', '--interval', `${intervalMs}ms`, ...(options.args ?? [])];
  const hive = await harness.hive(queenUrls, { ...options, args });
  const beat = await BeatWatch.start(harness, hive.url, intervalMs);
  return { host, hive, beat };
}

/** Every fact about `workerId` that the stream has told, by kind. */
export function told(stream: StreamReader, workerId: string): readonly string[] {
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

/**
 * Puts a fault between a hive and its queen and takes it away: all that must hold of the hive meanwhile and after.
 * `direct`: the queen's address that the fault does not touch.
 */
export async function survive(
  { host, hive, beat }: Scene,
  options: {
    readonly direct: Daemon;
    readonly breakIt: () => unknown;
    /** Gives the queen that is there afterwards, where it is another one. */
    readonly mend: () => unknown;
    /** Code of the fault that the hive must name. */
    readonly code: RegExp;
  },
): Promise<void> {
  const { direct, breakIt, mend, code } = options;
  host.worker('demo', 'before', sleeping);
  await workerSeen(direct, 'demo/before');
  const before = residentMiB(hive.process.pid);
  await breakIt();
  beat.begin();
  const fault = await faultNamed(hive.url, ({ source }) => source === 'queen');
  expect(fault.code).toMatch(code);
  expect(fault.message.length).toBeGreaterThan(10);
  // Facts of the time of the fault: one worker comes and goes, another comes and stays.
  const brief = host.worker('demo', 'brief', sleeping);
  host.worker('demo', 'during', sleeping);
  await sampled(hive, 'demo/brief');
  brief.signal('SIGTERM');
  await brief.ended(30_000);
  await lasts(faultSeconds);
  expect(beat.uneven()).toBeNull();
  expect(residentMiB(hive.process.pid)).toBeLessThan(before + breathMiB);
  expect(hive.process.lines.filter((line) => line.includes('heartbeat not taken')).length).toBeGreaterThan(0);
  // Said once, at the tenth and at doublings: never a line for each try.
  expect(hive.process.lines.filter((line) => line.includes('heartbeat not taken')).length).toBeLessThan(8);

  const after = ((await mend()) as Daemon | undefined) ?? direct;
  await workerSeen(after, 'demo/during');
  await faultGone(hive.url, ({ source }) => source === 'queen');
  await hive.process.line(/heartbeats are taken again/);
  expect(hive.process.running).toBe(true);
}

/** The events of the time of the fault reached the queen, each once. */
export async function nothingLost(stream: StreamReader): Promise<void> {
  await waitFor(() => told(stream, 'demo/during').includes('workerStarted'), {
    timeoutMs: 20_000,
    what: 'the event of a worker that started during the fault',
  });
  await waitFor(() => told(stream, 'demo/brief').includes('workerExited'), {
    timeoutMs: 20_000,
    what: 'the event of a worker that ended during the fault',
  });
  expect(told(stream, 'demo/during').filter((kind) => kind === 'workerStarted')).toHaveLength(1);
  expect(told(stream, 'demo/brief').filter((kind) => kind === 'workerExited')).toHaveLength(1);
}

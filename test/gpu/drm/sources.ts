import { amdCards } from '../../../lib/gpu/amd/cards.js';
import { amd } from '../../../lib/gpu/amd/vendor.js';
import { openDrm } from '../../../lib/gpu/drm/reader.js';
import { intelCards } from '../../../lib/gpu/intel/cards.js';
import { intel } from '../../../lib/gpu/intel/vendor.js';
import type { GpuReading, GpuSource } from '../../../lib/gpu/reading.js';
import { createGpuSource, type GpuSourceOptions } from '../../../lib/gpu/source.js';
import { type KeptResult, sleeps, splitDevice } from '../../../lib/io/file-reader.js';
import type { OpenFiles } from '../../../lib/io/guarded.js';
import { openFileReader, WorkerFileReader } from '../../../lib/io/open-file-reader.js';
import { waitFor } from '../../harness/wait.js';
import type { FakeDrmHost } from './fake-host.js';

export interface DrmSource extends Disposable {
  readonly source: GpuSource;
  /** A reading that began after `ms` more had passed on its clock. */
  next(ms?: number): Promise<GpuReading>;
}

/** AMD's and Intel's readers on a fixture, with a clock that stands until a pass is asked for. */
export function drmSource(host: FakeDrmHost, options: Partial<GpuSourceOptions> = {}): DrmSource {
  let now = 1000;
  const source = createGpuSource({
    vendors: [amd, intel],
    roots: host.roots,
    intervalMs: 1000,
    isPid: (pid) => pid >= 1 && pid <= 2 ** 22,
    now: () => now,
    times: { tickMs: 100_000 },
    ...options,
  });
  let began = false;
  return {
    source,
    async next(ms = 1000) {
      if (began) now += ms;
      began = true;
      // No vendor's answer is older than this moment. One without cards adds nothing that could be waited for: on a busy machine
      // its thread may be so many passes behind that it is called stalled, and with it the source.
      const isNew = ({ status, ageMs }: GpuReading) =>
        status !== 'initializing' && status !== 'stalled' && (status !== 'working' || ageMs === 0);
      return await waitFor(
        () => {
          const latest = source.latest();
          return isNew(latest) ? latest : undefined;
        },
        { what: 'a pass over the cards' },
      );
    },
    [Symbol.dispose]: () => source.close(),
  };
}

/** What happens to a path instead of its being read: an errno, or a read that does not return as long as this is so. */
export type Failing = (path: string) => number | 'hangs' | undefined;

const pause = () => new Promise((resolve) => setTimeout(resolve, 20).unref());

/** Readers over real files, some of which fail as files of a driver do. */
export function failingFiles(failing: Failing, open: OpenFiles = openFileReader): OpenFiles {
  return () => {
    const inner = open();
    let runningSince: number | null = null;
    let runningAt = 0;
    let turn: Promise<unknown> = Promise.resolve();
    /** One batch at a time, in order. */
    const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
      const mine = turn.then(work);
      turn = mine.catch(() => undefined);
      return mine;
    };
    const read = async <T>(paths: readonly string[], ask: (some: readonly string[]) => Promise<readonly T[]>) => {
      for (; paths.some((path) => failing(path) === 'hangs'); await pause()) runningSince ??= performance.now();
      runningSince = null;
      const good = paths.filter((path) => failing(path) === undefined);
      const results = new Map((await ask(good)).map((result, i) => [good[i], result]));
      return paths.map((path) => results.get(path) ?? (failing(path) as number));
    };
    const over = <T>(paths: readonly string[], ask: (some: readonly string[]) => Promise<readonly T[]>) =>
      inTurn(() => read(paths, ask));
    const awake = async (device: string, maxBytes: number) => {
      const results: KeptResult[] = [];
      for (const path of splitDevice(device)) {
        runningAt = results.length;
        results.push(...(await read([path], (some) => inner.readKept(some, maxBytes))));
        if (results.length === 1 && sleeps(String(results[0]))) break;
      }
      runningAt = 0;
      return results;
    };
    return {
      read: (paths, maxBytes) => over(paths, (some) => inner.read(some, maxBytes)),
      readKept: (paths, maxBytes) => over(paths, (some) => inner.readKept(some, maxBytes)),
      readAwake: (devices, maxBytes) =>
        inTurn(async () => {
          const all = [];
          for (const device of devices) all.push(await awake(device, maxBytes));
          return all;
        }),
      pids: (paths) => over(paths, (some) => inner.pids(some)),
      list: (paths) => over(paths, (some) => inner.list(some)),
      links: (paths, prefix) => over(paths, (some) => inner.links(some, prefix)),
      linkNames: (paths, prefix) => over(paths, (some) => inner.linkNames(some, prefix)),
      ...(inner.drmClients === undefined
        ? {}
        : {
            drmClients: (paths: readonly string[], maxBytes: number) =>
              over(paths, async (some) => (await inner.drmClients?.(some, maxBytes)) ?? []),
          }),
      listening: (namespaces) => inner.listening(namespaces),
      runningMs: () => (runningSince === null ? inner.runningMs() : performance.now() - runningSince),
      runningAt: () => runningAt,
      close: () => inner.close(),
    };
  };
}

/**
 * Readers of which a dozen share a thread, since a thread takes longer to start than most tests to run: for tests of which none has a
 * file that hangs. More of them would have the kept descriptors of a thread used up.
 */
export function sharedThreads(): { readonly open: OpenFiles; close(): void } {
  const threads: WorkerFileReader[] = [];
  let opened = 0;
  return {
    open: () => {
      if (opened++ % 12 === 0) threads.push(new WorkerFileReader());
      const thread = threads.at(-1) as WorkerFileReader;
      return {
        read: (paths, maxBytes) => thread.read(paths, maxBytes),
        readKept: (paths, maxBytes) => thread.readKept(paths, maxBytes),
        readAwake: (devices, maxBytes) => thread.readAwake(devices, maxBytes),
        pids: (paths) => thread.pids(paths),
        list: (paths) => thread.list(paths),
        links: (paths, prefix) => thread.links(paths, prefix),
        linkNames: (paths, prefix) => thread.linkNames(paths, prefix),
        listening: (namespaces) => thread.listening(namespaces),
        runningMs: () => thread.runningMs(),
        runningAt: () => thread.runningAt(),
        close: () => undefined,
      };
    },
    close: () => {
      for (const thread of threads.splice(0)) thread.close();
    },
  };
}

/** Both vendors, each over files of its own. */
export const vendorsOver = (open: OpenFiles): NonNullable<GpuSourceOptions['vendors']> =>
  [amdCards, intelCards].map((cards) => ({
    name: cards.vendor,
    open: ({ drmProcesses: _, ...options }) => openDrm(cards, options, open),
    check: async () => null,
  }));

/** Both vendors over files that fail. */
export const failingVendors = (failing: Failing): NonNullable<GpuSourceOptions['vendors']> =>
  vendorsOver(failingFiles(failing));

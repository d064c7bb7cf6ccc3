import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { type WorkerFile, workerColumns } from '../../lib/native/layout.js';
import type { RawRow } from '../../lib/sampling/rates.js';
import { unreadProcess, type WorkerInput, type WorkerProcess, workerSample } from '../../lib/sampling/worker.js';
import type { WorkerRecord } from '../../lib/workers/records.js';
import type { Watched } from '../../lib/workers/watched.js';

export const none = Number.NaN;

export const row = (values: Partial<RawRow> = {}): RawRow => ({
  ...(Object.fromEntries(workerColumns.map((name) => [name, none])) as unknown as RawRow),
  flags: 0,
  ...values,
});
export const watched = (over: Partial<Watched> = {}): Watched => ({
  ...{ id: 'llm/0', group: 'llm', instance: '0', scope: 'cgroup', path: '/llm/0', directory: '/cg/llm/0' },
  ...{ origin: 'adopted', name: null, record: null, ancestorMemoryBytes: null, ancestorCpuPercent: null },
  ...over,
});
export const record = (over: object = {}): WorkerRecord =>
  ({ pid: 7, startTicks: 70, cgroupInode: 5, model: null, labels: {}, notApplied: [], ...over }) as never;
export const process = (pid: number, startTicks: number, over: Partial<WorkerProcess> = {}): WorkerProcess => ({
  ...unreadProcess({ pid, startTicks }),
  ...over,
});
export const noRates = {
  ...{ cpuPercent: null, cpuThrottledPercent: null, ioReadBytesPerSecond: null },
  ...{ ioWriteBytesPerSecond: null, oomKillsSince: null },
};
export const server = { port: null, endpoint: null, reason: null, fault: null, models: [] };

export const sample = (over: Partial<WorkerInput> = {}): WorkerSample =>
  workerSample({
    ...{ watched: watched(), row: row(), rates: noRates, processes: [], nestedProcesses: 0, hiddenProcesses: 0 },
    ...{ record: null, described: null, main: null, startedAt: null, uptimeSeconds: null, gpus: [], gpuDoubt: false },
    ...{ inferred: null, gpusReason: null, gpuTotals: new Map(), ready: true, state: 'idle' },
    ...{ memoryFromProc: false, ioFromProc: false, server, load: { serving: null, reason: null } },
    ...{ errorOf: () => 0, clocksDiffer: false, gpuExplains: () => false },
    ...over,
  });
/** Value and reason of some fields; a reason that is null stands elsewhere. */
export function shown(over: Partial<WorkerInput>, ...names: readonly string[]) {
  const worker = sample(over) as unknown as Record<string, unknown> & WorkerSample;
  return names.map((name) => [worker[name], worker.nullReasons?.[name as never] ?? null]);
}

export const errors = (of: Partial<Record<WorkerFile, number>>) => (file: WorkerFile) => of[file] ?? 0;

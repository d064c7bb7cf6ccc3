import type { WorkerRecord } from '../../lib/workers/records.js';

/** The record of a worker `g/a` that runs: process 100, started 900,000 ticks after boot. */
export const workerRecord = (over: Partial<WorkerRecord> = {}): WorkerRecord => ({
  schema: 1,
  group: 'g',
  instance: 'a',
  owner: 'cgroup',
  cgroup: '/sys/fs/cgroup/hivepulse.slice/g/a',
  cgroupInode: null,
  unit: null,
  pid: 100,
  startTicks: 900_000,
  startedAt: '2026-01-01T00:00:00.000Z',
  parentPid: 50,
  parentStartTicks: null,
  model: null,
  port: null,
  labels: {},
  readyUrl: null,
  reservationId: null,
  command: [],
  limits: {},
  notApplied: [],
  exit: null,
  ...over,
});

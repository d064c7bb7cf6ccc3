import type { WorkerScope } from '../contract/enums.js';
import type { Fault } from '../contract/heartbeat.js';
import type { WorkerRecord } from './records.js';

/** A cgroup, or a tree of processes without one of its own, that is watched as a worker. */
export interface Watched {
  readonly id: string;
  readonly group: string;
  readonly instance: string;
  readonly scope: WorkerScope;
  /** Of the cgroup, relative to the cgroup root, `/a/b`; the key of a tree of processes. */
  readonly path: string;
  /** Of the cgroup, absolute; null of a tree of processes. */
  readonly directory: string | null;
  readonly origin: 'launched' | 'adopted';
  /** Name of the container or pod, where the host offers it. */
  readonly name: string | null;
  /** The record of `run` under this name; it may be of an earlier cgroup, which its inode shows. */
  readonly record: WorkerRecord | null;
  /** Least limits of its ancestors; its own are in its row. null = none, or not known. */
  readonly ancestorMemoryBytes: number | null;
  readonly ancestorCpuPercent: number | null;
}

/** All workers that are watched now. */
export interface WatchSet {
  readonly watched: readonly Watched[];
  /** false before the first whole scan, and where some part of the tree could not be read. */
  readonly complete: boolean;
  readonly faults: readonly Fault[];
  /** Exits that `run` has recorded lately, oldest first. */
  readonly ended: readonly WorkerRecord[];
  /** When the newest whole read of the records of `run` began, by the monotonic clock in ms; -Infinity before the first. */
  readonly recordsReadAtMs: number;
}

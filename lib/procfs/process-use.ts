import type { FileResult } from '../io/file-reader.js';
import { type UsageColumn, usageColumns } from '../native/layout.js';
import { parseProcessIo, parseProcessStat, parseResidentPages } from './parse.js';

/** What a process has used; NaN is not known. */
export interface ProcessUse {
  readonly parentPid: number;
  readonly state: string;
  readonly startTicks: number;
  readonly cpuTicks: number;
  /** Of children that it waited for. */
  readonly waitedCpuTicks: number;
  readonly residentPages: number;
  readonly readBytes: number;
  readonly writeBytes: number;
}

/** The files of a process that say it. /proc/<pid>/schedstat does not: it is of the first thread alone. */
export const usageFiles = ['stat', 'statm', 'io'] as const;

/** From the contents of `usageFiles`; null: there is no such process any more. */
export function useOfFiles([stat, statm, io]: readonly (FileResult | undefined)[]): ProcessUse | null {
  const parsed = stat instanceof Buffer ? parseProcessStat(stat) : null;
  if (parsed === null) return null;
  const { parentPid, state, startTicks, cpuTicks, waitedCpuTicks } = parsed;
  const counted = io instanceof Buffer ? parseProcessIo(io) : null;
  const pages = statm instanceof Buffer ? parseResidentPages(statm) : null;
  return {
    parentPid,
    state,
    startTicks,
    cpuTicks,
    waitedCpuTicks,
    residentPages: pages ?? Number.NaN,
    readBytes: counted?.readBytes ?? Number.NaN,
    writeBytes: counted?.writeBytes ?? Number.NaN,
  };
}

const column = Object.fromEntries(usageColumns.map((name, i) => [name, i])) as Record<UsageColumn, number>;

/** From a row of the addon. */
export function useOfRow(row: Float64Array): ProcessUse {
  const at = (name: UsageColumn): number => row[column[name]] as number;
  return {
    parentPid: at('parentPid'),
    state: String.fromCharCode(at('state')),
    startTicks: at('startTicks'),
    cpuTicks: at('cpuTicks'),
    waitedCpuTicks: at('waitedCpuTicks'),
    residentPages: at('residentPages'),
    readBytes: at('readBytes'),
    writeBytes: at('writeBytes'),
  };
}

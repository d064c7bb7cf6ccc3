import type { ReportedProcess } from '../report.js';
import { nvmlCode } from './codes.js';
import { listFailure, mebibytes, number } from './nvidia-smi-csv.js';
import type { OpenGpu } from './report.js';

/** `nvidia-smi pmon`: what each process does on each GPU. */

export interface PmonRow {
  readonly index: number;
  readonly pid: number;
  readonly bytes: number | null;
  /** null: no sample. */
  readonly utilization: number | null;
}

export interface Pmon {
  readonly rows: readonly PmonRow[];
  /** Indexes of the GPUs that it shows, those without a process included. */
  readonly listed: ReadonlySet<number>;
}

/** `pmon -c 1 -s um`: columns differ by release, so they are found by the names of the heading. null: no heading. */
export function parsePmon(text: string): Pmon | null {
  let heading: readonly string[] | null = null;
  const rows: PmonRow[] = [];
  const listed = new Set<number>();
  for (const line of text.split('\n')) {
    const cells = line.trim().split(/\s+/);
    if (cells[0] === '#' && cells[1] === 'gpu') heading = cells.slice(1);
    if (heading === null || line.trim().startsWith('#')) continue;
    const cell = (name: string): string | undefined => cells[heading!.indexOf(name)];
    const [index, pid] = [cell('gpu') ?? '', cell('pid') ?? ''];
    if (!/^\d+$/.test(index) || !/^(\d+|-)$/.test(pid)) continue;
    listed.add(Number(index));
    if (pid === '-' || Number(pid) === 0) continue;
    const utilization = number(cell('sm') ?? '');
    rows.push({
      index: Number(index),
      pid: Number(pid),
      bytes: heading.includes('fb') ? mebibytes(cell('fb') ?? '') : null,
      utilization: utilization !== null && utilization >= 0 && utilization <= 100 ? utilization : null,
    });
  }
  return heading === null ? null : { rows, listed };
}

/** Without the rows: a command may be called like a message. */
const messagesOf = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !/^\s*(?:#|\d+\s+(?:\d+|-)\s)/.test(line))
    .join('\n');

export interface PmonAnswer extends Pmon {
  /** Why the other GPUs are not listed, by NVML's return code. */
  readonly code: number;
}

type Run = (args: readonly string[]) => Promise<{ readonly text: string; readonly exitCode: number | null }>;

const isAsked = ({ handleCode, values }: OpenGpu): boolean =>
  handleCode === nvmlCode.success && values.migEnabled !== 1;

/** Without `-i` it shows only the first few GPUs (four, by release): it is asked for the others as long as it shows more. */
export async function readPmon(run: Run, devices: readonly OpenGpu[], only: readonly string[]): Promise<PmonAnswer> {
  const rows: PmonRow[] = [];
  const listed = new Set<number>();
  let chosen = only;
  for (;;) {
    const { text, exitCode } = await run(['pmon', '-c', '1', '-s', 'um', ...chosen]);
    const found = parsePmon(text);
    const more = [...(found?.listed ?? [])].filter((index) => !listed.has(index));
    rows.push(...(found?.rows ?? []).filter(({ index }) => more.includes(index)));
    for (const index of more) listed.add(index);
    const left = devices.filter((gpu) => isAsked(gpu) && !listed.has(gpu.index));
    if (left.length > 0 && more.length > 0) {
      chosen = ['-i', left.map(({ busId, index }) => busId || String(index)).join(',')];
      continue;
    }
    const messages = messagesOf(text);
    const unsupported = /^\s*not supported/im.test(messages);
    return {
      rows,
      listed,
      code: unsupported ? nvmlCode.notSupported : (listFailure(messages, exitCode, []) ?? nvmlCode.unknown),
    };
  }
}

export const larger = (one: number | null, other: number | null): number | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other);

/** One row for each process: a dash never stands for a number that another row has. */
function oncePerPid(rows: readonly PmonRow[]): readonly PmonRow[] {
  const found = new Map<number, PmonRow>();
  for (const row of rows) {
    const { bytes, utilization } = found.get(row.pid) ?? { bytes: null, utilization: null };
    found.set(row.pid, {
      ...row,
      bytes: larger(bytes, row.bytes),
      utilization: larger(utilization, row.utilization),
    });
  }
  return [...found.values()];
}

/** What pmon says of each process; it shows graphics processes too, which no other list has. */
export function addUtilization(answer: PmonAnswer, devices: readonly OpenGpu[], processes: ReportedProcess[]): void {
  devices.forEach((gpu, device) => {
    const { index, handleCode, values, codes } = gpu;
    if (handleCode !== nvmlCode.success) return;
    if (!answer.listed.has(index) || !isAsked(gpu)) {
      const code = isAsked(gpu) ? answer.code : nvmlCode.notSupported;
      if (processes.some((process) => process.device === device)) codes.processUtilization = code;
      return;
    }
    const own = oncePerPid(answer.rows.filter((row) => row.index === index));
    // "-" is no sample. Idle, where samples are to be had at all: the GPU did nothing, or others have some.
    const sampled = values.utilizationPercent === 0 || own.some((row) => row.utilization !== null);
    for (const row of own) {
      const utilization = row.utilization ?? (sampled ? 0 : null);
      const known = processes.findIndex((process) => process.device === device && process.pid === row.pid);
      if (known >= 0) processes[known] = { ...processes[known]!, utilization };
      else processes.push({ device, pid: row.pid, bytes: row.bytes, utilization });
    }
    if (own.length > 0) values.processUtilization = 0;
  });
}

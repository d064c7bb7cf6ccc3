import type { Snapshot } from '../contract/heartbeat.js';
import { storedGpu, storedWorker } from '../contract/stored.js';
import { containerShare } from '../present/container.js';
import { coresOf, usedMemoryOf } from '../present/host-figures.js';
import { gpuReadersText, hiveGpusText, incompleteText } from '../present/knowledge.js';
import { unknownOfWorkers } from '../present/null-text.js';
import { plural, sentence } from '../present/sentences.js';
import { ansiOf } from '../present/status.js';
import { formatDuration, formatGibOf, formatPercent } from '../present/units.js';
import { type GpuRow, gpuColumns, type WorkerRow, workerColumns } from './columns.js';
import { type Column, printTable, sortRows } from './table.js';
import { paint, printable } from './text.js';

/** A snapshot of one host for a person: the host, its GPUs, its workers, and what could not be had. */
export function snapshotLines(snapshot: Snapshot, width: number, colours: boolean): string[] {
  const { host, gpus, workers, faults, collection } = snapshot;
  const absence = hiveGpusText(snapshot, collection.gpuAgeMs);
  const bold = (text: string): string => (colours ? paint(text, '1') : text);
  const here = { hive: '', liveness: 'online', ageMs: 0 } as const;
  const used = usedMemoryOf(host);
  const without = <T>(all: readonly Column<T>[]): Column<T>[] => all.filter(({ key }) => key !== 'hive');
  const rows: WorkerRow[] = workers.map((worker) => ({
    ...storedWorker(worker),
    ...here,
    key: worker.id,
    gpuAgeMs: collection.gpuAgeMs,
  }));
  const gpuRows: GpuRow[] = gpus.map((gpu) => ({ ...storedGpu(gpu), ...here }));
  const { cpu, memory, io } = host.pressure;
  const lines = [
    `${bold('cpu')}       ${coresOf(host)} cores, load ${host.load1?.toFixed(2) ?? '—'}, up ${formatDuration(host.uptimeSeconds)}`,
    `${bold('memory')}    ${formatGibOf(used, host.memoryTotalBytes)}`,
    ...(host.container == null ? [] : [`${bold('container')} ${containerShare(host.container)}`]),
    `${bold('pressure')}  cpu ${formatPercent(cpu)}, memory ${formatPercent(memory)}, I/O ${formatPercent(io)}`,
    `${bold('read by')}   cgroups: ${reader(collection.cgroupReader, collection.cgroupReaderReason)}; GPUs: ${reader(gpuReadersText(collection), collection.gpuReaderReason)}`,
    '',
    bold(absence?.unknown ? `GPUs ${absence.text}` : plural(gpus.length, 'GPU')),
    ...(absence?.reason ? [printable(sentence(absence.reason))] : []),
    ...(absence === null ? printTable(without(gpuColumns), gpuRows, width, colours) : []),
    '',
    bold(`${plural(workers.length, 'worker')}${incompleteText(snapshot)}`),
    ...(workers.length > 0
      ? printTable(without(workerColumns), sortRows(rows, workerColumns[0] as Column<WorkerRow>, false), width, colours)
      : []),
  ];
  const missing = unknownOfWorkers(workers, snapshot);
  if (missing.length > 0) {
    lines.push('', bold('not known'));
    for (const { labels, reason } of missing) lines.push(`${printable(labels)}: ${printable(reason)}`);
  }
  if (faults.length > 0) {
    lines.push('', bold(plural(faults.length, 'fault')));
    for (const { source, code, message, workerId, gpuUuid } of faults) {
      const head = `${source} ${code}`;
      const about = workerId ?? gpuUuid;
      lines.push(
        `${colours ? paint(head, ansiOf.warning) : head}  ${printable(message)}${about ? ` (${printable(about)})` : ''}`,
      );
    }
  }
  return lines;
}

const reader = (name: string, reason: string | null): string => (reason ? `${name} (${printable(reason)})` : name);

import type { Results } from './metric.js';

const number = (value: number): string =>
  Number.isNaN(value)
    ? '–'
    : Math.abs(value) >= 1000
      ? Math.round(value).toLocaleString('en-US')
      : String(Number(value.toPrecision(3)));

/** Every judged figure of a run as a table of Markdown, and under what it was measured. */
export function measuredTable({ commit, node, kernel, cpu, cpuCount, load1, when, metrics }: Results): string {
  const judged = Object.entries(metrics).filter(([, { target }]) => target !== null);
  const met = judged.filter(([, { pass }]) => pass).length;
  const rows = judged.map(([name, { value, unit, target, better, pass }]) => [
    name,
    `${number(value)} ${unit}`,
    `${better === 'lower' ? '≤' : '≥'} ${number(target as number)}`,
    pass ? 'met' : '**missed**',
  ]);
  const head = ['metric', 'measured', 'target', ''];
  const widths = head.map((title, i) => Math.max(title.length, 3, ...rows.map((row) => (row[i] as string).length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] as number)).join(' | ')} |`;
  return [
    `${met} of ${judged.length} targets met at ${commit}, ${when.slice(0, 10)}: Node ${node}, Linux ${kernel}, ${cpuCount} CPUs`,
    `(${cpu}), load average ${load1.map((load) => load.toFixed(1)).join(' before and ')} after.`,
    '',
    line(head),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map(line),
    '',
  ].join('\n');
}

const fleets = [1000, 10_000, 100_000];
const gigabit = 125e6;

/** What a queen of such fleets would use at a heartbeat a second from hives of 8 workers, computed from what one heartbeat costs. */
export function limitsTable({ metrics }: Results): string {
  const value = (name: string): number => metrics[name]?.value ?? Number.NaN;
  // So many streams are read together, which a run over few of them does not have.
  const stream = value('fleet-stream/fleet_stream_10000_hives CPU of a heartbeat') / 1e6;
  const coresOf = { request: 1 / value('ingest/ingest_8 by CPU'), stream };
  const bytesOf = { request: value('ingest/ingest_8 body') * 1000, stream: value('stream/stream_8 message') };
  const bytesPerWorker = value('registry/queen_bytes_per_worker');
  const seconds = (cores: number): string =>
    Number.isNaN(cores) ? '–' : `${Math.max(1, Math.ceil(cores)).toLocaleString('en-US')} s`;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rows = fleets.flatMap((hives) =>
    (['request', 'stream'] as const).map((by) =>
      line([
        hives.toLocaleString('en-US'),
        by === 'request' ? 'POST' : 'stream',
        `${number(hives * coresOf[by])} cores`,
        `${number((hives * 8 * bytesPerWorker) / 2 ** 20)} MiB`,
        `${number((hives * bytesOf[by]) / 1e6)} MB/s (${number((hives * bytesOf[by] * 100) / gigabit)} % of 1 Gbit/s)`,
        seconds(hives * coresOf[by]),
      ]),
    ),
  );
  return [
    line([
      'hives of 8 workers',
      'by',
      'CPU at a heartbeat a second',
      'heap without history',
      'network',
      'shortest interval one core bears',
    ]),
    line(['-', '-', '-', '-', '-', '-']),
    ...rows,
    '',
  ].join('\n');
}

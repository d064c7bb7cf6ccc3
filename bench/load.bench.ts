import { Child } from './children.js';
import { type BenchContext, type Metric, metric } from './metric.js';
import type { EnginePorts } from './processes/load-engines.js';
import type { LoadProbesState } from './processes/load-probes.js';
import { useOf } from './tick.bench.js';

const workers = 100;
/** What is called a hundred times a second is compiled for most of a minute, on threads of its own. A hive runs for days. */
const warmUpSeconds = 60;
const measuredSeconds = 30;

export const rows = ['load_100_workers'] as const;

/**
 * What it costs a hive to ask 100 engines for their load once a second: a page of metrics of 58 kB of each, over connections that
 * are kept. CPU of all threads of a process that does nothing else.
 */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const engines = await Child.start<EnginePorts>(context, 'load-engines', [workers]);
  const child = await Child.start<LoadProbesState>(context, 'load-probes', [engines.first.join(',')]);
  const pid = child.process.pid as number;
  await child.ask({ seconds: warmUpSeconds });
  const from = useOf(pid);
  const { known } = await child.ask<LoadProbesState>({ seconds: measuredSeconds });
  const to = useOf(pid);
  if (known !== workers) throw new Error(`the load of ${known} of ${workers} engines is known`);
  const [allMs, loopMs] = [(to.allMs - from.allMs) / measuredSeconds, (to.loopMs - from.loopMs) / measuredSeconds];
  return [
    metric('load_100_workers all threads', allMs, 'ms CPU', { atMost: 10 }),
    metric('load_100_workers event loop', loopMs, 'ms CPU'),
  ];
}

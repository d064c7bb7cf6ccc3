import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { BenchCgroups } from './cgroups.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';
import { sink, startHive } from './tick.bench.js';

const rounds = 7;
const built = (path: string) => new URL(`../dist/${path}`, import.meta.url).href;

/** Wall and CPU of a fresh process that imports this, ms; and its memory then. */
function importing(module: string | null) {
  const code = `${module === null ? '' : `await import(${JSON.stringify(module)});`}
    const { user, system } = process.cpuUsage();
    console.log(JSON.stringify({ wall: performance.now(), cpu: (user + system) / 1000, rss: process.memoryUsage().rss / 2 ** 20 }));
    process.exit();`;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`importing ${module} failed`);
  return JSON.parse(stdout) as { wall: number; cpu: number; rss: number };
}

export const rows = ['startup'] as const;

/** Import of the package and its parts beside a bare process, in turns; and from the start of a hive to its first beat. */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const modules: Readonly<Record<string, string | null>> = {
    'bare node': null,
    'the package': built('index.js'),
    'its hive': built('daemon/hive.js'),
    'its queen': built('daemon/queen.js'),
    'its client': built('client/client.js'),
  };
  const taken = new Map<string, { wall: number; cpu: number; rss: number }[]>();
  for (let round = 0; round < rounds; round++)
    for (const [name, module] of Object.entries(modules))
      taken.set(name, [...(taken.get(name) ?? []), importing(module)]);
  const metrics = [...taken].flatMap(([name, all]) => [
    metric(`startup ${name}`, median(all.map(({ wall }) => wall)), 'ms'),
    metric(`startup ${name}, CPU`, median(all.map(({ cpu }) => cpu)), 'ms CPU'),
    metric(`startup ${name}, memory`, median(all.map(({ rss }) => rss)), 'MiB'),
  ]);

  const cgroups = new BenchCgroups(context);
  cgroups.make(10);
  const queen = await sink(context);
  const waits: number[] = [];
  for (let i = 0; i < 3; i++) {
    const from = performance.now();
    const before = queen.heard.length;
    const hive = startHive(context, queen.url, cgroups.root);
    await queen.reach(before + 1);
    waits.push(performance.now() - from);
    hive.kill('SIGTERM');
    await once(hive, 'exit');
  }
  metrics.push(metric('startup hive, process start to first heartbeat', median(waits), 'ms'));
  context.log(`sources: ${fileURLToPath(built('index.js'))}`.replace(process.cwd(), '.'));
  return metrics;
}

// What a hive does each second to know where workers serve and whether they are ready, and nothing else: sockets, endpoints
// and probes. argv: prefix of the workers' cgroup paths, their number, the dist/ that does it: what is installed, without what
// compiles TypeScript here. First it says when all are known and ready; each message is answered once so many seconds
// have passed.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const [prefix, count, dist] = process.argv.slice(2);
const load = (file) => import(join(dist, file));
const { Prober } = await load('engines/prober.js');
const { Endpoints } = await load('sampling/endpoints.js');
const { systemClock } = await load('util/clock.js');
const { Listening } = await load('workers/listening.js');
const { ProcessTable } = await load('workers/process-table.js');

const options = { procRoot: '/proc', clock: systemClock };
const listening = new Listening(options);
const prober = new Prober({ now: systemClock.now });
const endpoints = new Endpoints({ listening, prober, namespaces: null, containers: null, address: '127.0.0.1' });

/** Processes of the workers by cgroup. They do not change while this runs, so they are read once. */
async function readProcesses() {
  const table = new ProcessTable(options);
  await table.scan();
  const groups = new Map();
  for (const known of table.all()) {
    if (!known.cgroup?.startsWith(prefix)) continue;
    groups.set(known.cgroup, [...(groups.get(known.cgroup) ?? []), known]);
  }
  table.close();
  return groups;
}

const groups = await readProcesses();

const paths = [...groups.keys()];

/** What the sampler does at each pass. */
function tick() {
  endpoints.update(groups);
  const targets = [];
  for (const path of paths) {
    endpoints.of(path, path, null, false);
    const servers = endpoints.askedOf(path);
    const processes = endpoints.processesOf(path);
    const quiet = { readyUrl: null, urlWay: null, working: false, unnamed: false, loadReason: null };
    targets.push({ id: path, identity: path, servers, processes, ...quiet });
  }
  prober.update(targets);
}

const stateNow = () => ({
  processes: [...groups.values()].flat().length,
  endpoints: paths.filter((path) => endpoints.of(path, path, null, false).endpoint !== null).length,
  ready: paths.filter((path) => prober.readyOf(path) === true).length,
});

async function ticks(seconds) {
  for (let i = 0; i < seconds; i += 1) {
    tick();
    await sleep(1000);
  }
  return stateNow();
}

const deadline = systemClock.now() + 60_000;
let state = await ticks(1);
while (state.ready < Number(count)) {
  if (systemClock.now() > deadline) throw new Error(`${state.ready} of ${count} workers are ready`);
  state = await ticks(1);
}
process.once('disconnect', () => {
  listening.close();
  void prober.close();
});
process.on('message', ({ seconds }) => {
  void ticks(seconds).then((now) => process.send?.(now));
});
process.send?.(state);

// What a hive does each second to know the load of its engines, and nothing else. argv: their ports. First it says that all are
// known; each message is answered once so many seconds have passed.
import { setTimeout as sleep } from 'node:timers/promises';
import { LoadProber, type LoadTarget } from '../../lib/engines/load/prober.js';
import { systemClock } from '../../lib/util/clock.js';

export interface LoadProbesState {
  /** Engines whose load is known and fresh. */
  readonly known: number;
}

const prober = new LoadProber({ now: systemClock.now });
const targets = (process.argv[2] as string).split(',').map(
  (port, i): LoadTarget => ({
    ...{ id: `llm/${i}`, identity: '1', runners: [] },
    server: { engine: 'vllm', scheme: 'http', address: { host: '127.0.0.1', port: Number(port) } },
  }),
);

async function ticks(seconds: number): Promise<LoadProbesState> {
  for (let i = 0; i < seconds; i += 1) {
    prober.update(targets);
    await sleep(1000);
  }
  const known = targets.filter(({ id }) => {
    const load = prober.loadOf(id);
    return load?.reading?.running === 12 && load.reason === null;
  });
  return { known: known.length };
}

const deadline = systemClock.now() + 30_000;
let state = await ticks(1);
while (state.known < targets.length) {
  if (systemClock.now() > deadline) throw new Error(`the load of ${state.known} engines is known`);
  state = await ticks(1);
}
process.once('disconnect', () => prober.close());
process.on('message', ({ seconds }: { readonly seconds: number }) => {
  void ticks(seconds).then((now) => process.send?.(now));
});
process.send?.(state);

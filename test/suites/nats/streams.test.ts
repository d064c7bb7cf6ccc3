import { expect, test } from 'vitest';
import type { FleetEvent, WorkerView } from '../../../lib/contract/api.js';
import type { Heartbeat } from '../../../lib/contract/heartbeat.js';
import type { HeartbeatTransport } from '../../../lib/hive/transport.js';
import { StreamTransport } from '../../../lib/hive/transport-stream.js';
import type { ServingFigures } from '../../../lib/sampling/serving.js';
import { getJson, type Harness, useHarness } from '../../harness/harness.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';
import { agree, natsServer, queenOn, whole } from './cluster-of-queens.js';

const harness = useHarness();

const noPost: HeartbeatTransport = {
  queen: 'none',
  send: () => Promise.reject(new Error('a hive has fallen back to POST')),
  close: () => Promise.resolve(),
};

/** A hive that sends by a stream alone, a heartbeat each second. */
class StreamedHive {
  readonly hive: SimulatedHive;
  readonly #transport: StreamTransport;
  readonly #ended = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> = Promise.resolve();
  failures: unknown[] = [];
  #last: Heartbeat | null = null;

  constructor(harness: Harness, url: string, index: number) {
    this.hive = new SimulatedHive({ id: `streamed.${index}`, seed: index + 1, workers: 3, gpus: 2, asksEngines: true });
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    this.#transport = new StreamTransport(url, { log, post: noPost });
    harness.defer(() => this.close());
  }

  start(): void {
    this.#timer = setInterval(() => void this.step(), 1000);
    void this.step();
  }

  step(): Promise<void> {
    this.#sending = this.#sending.then(async () => {
      try {
        this.#last = this.hive.nextHeartbeat();
        const outcome = await this.#transport.send(this.#last, this.#ended.signal);
        if (outcome.kind === 'ack') this.hive.acknowledge(outcome.reply.ackEventSeq);
        else this.failures.push(outcome);
      } catch (error) {
        this.failures.push(error);
      }
    });
    return this.#sending;
  }

  /** So many requests run at each of its engines by now, which is said between two heartbeats. Gives at how many. */
  reportRunning(running: number): number {
    const asked = (this.#last?.workers ?? []).filter(({ serving }) => serving?.running != null);
    this.#transport.sendLoads(
      new Map(asked.map(({ id, serving }) => [id, { ...(serving as ServingFigures), running }] as const)),
    );
    return asked.length;
  }

  /** Sends nothing more by itself. */
  stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    return this.#sending;
  }

  async close(): Promise<void> {
    await this.stop();
    this.#ended.abort();
    await this.#transport.close();
  }
}

test('queens pass on what streams bring: all know the same, one that joins late soon does, and events come once at each', async () => {
  const server = await natsServer(harness());
  const first = await queenOn(harness(), server);
  const second = await queenOn(harness(), server);
  const hives = Array.from(
    { length: 8 },
    (_, i) => new StreamedHive(harness(), i % 2 === 0 ? first.url : second.url, i),
  );
  for (const hive of hives) hive.start();
  await Promise.all([first, second].map(({ url }) => whole(url, 8)));
  // Long before a minute has passed, after which each hive sends a keyframe by itself.
  const late = await queenOn(harness(), server);
  await whole(late.url, 8, 20_000);
  const urls = [first, second, late].map(({ url }) => url);

  const readers = urls.map((url) => harness().stream(`${url}/v1/events`));
  for (const reader of readers) await reader.next(({ event }) => event === 'snapshot');
  hives[0]?.hive.killWorker();
  const exits = (messages: readonly { readonly data: unknown }[]) =>
    messages.filter(({ data }) => (data as FleetEvent).kind === 'workerExited').length;
  await waitFor(() => readers.every(({ messages }) => exits(messages) === 1), { what: 'the event at each queen' });
  await waitFor(() => hives[0]?.hive.pendingEvents === 0, { what: 'the acknowledgement of the event' });

  await Promise.all(hives.map((hive) => hive.stop()));
  await Promise.all(hives.map((hive) => hive.step()));
  await agree(urls, 8);
  expect(readers.map(({ messages }) => exits(messages))).toEqual([1, 1, 1]);

  const asked = hives.reduce((sum, hive) => sum + hive.reportRunning(77), 0);
  expect(asked).toBeGreaterThan(0);
  for (const url of urls)
    await waitFor(
      async () => {
        const { items } = await getJson<{ items: readonly WorkerView[] }>(`${url}/v1/workers?limit=100`);
        return items.filter(({ serving }) => serving?.running === 77).length === asked;
      },
      { what: 'the load at each queen' },
    );
  expect(hives.flatMap(({ failures }) => failures)).toEqual([]);
});

import { expect } from 'vitest';
import type { HiveView, WorkerView } from '../../../lib/contract/api.js';
import type { Heartbeat } from '../../../lib/contract/heartbeat.js';
import type { SendOutcome } from '../../../lib/hive/transport.js';
import { StreamTransport } from '../../../lib/hive/transport-stream.js';
import { type Daemon, getJson, type Harness } from '../../harness/harness.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';

/** What a hive does where one heartbeat could not be sent, in short. */
const failed = (error: unknown): SendOutcome => ({
  kind: 'failed',
  failure: { code: 'FAILED', message: String(error) },
  retryAfterMs: null,
});

interface StreamedHiveOptions {
  readonly token?: string;
  readonly tls?: { readonly ca: string };
  readonly hive?: SimulatedHive;
}

/** A hive that sends by a stream, one heartbeat at a time. */
export class StreamedHive {
  readonly said: string[] = [];
  readonly hive: SimulatedHive;
  readonly #transport: StreamTransport;
  last!: Heartbeat;
  #marks = 0;

  constructor(harness: Harness, url: string, { token, tls, hive }: StreamedHiveOptions = {}) {
    this.hive = hive ?? new SimulatedHive({ id: 'alpha', workers: 4, gpus: 2, asksEngines: true });
    const log = { info: (_: object, message: string) => void this.said.push(message), warn: () => undefined };
    this.#transport = new StreamTransport(url, { log, token, ...(tls === undefined ? {} : { tls }) });
    harness.defer(() => this.#transport.close());
  }

  /** Sends the next one; ends as a hive's own deadline does. */
  async sendNext(changes: Partial<Heartbeat> = {}): Promise<SendOutcome> {
    return this.send({ ...this.hive.nextHeartbeat(), ...changes });
  }

  async send(heartbeat: Heartbeat): Promise<SendOutcome> {
    this.last = heartbeat;
    const outcome = await this.#transport.send(this.last, AbortSignal.timeout(8000)).catch(failed);
    if (outcome.kind === 'ack') this.hive.acknowledge(outcome.reply.ackEventSeq);
    return outcome;
  }

  /** Sends the next one with text that is new, so that its answer is waited for. */
  sendAnswered(): Promise<SendOutcome> {
    return this.sendNext({ faults: [{ source: 'hive', code: 'X', message: `${++this.#marks}` }] });
  }

  async sendSeveral(count: number): Promise<void> {
    for (let i = 0; i < count; i++) expect(await this.sendNext()).toEqual(expect.objectContaining({ kind: 'ack' }));
  }

  /** Sends until the queen answers that it has one, as a hive would go on; then the queen knows just what was sent. */
  async recovers(queen: Daemon): Promise<void> {
    await waitFor(async () => (await this.sendAnswered()).kind === 'ack', {
      timeoutMs: 30_000,
      what: 'a heartbeat to be taken again',
    });
    const { host, faults, liveness } = await getJson<HiveView>(`${queen.url}/v1/hives/alpha`);
    expect({ host, faults, liveness }).toEqual({ host: this.last.host, faults: this.last.faults, liveness: 'online' });
    const { items } = await getJson<{ items: WorkerView[] }>(`${queen.url}/v1/workers`);
    expect(items.map(({ id, cpuPercent }) => [id, cpuPercent]).toSorted()).toEqual(
      this.last.workers.map(({ id, cpuPercent }) => [id, cpuPercent]).toSorted(),
    );
  }
}

/** Messages of streams that a queen could not follow, by its own count. */
export const notFollowed = async (queen: Daemon): Promise<number> => {
  const text = await (await fetch(`${queen.url}/metrics`)).text();
  const counts = text.matchAll(/_refused_total\{[^}]*"(?:CHECKSUM_MISMATCH|INVALID_HEARTBEAT)"[^}]*\} (\d+)/g);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
};

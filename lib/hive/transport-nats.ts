import type { JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { NatsOptions } from '../config/options.js';
import { shortestIntervalMs } from '../contract/defaults.js';
import { connectionOptions, loadNats, NatsLink, type NatsPackages } from '../nats/nats-link.js';
import { publishFacts } from '../nats/publish-events.js';
import { heartbeatSubject } from '../nats/subjects.js';
import type { SenderLog } from './heartbeat-sender.js';
import type { Exchange, ExchangeRequest, ExchangeResponse } from './transport-http.js';

export interface NatsExchange {
  /** What stands for NATS in a sender's list of queens. */
  readonly address: string;
  readonly exchange: Exchange;
  close(): Promise<void>;
}

/**
 * Heartbeats by NATS instead of HTTP. One counts as taken when the server has it (its answer to a ping follows what was
 * published before); its facts are acknowledged as far as the stream of events has acknowledged them. Whether a queen listens
 * is not known here: a heartbeat that nobody hears is lost, as one is that a dead queen does not take.
 * @throws HivepulseError INVALID_OPTION (packages missing), CONFIG_UNREADABLE
 */
export async function natsExchange(nats: NatsOptions, hive: string, log: SenderLog): Promise<NatsExchange> {
  const packages = await loadNats();
  let js: JetStreamClient | null = null;
  const link = new NatsLink({
    options: connectionOptions(nats, packages, `hivepulse hive ${hive}`),
    connect: packages.transport.connect,
    log: { info: (message) => log.info({}, message), warn: (message) => log.warn({}, message) },
    hooks: {
      up: (connection) => {
        js = packages.jetstream.jetstream(connection, { timeout: 1500 });
      },
      down: () => {
        js = null;
      },
    },
  });
  return {
    address: nats.servers[0] as string,
    async exchange(request) {
      const { connection } = link;
      if (connection === null || js === null) throw new Error('NATS is out of reach');
      return await publish(packages, connection, js, request);
    },
    close: () => link.close(),
  };
}

async function publish(
  { transport }: NatsPackages,
  connection: NatsConnection,
  js: JetStreamClient,
  { headers, body, beat }: ExchangeRequest,
): Promise<ExchangeResponse> {
  const { id, incarnation } = beat.hive;
  const limit = connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
  if (body.length > limit - 1024)
    throw new Error(`the heartbeat has ${body.length} bytes, and NATS takes ${limit} (max_payload)`);
  const encoding = headers['content-encoding'];
  if (encoding === undefined) connection.publish(heartbeatSubject(id), body);
  else {
    const given = transport.headers();
    given.set('content-encoding', encoding);
    connection.publish(heartbeatSubject(id), body, { headers: given });
  }
  const models = new Map(beat.workers.map((worker) => [worker.id, worker.model]));
  const [ackEventSeq] = await Promise.all([
    beat.events.length === 0 ? 0 : publishFacts(js, id, incarnation, beat.events, (worker) => models.get(worker)),
    connection.flush(),
  ]);
  // Nobody asks for a longer interval here.
  const reply = { accepted: true, queenId: 'nats', ackEventSeq, intervalMs: shortestIntervalMs };
  return { status: 200, retryAfter: null, body: JSON.stringify(reply) };
}

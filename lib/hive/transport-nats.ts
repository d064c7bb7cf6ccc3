import type { JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { NatsOptions } from '../config/options.js';
import { shortestIntervalMs } from '../contract/defaults.js';
import type { Heartbeat } from '../contract/heartbeat.js';
import { maxMessageBytes, publishHeartbeat, publishHiveEvents } from '../nats/messages.js';
import { connectionOptions, loadNats, NatsLink, type NatsPackages } from '../nats/nats-link.js';
import { hiveInbox } from '../nats/subjects.js';
import type { SenderLog } from './heartbeat-sender.js';
import { encodeHeartbeat, type HeartbeatTransport, type SendOutcome } from './transport.js';

/**
 * Heartbeats over NATS. `send` resolves with `ack` once the server has the heartbeat (its answer to a ping follows what was
 * published before), with the events acknowledged that the shared stream has stored. Whether a queen listens is not known
 * here: a heartbeat that nobody hears is lost. It never gives `refused`, asks for no longer interval, and rejects while
 * there is no connection. `close` ends the connection and the attempts to make one.
 * @throws HivepulseError INVALID_OPTION (packages missing), CONFIG_UNREADABLE
 */
export async function natsTransport(nats: NatsOptions, hive: string, log: SenderLog): Promise<HeartbeatTransport> {
  const packages = await loadNats();
  let js: JetStreamClient | null = null;
  const link = new NatsLink({
    options: connectionOptions(nats, packages, `hivepulse hive ${hive}`, hiveInbox(hive)),
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
    queen: nats.servers[0] as string,
    async send(heartbeat) {
      const { connection } = link;
      if (connection === null || js === null) throw new Error('NATS is out of reach');
      return await publish(packages, connection, js, heartbeat);
    },
    close: () => link.close(),
  };
}

async function publish(
  packages: NatsPackages,
  connection: NatsConnection,
  js: JetStreamClient,
  heartbeat: Heartbeat,
): Promise<SendOutcome> {
  const { id, incarnation } = heartbeat.hive;
  const body = await encodeHeartbeat(heartbeat);
  if (body.bytes.length > maxMessageBytes(connection)) {
    const limit = connection.info?.max_payload;
    throw new Error(`the heartbeat has ${body.bytes.length} bytes, and NATS takes ${limit} (max_payload)`);
  }
  publishHeartbeat(packages, connection, id, body);
  const models = new Map(heartbeat.workers.map((worker) => [worker.id, worker.model]));
  const [ackEventSeq] = await Promise.all([
    heartbeat.events.length === 0
      ? 0
      : publishHiveEvents(js, id, incarnation, heartbeat.events, (worker) => models.get(worker)),
    connection.flush(),
  ]);
  return {
    kind: 'ack',
    reply: { accepted: true, queenId: 'nats', ackEventSeq, intervalMs: shortestIntervalMs },
  };
}

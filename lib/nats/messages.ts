import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { JetStreamClient } from '@nats-io/jetstream';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { type FleetEvent, queenEventKinds } from '../contract/api.js';
import type { HiveEvent } from '../contract/heartbeat.js';
import { maxDetailLength } from '../contract/limits.js';
import { defined } from '../util/defined.js';
import { exceededBudget } from '../util/json-budget.js';
import type { NatsPackages } from './nats-link.js';
import { deltaSubject, heartbeatSubject, hiveEventSubject, hiveOfToken, isHiveEvent, lastToken } from './subjects.js';

const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });

const common = {
  at: Type.String({ maxLength: 64 }),
  kind: Type.String({ pattern: '^[A-Za-z][A-Za-z0-9.]{0,63}$' }),
  hive: text(128),
  workerId: Type.Optional(text(512)),
  gpuUuid: Type.Optional(text(128)),
  model: Type.Optional(Type.Union([Type.String({ maxLength: 512 }), Type.Null()])),
  detail: Type.Record(Type.String(), Type.Unknown()),
};

/** A hive event in the stream; by `incarnation` and `seq` every queen knows what is stored. */
const HiveEventMessage = Type.Object({
  ...common,
  incarnation: text(64),
  seq: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
});
type HiveEventMessage = Static<typeof HiveEventMessage>;
const QueenEventMessage = Type.Object(common);

const hiveEvent = Compile(HiveEventMessage);
const queenEvent = Compile(QueenEventMessage);

/** A longer message is not one of a queen or hive. */
const maxBytes = 64 * 1024;
/** With its headers: the server stores no longer one. */
export const maxStoredBytes = maxBytes + 8 * 1024;
const eventBudget = { depth: 16, nodes: 8192, keys: 1024, stringBytes: maxBytes };

const queenKinds: ReadonlySet<string> = new Set(queenEventKinds);

/** A hive waits for the answer to its heartbeat for a second where it knows several queens. */
export const publishTimeoutMs = 700;

/** Largest message that the server takes, less what subject and headers need. */
export const maxMessageBytes = ({ info }: NatsConnection): number =>
  (info?.max_payload ?? Number.POSITIVE_INFINITY) - 1024;

interface Body {
  readonly bytes: Buffer;
  readonly encoding: string | null;
}

/** Which deltas refer to a heartbeat: their stream, their epoch, and the columns of their numbers as JSON. */
interface Origin {
  readonly stream: string;
  readonly epoch: number;
  readonly schema: string;
}

const header = {
  encoding: 'content-encoding',
  stream: 'hivepulse-stream',
  epoch: 'hivepulse-epoch',
  schema: 'hivepulse-schema',
} as const;

/** `origin`: deltas may follow. @throws where the connection is ending */
export function publishHeartbeat(
  { transport }: Pick<NatsPackages, 'transport'>,
  connection: NatsConnection,
  hive: string,
  { bytes, encoding }: Body,
  origin: Origin | null = null,
): void {
  const headers = transport.headers();
  if (encoding !== null) headers.set(header.encoding, encoding);
  if (origin !== null) {
    headers.set(header.stream, origin.stream);
    headers.set(header.epoch, String(origin.epoch));
    headers.set(header.schema, origin.schema);
  }
  connection.publish(heartbeatSubject(hive), bytes, encoding === null && origin === null ? {} : { headers });
}

/**
 * What differs from the heartbeat before, or a load. `bytes` may be another message's once this returns: the client sends later.
 * @throws where the connection is ending
 */
export function publishDelta(connection: NatsConnection, hive: string, stream: string, bytes: Buffer): void {
  connection.publish(deltaSubject(hive, stream), Buffer.from(bytes));
}

/** Room for the headers of a heartbeat, of which the columns take the most. The client takes the square of their number to read them: 20,000 were 9 s. */
const maxHeaderBytes = 4096;

type Message = Pick<Msg, 'subject' | 'reply' | 'data' | 'headers'>;

/** The headers, none of which are read where they are more than a heartbeat has; undefined: they are more, or broken. */
function headersOf(message: Message): Msg['headers'] | null {
  const { subject, reply = '', data } = message;
  // The client knows it, and its types do not.
  const bytes = (message as unknown as { size(): number }).size();
  if (bytes - Buffer.byteLength(subject) - Buffer.byteLength(reply) - data.length > maxHeaderBytes) return null;
  try {
    return message.headers;
  } catch {
    return null;
  }
}

/** A heartbeat that was published, and where its deltas come from (null: none follow); null where its headers are no heartbeat's. */
export function readHeartbeatMessage(message: Message): { readonly body: Body; readonly origin: Origin | null } | null {
  const headers = headersOf(message);
  if (headers === null) return null;
  const { data } = message;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const body = { bytes, encoding: headers?.get(header.encoding) || null };
  const stream = headers?.get(header.stream) ?? '';
  const epoch = Number(headers?.get(header.epoch));
  const schema = headers?.get(header.schema) ?? '';
  const isStream = stream !== '' && schema !== '' && Number.isSafeInteger(epoch);
  return { body, origin: isStream ? { stream, epoch, schema } : null };
}

/** Of this process. Ids of messages are those of the whole stream: one that others could guess they could take first. */
const sender = randomUUID();

/** Under this id the server takes a message once. What two processes publish of one event the readers take once. */
export const messageId = (
  { hive, incarnation, seq }: Pick<HiveEventMessage, 'hive' | 'incarnation' | 'seq'>,
  by: string = sender,
): string => `${hive}/${incarnation}/${seq}/${by}`;

/**
 * Writes the events of a hive in their order. Gives the seq up to which all are in the stream, 0 where none is. Never
 * rejects. `modelOf`: the model of a worker, where it is known.
 */
export async function publishHiveEvents(
  js: JetStreamClient,
  hive: string,
  incarnation: string,
  events: readonly HiveEvent[],
  modelOf: (workerId: string) => string | null | undefined,
): Promise<number> {
  const answers = await Promise.allSettled(
    events.map(({ at, kind, workerId, gpuUuid, detail, seq }) => {
      const model = workerId === undefined ? undefined : modelOf(workerId);
      const message = defined({ at, kind, hive, workerId, gpuUuid, model, detail, incarnation, seq });
      const options = { msgID: messageId({ hive, incarnation, seq }), timeout: publishTimeoutMs };
      return js.publish(hiveEventSubject(hive), JSON.stringify(message), options);
    }),
  );
  const failed = answers.findIndex(({ status }) => status === 'rejected');
  return events[(failed < 0 ? events.length : failed) - 1]?.seq ?? 0;
}

export type Received =
  | { readonly type: 'event'; readonly event: FleetEvent; readonly incarnation: string; readonly seq: number }
  | { readonly type: 'queenEvent'; readonly event: FleetEvent };

/**
 * What a message of the stream says; null where it is not one of ours. The NATS server decides who may publish under a
 * subject, so a message is of the hive that its subject names, and hives publish no event that only a queen may. Pure.
 */
export function readMessage(data: Uint8Array, subject: string, id: string): Received | null {
  if (data.length > maxBytes || !isUtf8(data) || exceededBudget(data, eventBudget) !== null) return null;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return null;
  }
  const hive = hiveOfToken(lastToken(subject));
  if (!isHiveEvent(subject)) {
    if (!queenEvent.Check(value) || !isOf(hive, value)) return null;
    return { type: 'queenEvent', event: eventOf(value, id) };
  }
  if (!hiveEvent.Check(value) || !isOf(hive, value) || queenKinds.has(value.kind)) return null;
  const { incarnation, seq } = value;
  return { type: 'event', event: eventOf(value, id), incarnation, seq };
}

function isOf(hive: string, { hive: said, detail }: Static<typeof QueenEventMessage>): boolean {
  return said === hive && JSON.stringify(detail).length <= maxDetailLength;
}

/** Only what an event has: whatever else a message carries is left out. */
function eventOf(message: Static<typeof QueenEventMessage>, id: string): FleetEvent {
  const { at, kind, hive, workerId, gpuUuid, model, detail } = message;
  return defined({ id, at, kind, hive, workerId, gpuUuid, model, detail }) as FleetEvent;
}

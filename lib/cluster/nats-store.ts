import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import type { KV } from '@nats-io/kv';
import { maxStoredBytes } from '../nats/messages.js';
import type { NatsPackages } from '../nats/nats-link.js';
import { allHiveEvents, allQueenEvents, eventStream, leaseKey, reservationBucket } from '../nats/subjects.js';
import type { LeaseStore } from './lease.js';
import type { ReservationStore } from './shared-reservations.js';

const requestTimeoutMs = 1500;
/** Long enough for a hive that could not hear an acknowledgement to come back with the same events. */
const dedupMs = 600_000;
const eventAgeMs = 7 * 24 * 3_600_000;
const maxEvents = 1_000_000;
const maxEventBytes = 512 * 1024 ** 2;
/** Longer than any reservation lasts: what is older is of no use. */
const reservationAgeMs = 2 * 3_600_000;

const nanos = (ms: number): number => ms * 1_000_000;

/** The stream of that name as the server has it, or null where it has none. Rejects where it cannot tell. */
export async function infoOf(jsm: JetStreamManager, packages: NatsPackages, name: string): Promise<StreamInfo | null> {
  try {
    return await jsm.streams.info(name);
  } catch (error) {
    if (isMissing(packages, error)) return null;
    throw error;
  }
}

export function isMissing({ jetstream }: NatsPackages, error: unknown): boolean {
  return error instanceof jetstream.JetStreamApiError && error.code === jetstream.JetStreamApiCodes.StreamNotFound;
}

/** In words for who runs the server. The client says `jetstream is not enabled` also where only a stream is gone. */
export function explain(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (/jetstream (is )?not enabled|no responders/i.test(text))
    return 'JetStream does not answer: it is not enabled on the server (start it with -js), or not for this account';
  return text;
}

export async function makeEventStream(
  jsm: JetStreamManager,
  packages: NatsPackages,
  replicas: number,
  compress: boolean,
): Promise<StreamInfo> {
  const { StorageType, RetentionPolicy, DiscardPolicy, StoreCompression } = packages.jetstream;
  return await jsm.streams.add({
    name: eventStream,
    subjects: [allHiveEvents, allQueenEvents],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_age: nanos(eventAgeMs),
    max_msgs: maxEvents,
    max_bytes: maxEventBytes,
    max_msg_size: maxStoredBytes,
    duplicate_window: nanos(dedupMs),
    num_replicas: replicas,
    ...(compress ? { compression: StoreCompression.S2 } : {}),
  });
}

/** A bucket read from its leader, so that what is read is what was written. */
export function bucketOptions(name: string, replicas: number) {
  return {
    history: 1,
    replicas,
    allow_direct: false,
    ...(name === reservationBucket ? { ttl: reservationAgeMs } : {}),
  } as const;
}

/** The new revision, or null where the key had moved on. */
async function write(
  { jetstream }: NatsPackages,
  kv: KV,
  key: string,
  value: string,
  revision: number,
): Promise<number | null> {
  try {
    return await kv.put(key, value, { previousSeq: revision, timeout: requestTimeoutMs } as never);
  } catch (error) {
    const { JetStreamApiError, JetStreamApiCodes } = jetstream;
    if (
      error instanceof JetStreamApiError &&
      (error.code === JetStreamApiCodes.StreamWrongLastSequence ||
        error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
    )
      return null;
    throw error;
  }
}

async function read(kv: KV, key: string): Promise<{ revision: number; value: Uint8Array } | null> {
  const found = await kv.get(key);
  return found === null ? null : { revision: found.revision, value: found.value };
}

export function reservationStore(packages: NatsPackages, kv: KV): ReservationStore {
  return {
    read: (key) => read(kv, key),
    write: (key, value, revision) => write(packages, kv, key, value, revision),
  };
}

export function leaseStore(packages: NatsPackages, kv: KV): LeaseStore {
  return {
    async read() {
      const found = await read(kv, leaseKey);
      if (found === null) return null;
      const holder = Buffer.from(found.value).toString('utf8');
      return { revision: found.revision, holder: holder === '' ? null : holder };
    },
    write: (holder, revision) => write(packages, kv, leaseKey, holder ?? '', revision),
  };
}

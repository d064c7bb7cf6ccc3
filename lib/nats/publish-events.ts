import type { JetStreamClient } from '@nats-io/jetstream';
import type { HiveEvent } from '../contract/heartbeat.js';
import { factOf, messageId } from './messages.js';
import { factSubject } from './subjects.js';

/** A hive waits for the answer to its heartbeat for a second where it knows several queens. */
export const publishTimeoutMs = 700;

/** Writes facts in their order. Gives the number up to which all are in the stream, 0 where none is. Never rejects. */
export async function publishFacts(
  js: JetStreamClient,
  hive: string,
  incarnation: string,
  events: readonly HiveEvent[],
  modelOf: (workerId: string) => string | null | undefined,
): Promise<number> {
  const answers = await Promise.allSettled(
    events.map((event) => {
      const model = event.workerId === undefined ? undefined : modelOf(event.workerId);
      const fact = factOf(hive, incarnation, event, model);
      return js.publish(factSubject(hive), JSON.stringify(fact), { msgID: messageId(fact), timeout: publishTimeoutMs });
    }),
  );
  const failed = answers.findIndex(({ status }) => status === 'rejected');
  const last = failed < 0 ? events.length - 1 : failed - 1;
  return events[last]?.seq ?? 0;
}

import type { HivepulseClient } from '../client/client.js';
import { HivepulseError } from '../util/errors.js';
import { shownUrl } from '../util/shown-url.js';

/** How long a queen may take to send what every stream begins with, ms. */
export const answerMs = 20_000;

/** A queen that keeps a connection alive and does not answer. */
export const noAnswer = (client: Pick<HivepulseClient, 'url'>, what: string): HivepulseError =>
  new HivepulseError(
    'REQUEST_TIMEOUT',
    shownUrl(client.url),
    `${shownUrl(client.url)} sent no ${what} within ${answerMs / 1000} s: is it a queen's address?`,
  );

/** Id of the newest event. A filter on a hive that is not there keeps the rows of the fleet out of the answer. */
export async function newestEventId(client: HivepulseClient): Promise<string> {
  const signal = AbortSignal.timeout(answerMs);
  for await (const message of client.events({ hive: 'none' }, { signal })) {
    if (message.type === 'snapshot') return message.data.lastEventId;
    if (message.type === 'closed') throw message.error;
  }
  throw noAnswer(client, 'snapshot');
}

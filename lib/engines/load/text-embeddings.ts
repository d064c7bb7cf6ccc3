import { MetricsPage, type PageLayout } from './metrics-page.js';
import { counterFrom, countFrom, type LoadReading, type LoadSource, nothing, progressOf, rarelyMs } from './reading.js';
import { readInfo } from './text-generation.js';

/** TEI says what waits, and not what is computed. */
export function readTextEmbeddings(body: Buffer, layout?: PageLayout): LoadReading | null {
  const page = new MetricsPage(body, layout);
  const waiting = countFrom(page, 'te_queue_size');
  if (waiting === null) return null;
  return {
    ...nothing,
    waiting,
    progress: progressOf(counterFrom(page, 'te_request_count'), counterFrom(page, 'te_request_success')),
  };
}

export const textEmbeddingsLoad = {
  questions: [
    { ways: [{ path: '/metrics', read: readTextEmbeddings }] },
    { ways: [{ path: '/info', read: readInfo }], everyMs: rarelyMs },
  ],
  keepsAlive: true,
} as const satisfies LoadSource;

import { onTestFinished, vi } from 'vitest';
import type { Fetcher, FetchOptions } from '../../../lib/engines/ask.js';
import { LoadProber, type LoadServer, type LoadTarget } from '../../../lib/engines/load/prober.js';
import type { Cancellation } from '../../../lib/util/cancellation.js';

export const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

interface Request {
  readonly url: string;
  readonly options: FetchOptions;
  readonly cancellation: Cancellation;
  readonly answer: (status: number, body?: string | null) => Promise<void>;
  readonly fail: () => Promise<void>;
}

/** A prober whose clock and answers the test gives. Each request waits until it is answered or cancelled. */
export function controlled(keyOf: (id: string) => string | null = () => null) {
  const requests: Request[] = [];
  const clock = { ms: 0 };
  const fetcher: Fetcher = {
    fetch: (scheme, { host, port }, path, read, cancellation, options) =>
      new Promise((resolve, reject) => {
        cancellation.onCancel = reject;
        requests.push({
          url: `${scheme}://${host}:${port}${path}`,
          options,
          cancellation,
          answer: (status, body = null) => {
            resolve(read({ status, body: body === null ? null : Buffer.from(body), reusable: true }));
            return settle();
          },
          fail: () => {
            reject(new Error('refused'));
            return settle();
          },
        });
      }),
  };
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const prober = new LoadProber({ now: () => clock.ms, fetcher, keyOf });
  onTestFinished(() => {
    prober.close();
    vi.useRealTimers();
  });
  const tick = async (ms: number, ...targets: LoadTarget[]): Promise<readonly string[]> => {
    const before = requests.length;
    clock.ms = ms;
    prober.update(targets);
    await settle();
    return requests.slice(before).map(({ url }) => url);
  };
  const last = () => requests.at(-1) as Request;
  const load = () => prober.loadOf('llm/0');
  return { requests, clock, prober, tick, last, load };
}

export const server = (engine: LoadServer['engine'], port = 1, over: Partial<LoadServer> = {}): LoadServer => ({
  ...{ engine, scheme: 'http', address: { host: 'h', port } },
  ...over,
});
export const of = (main: LoadServer, runners: readonly LoadServer[] = [], identity = '1/1'): LoadTarget => ({
  ...{ id: 'llm/0', identity, server: main, runners },
});
export const at = (port: number, ...paths: string[]): string[] => paths.map((path) => `http://h:${port}${path}`);

export const tgi = (running: number) => `tgi_batch_current_size ${running}\ntgi_queue_size 0\n`;
export const info = '{"version":"3.3.0","model_id":"a/b"}';
export const slots = (...busy: boolean[]) =>
  JSON.stringify(busy.map((is, id) => ({ id, is_processing: is, n_ctx: 4096 })));

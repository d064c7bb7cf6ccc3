import { onTestFinished } from 'vitest';
import type { Answer } from '../../lib/engines/answer.js';
import type { Asker, Ways } from '../../lib/engines/ask.js';
import { type Candidate, Prober, type ProbeTarget } from '../../lib/engines/prober.js';

/** Closes it after the test. */
export const closing = (thing: { close: () => unknown }): void =>
  onTestFinished(async () => {
    await thing.close();
  });

export const target = (over: Partial<ProbeTarget> = {}): ProbeTarget => ({
  id: 'llm/8080',
  identity: '1:1',
  readyUrl: new URL('http://127.0.0.1:1/health'),
  servers: null,
  working: false,
  unnamed: false,
  urlWay: null,
  processes: null,
  loadReason: null,
  ...over,
});

export interface Asked {
  readonly url: string;
  readonly signal: AbortSignal;
  readonly ways: Ways | undefined;
  readonly answer: (what: number | Error | Answer) => void;
}

/** A prober whose clock and answers the test gives. Each question waits until it is answered. */
export function controlled(random = (): number => 0.5, statuses: Asker['statuses'] = null) {
  const asked: Asked[] = [];
  const clock = { ms: 0 };
  const question = <T>(url: string, signal: AbortSignal, of: (answer: Answer) => T, ways?: Ways) =>
    new Promise<T>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      const answer: Asked['answer'] = (what) =>
        what instanceof Error
          ? reject(what)
          : resolve(of(typeof what === 'number' ? { status: what, json: null } : what));
      asked.push({ url, signal, ways, answer });
    });
  const prober = new Prober({
    now: () => clock.ms,
    random,
    timeoutMs: 60_000,
    asker: {
      get: (scheme, { host, port }, path, signal, ways) =>
        question(`${scheme}://${host}:${port}${path}`, signal, (a) => a, ways),
      offersTls: ({ host, port }, signal) => question(`tls ${host}:${port}`, signal, ({ status }) => status === 200),
      statuses,
    },
  });
  closing(prober);
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const answerLast = async (what: number | Error | Answer) => {
    asked.at(-1)?.answer(what);
    await settle();
  };
  return { asked, clock, prober, settle, answerLast };
}

export const vllm = (port: number, over: Partial<Candidate> = {}): Candidate => ({
  key: String(port),
  engine: 'vllm',
  held: true,
  addresses: [{ host: '127.0.0.1', port }],
  ...over,
});
export const ofServers = (...servers: Candidate[]) => target({ readyUrl: null, servers });

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

export const id = 'llm/8080';
export const version = { status: 200, json: { version: '0.11.0' } };
export const models = (...names: string[]) => ({ status: 200, json: { data: names.map((name) => ({ id: name })) } });
export const failed = (code: string) => Object.assign(new Error(`it says ${code}`), { code });

/** A prober of one worker, at the times that the test sets. */
export function prepared(random?: () => number, statuses?: Parameters<typeof controlled>[1]) {
  const all = controlled(random, statuses);
  /** What was asked at that time. */
  const tick = async (ms: number, ...targets: ProbeTarget[]): Promise<readonly string[]> => {
    const before = all.asked.length;
    all.clock.ms = ms;
    all.prober.update(targets);
    await all.settle();
    return all.asked.slice(before).map(({ url }) => url);
  };
  const state = () => [all.prober.readyOf(id), all.prober.unclearOf(id), all.prober.reasonOf(id)];
  /** Answers who it is and whether it is ready. */
  const answerBoth = async (health: Parameters<typeof all.answerLast>[0] = 200) => {
    await all.answerLast(version);
    await all.answerLast(health);
  };
  return { ...all, tick, state, answerBoth };
}

export const at = (port: number, ...paths: string[]) => paths.map((path) => `http://127.0.0.1:${port}${path}`);

import { afterEach, describe, expect, it } from 'vitest';
import { type Load, LoadProber, type LoadServer, type LoadTarget } from '../../../lib/engines/load/prober.js';
import type { Engine } from '../../../lib/engines/table.js';
import { FakeEngine, versions } from '../../fakes/engines/server.js';
import { waitFor } from '../../harness/wait.js';

const opened: { close(): unknown }[] = [];
afterEach(() => {
  for (const thing of opened.splice(0)) thing.close();
});

async function serve(engine: Engine, version: string, now?: () => number) {
  const fake = new FakeEngine(engine, version, now);
  opened.push(fake);
  const port = await fake.listen();
  const server: LoadServer = { engine, scheme: 'http', address: { host: '127.0.0.1', port } };
  return { fake, server };
}

const targetOf = (server: LoadServer, runners: readonly LoadServer[] = [], identity = '1/1'): LoadTarget => ({
  ...{ id: 'llm/0', identity, server, runners },
});

/** A prober with a clock that the test sets. */
function controlled(keyOf: (id: string) => string | null = () => null) {
  const clock = { ms: 0 };
  const prober = new LoadProber({ now: () => clock.ms, timeoutMs: 300, keyOf });
  opened.push(prober);
  const load = (): Load | null => prober.loadOf('llm/0');
  /** Moves the clock to the next turn and asks until `holds`. */
  const ask = async (target: LoadTarget, holds: (load: Load) => boolean, stepMs = 1000) => {
    clock.ms += stepMs;
    await waitFor(() => {
      prober.update([target]);
      const now = load();
      return now !== null && holds(now);
    });
    return load() as Load;
  };
  return { clock, prober, ask, load };
}

const known = ({ reading, reason }: Load): boolean => reading !== null && reason !== 'notAsked';
const runsSeven = ({ reading }: Load): boolean => reading?.running === 7;

const all = Object.entries(versions).flatMap(([engine, each]) =>
  Object.keys(each).map((version) => [engine as Engine, version] as const),
);

describe('an engine that is asked for its load', () => {
  it.each(all)('%s %s: says what it has, at paths that change nothing', async (engine, version) => {
    const { fake, server } = await serve(engine, version);
    fake.show({ running: 3, waiting: 2 });
    const { ask } = controlled();
    const { reading } = await ask(targetOf(server), known);
    if (engine !== 'text-embeddings' && engine !== 'ollama' && `${engine}${version}` !== 'tensorrt-llm1.0')
      expect(reading?.running).toBe(3);
    if (engine === 'text-embeddings') expect(reading?.waiting).toBe(2);
    await waitFor(() => fake.open === 0);
    const changing = /sleep|wake|generate|reset|flush|completions|embeddings|shutdown|load_|unload|collective/;
    for (const path of fake.asked) expect(path).not.toMatch(changing);
    // It hands out its iterations once.
    if (engine === 'tensorrt-llm') expect(fake.asked).not.toContain('/metrics');
  });

  it('gets one request at a time, and none before the next turn', async () => {
    const { fake, server } = await serve('vllm', '0.29');
    const { clock, prober, ask } = controlled();
    await ask(targetOf(server), ({ reading }) => reading?.maxContext === 32_768);
    const asked = fake.asked.length;
    for (let i = 0; i < 50; i++) prober.update([targetOf(server)]);
    await waitFor(() => fake.open === 0);
    expect(fake.asked).toHaveLength(asked);
    clock.ms += 1000;
    for (let i = 0; i < 50; i++) prober.update([targetOf(server)]);
    await waitFor(() => fake.asked.length > asked);
    await waitFor(() => fake.open === 0);
    // What hardly changes is not asked again.
    expect(fake.asked.slice(asked)).toEqual(['/metrics']);
    expect(fake.mostOpen).toBe(1);
  });

  it('is asked over one connection, and over another one where it has ended that', async () => {
    const { fake, server } = await serve('vllm', '0.29');
    const { ask } = controlled();
    for (const running of [1, 2, 3]) {
      fake.show({ running });
      await ask(targetOf(server), ({ reading }) => reading?.running === running);
    }
    expect(fake.connections).toBe(1);
    fake.endIdle();
    fake.show({ running: 4 });
    await ask(targetOf(server), ({ reading }) => reading?.running === 4);
    expect(fake.connections).toBe(2);
  });

  it('that has a thread for each connection is left none open', async () => {
    const { fake, server } = await serve('llama-server', 'b4700');
    await controlled().ask(targetOf(server), ({ reading }) => reading?.capacity === 4);
    // The next question may be under way, on a connection on which nothing was asked yet.
    await waitFor(() => fake.open === 0 && fake.connections === fake.asked.length);
    expect(fake.connections).toBeGreaterThan(1);
  });

  it('that loads is loading, and known once it has', async () => {
    const { fake, server } = await serve('llama-server', 'b4700');
    fake.loading = true;
    const { ask } = controlled();
    expect(await ask(targetOf(server), ({ reason }) => reason === 'loading')).toMatchObject({ reading: null });
    fake.loading = false;
    expect((await ask(targetOf(server), known)).reason).toBeNull();
  });

  it('that asks for a key gets the one of its worker, and nobody gets one unasked', async () => {
    const { fake, server } = await serve('llama-server', 'b4700');
    fake.key = 'secret';
    const without = controlled();
    expect((await without.ask(targetOf(server), ({ reason }) => reason === 'keyNeeded')).reading).toBeNull();
    const wrong = controlled(() => 'other');
    expect((await wrong.ask(targetOf(server), ({ reason }) => reason === 'keyNeeded')).reading).toBeNull();
    const { ask } = controlled((id) => (id === 'llm/0' ? 'secret' : null));
    expect((await ask(targetOf(server), known)).reason).toBeNull();
  });

  it('that does not answer keeps what it said last, with the reason', async () => {
    const { fake, server } = await serve('vllm', '0.29');
    fake.show({ running: 7 });
    const { ask, clock } = controlled();
    const { atMs } = await ask(targetOf(server), runsSeven);
    fake.silent = true;
    const silent = await ask(targetOf(server), ({ reason }) => reason === 'silent');
    expect(silent).toMatchObject({ reading: { running: 7 }, atMs });
    expect(clock.ms).toBeGreaterThan(atMs ?? Number.POSITIVE_INFINITY);
    fake.silent = false;
    fake.show({ running: 1 });
    expect((await ask(targetOf(server), ({ reading }) => reading?.running === 1, 5000)).reason).toBeNull();
  });

  it('is asked at most half of the time: the next request waits twice as long as the last one took', async () => {
    const { server } = await serve('vllm', '0.29');
    const asked: number[] = [];
    const clock = { ms: 0 };
    const prober = new LoadProber({
      now: () => clock.ms,
      fetcher: {
        fetch: async (_scheme, _address, _path, read) => {
          asked.push(clock.ms);
          clock.ms += 700;
          return read({ status: 404, body: Buffer.alloc(0), reusable: true });
        },
      },
    });
    opened.push(prober);
    const target = targetOf({ ...server, engine: 'tritonserver' });
    for (let turn = 0; turn < 200; turn++) {
      prober.update([target]);
      await new Promise((resolve) => setImmediate(resolve));
      clock.ms += 100;
    }
    for (const [i, atMs] of asked.slice(1).entries()) expect(atMs - (asked[i] ?? 0)).toBeGreaterThanOrEqual(1400);
  });

  it('whose metrics are off says what is left, or that they are off', async () => {
    const slots = await serve('llama-server', 'b7000');
    slots.fake.show({ running: 3 });
    const first = await controlled().ask(targetOf(slots.server), known);
    expect(first).toMatchObject({ reason: 'metricsOff', reading: { running: 3, waiting: null, capacity: 4 } });
    const { server } = await serve('ollama', '0.13');
    const off = await controlled().ask(
      targetOf({ ...server, engine: 'vllm' }),
      ({ reason }) => reason === 'metricsOff',
    );
    expect(off.reading).toBeNull();
  });

  it('and computes in runners of its own: their sum is its load; without one of them it is not known', async () => {
    const main = await serve('ollama', '0.13');
    main.fake.show({ model: 'qwen3:8b' });
    const runners = [await serve('llama-server', 'b7000'), await serve('llama-server', 'b7000')];
    for (const [i, { fake }] of runners.entries()) fake.show({ running: i + 1 });
    const target = targetOf(
      main.server,
      runners.map(({ server }) => server),
    );
    const { ask } = controlled();
    const { reading } = await ask(target, ({ reading: now }) => now?.running === 3);
    expect(reading).toMatchObject({ models: ['qwen3:8b'], maxContext: 8192, capacity: 8, version: '0.13.1' });
    const gone = targetOf(main.server, [
      ...target.runners,
      { ...main.server, engine: 'llama-server', address: { host: '127.0.0.1', port: 1 } },
    ]);
    expect((await ask(gone, ({ reason }) => reason === 'refused')).reading?.running).toBeNull();
  });

  it('in another process under the same name is another one', async () => {
    const { fake, server } = await serve('vllm', '0.29');
    fake.show({ running: 7 });
    const { ask, prober, load } = controlled();
    await ask(targetOf(server), runsSeven);
    fake.restart();
    prober.update([targetOf(server, [], '2/2')]);
    expect(load()).toMatchObject({ reading: null, reason: 'notAsked' });
    expect((await ask(targetOf(server, [], '2/2'), known)).reading?.running).toBe(0);
    prober.update([]);
    expect(load()).toBeNull();
  });

  it('shows its figures late where it does', async () => {
    const clock = { ms: 0 };
    const { fake, server } = await serve('vllm', '0.29', () => clock.ms);
    fake.lagMs = 5000;
    clock.ms = 1000;
    fake.show({ running: 7 });
    const { ask } = controlled();
    expect((await ask(targetOf(server), known)).reading?.running).toBe(0);
    clock.ms = 7000;
    await ask(targetOf(server), runsSeven);
  });
});

describe.each(all)('%s %s, whatever it does wrong', (engine, version) => {
  it('is loading, asks for a key, falls silent and starts anew: no figure is one that it has not said', async () => {
    const { fake, server } = await serve(engine, version);
    const target = targetOf(server);
    const { ask } = controlled((id) => (id === 'llm/0' ? 'secret' : null));
    fake.loading = true;
    expect(await ask(target, ({ reason }) => reason === 'loading')).toMatchObject({ reading: null, atMs: null });
    fake.loading = false;
    fake.key = 'other';
    expect((await ask(target, ({ reason }) => reason === 'keyNeeded')).reading).toBeNull();
    fake.key = 'secret';
    fake.show({ running: 2, waiting: 1, promptTokens: 900, generationTokens: 500, steps: 40 });
    const before = await ask(target, known, 11_000);
    fake.silent = true;
    const silent = await ask(target, ({ reason }) => reason === 'silent', 11_000);
    expect(silent.reading?.running).toBe(before.reading?.running);
    expect(silent.atMs).toBe(before.atMs);
    fake.silent = false;
    fake.restart();
    const isNew = ({ reading, reason }: Load) =>
      reason !== 'silent' &&
      [reading?.running, reading?.waiting, ...Object.values(reading?.counters ?? {})].every((count) => !count);
    await ask(target, isNew, 11_000);
  });
});

// Ollama's own server says of no request, nor does an older trtllm-serve.
const counting = all.filter(
  ([engine, version]) => engine !== 'ollama' && `${engine} ${version}` !== 'tensorrt-llm 1.0',
);

it.each(counting)('%s %s may show its work late', async (engine, version) => {
  const clock = { ms: 0 };
  const { fake, server } = await serve(engine, version, () => clock.ms);
  const { ask } = controlled();
  const requests = ({ reading }: Load) => (reading?.running ?? 0) + (reading?.waiting ?? 0);
  fake.lagMs = 5000;
  clock.ms = 1000;
  fake.show({ running: 2, waiting: 3 });
  expect(requests(await ask(targetOf(server), known))).toBe(0);
  clock.ms = 7000;
  await ask(targetOf(server), (load) => requests(load) > 0);
});

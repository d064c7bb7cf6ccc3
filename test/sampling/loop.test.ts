import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SamplerLoop } from '../../lib/sampling/loop.js';

const forever = () => new Promise<never>(() => undefined);

/** A sampler whose sources say in which order they are asked, and hang where the test wants. */
class Sources {
  readonly calls: string[] = [];
  readonly hanging = new Set<string>();
  readonly failing = new Set<string>();
  readonly held = new Map<string, Promise<void>>();
  /** Signals by which a wait for a pass is given up. */
  readonly waits: AbortSignal[] = [];
  readonly snapshots: object[] = [];
  closes = 0;

  readonly #said = async (name: string): Promise<void> => {
    this.calls.push(name);
    if (this.failing.has(name)) throw new Error(name);
    await (this.hanging.has(name) ? forever() : this.held.get(name));
  };

  loop({ reader = true, trees = true, intervalMs = 400 } = {}): SamplerLoop {
    const sampler = {
      wallStepMs: 77,
      latest: () => 'latest',
      sampleWorkers: () => ['worker'],
      counters: () => new Map([['a', 1]]),
      takeEvents: () => ['event'],
      onLoad: (listener: unknown) => this.calls.push(`onLoad ${typeof listener}`),
      reconcile: () => this.calls.push('reconcile'),
      lookAtSockets: () => this.#said('sockets'),
      snapshot: () => {
        this.calls.push('snapshot');
        const made = { number: this.snapshots.length };
        this.snapshots.push(made);
        return made;
      },
    };
    return new SamplerLoop({
      sampler,
      reader: reader
        ? {
            start: (ms: number) => this.calls.push(`start ${ms}`),
            next: (signal: AbortSignal) => {
              this.waits.push(signal);
              return this.#said('pass');
            },
          }
        : null,
      trees: trees ? { read: () => this.#said('trees') } : null,
      discovery: { scan: (whole?: boolean) => this.#said(whole ? 'scan all' : 'scan') },
      host: { read: () => this.#said('host') },
      gpu: { name: 'gpu' },
      intervalMs,
      close: async () => {
        this.closes++;
      },
    } as never);
  }

  /** What was asked since the last call. */
  taken(): readonly string[] {
    return this.calls.splice(0);
  }
}

let sources: Sources;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  sources = new Sources();
});
afterEach(() => {
  vi.useRealTimers();
});
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const whole = ['scan all', 'host', 'reconcile', 'sockets', 'pass', 'trees', 'snapshot'];

describe('one sample', () => {
  it('asks each source in its turn, and gives what the sampler makes of them', async () => {
    const snapshot = await sources.loop().sample();
    expect(sources.taken()).toEqual(whole);
    expect(snapshot).toBe(sources.snapshots[0]);
    expect(sources.waits[0]?.aborted).toBe(false);
  });

  it('without cgroups, and without trees, asks the others', async () => {
    await sources.loop({ reader: false }).sample();
    expect(sources.taken()).toEqual(whole.filter((name) => name !== 'pass'));
    await sources.loop({ trees: false }).sample();
    expect(sources.taken()).toEqual(whole.filter((name) => name !== 'trees'));
  });

  it.each(['scan all', 'host', 'sockets', 'pass', 'trees'])(
    'waits for %s for five seconds and no longer',
    async (name) => {
      sources.hanging.add(name);
      let snapshot: unknown = null;
      void sources
        .loop()
        .sample()
        .then((made) => {
          snapshot = made;
        });
      await pass(4999);
      expect(snapshot).toBeNull();
      await pass(1);
      expect(snapshot).not.toBeNull();
      expect(sources.taken()).toEqual(whole);
      expect(sources.waits.map(({ aborted }) => aborted)).toEqual([name === 'pass']);
    },
  );

  it.each(['scan all', 'host', 'sockets', 'pass', 'trees'])('is made though %s fails', async (name) => {
    sources.failing.add(name);
    expect(await sources.loop().sample()).toBe(sources.snapshots[0]);
    expect(sources.taken()).toEqual(whole);
  });

  it.each([
    ['scan all', ['scan all', 'host']],
    ['host', ['scan all', 'host']],
    ['sockets', ['scan all', 'host', 'reconcile', 'sockets', 'pass', 'trees']],
    ['pass', ['scan all', 'host', 'reconcile', 'sockets', 'pass', 'trees']],
    ['trees', ['scan all', 'host', 'reconcile', 'sockets', 'pass', 'trees']],
  ])('given up while %s is waited for, it is rejected with the reason', async (name, asked) => {
    sources.hanging.add(name);
    const giveUp = new AbortController();
    const rejected = expect(sources.loop().sample(giveUp.signal)).rejects.toThrow('enough');
    await pass(10);
    giveUp.abort(new Error('enough'));
    await pass(0);
    await rejected;
    expect(sources.taken()).toEqual(asked);
  });

  it('given up before it began, or closed, it asks nobody', async () => {
    const loop = sources.loop();
    await expect(loop.sample(AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
    await loop.close();
    await expect(loop.sample()).rejects.toMatchObject({ code: 'CLOSED', subject: 'sampler' });
    expect(sources.taken()).toEqual([]);
  });

  it('closed while it waits, it is rejected', async () => {
    sources.hanging.add('host');
    const loop = sources.loop();
    const rejected = expect(loop.sample()).rejects.toMatchObject({ code: 'CLOSED' });
    await pass(10);
    await loop.close();
    await rejected;
    expect(sources.snapshots).toEqual([]);
  });
});

describe('samples of each interval', () => {
  it('come once each pass is finished, with the next look at the host begun', async () => {
    const loop = sources.loop();
    const made: unknown[] = [];
    sources.hanging.add('pass');
    loop.start((snapshot) => made.push(snapshot));
    await pass(0);
    expect(sources.taken()).toEqual([
      'scan all',
      'reconcile',
      'sockets',
      'scan',
      'start 400',
      'host',
      'pass',
      'reconcile',
    ]);
    await pass(599);
    expect(made).toEqual([]);
    expect(sources.waits.map(({ aborted }) => aborted)).toEqual([false]);
    await pass(1);
    expect(made).toEqual(sources.snapshots.slice(0, 1));
    expect(sources.waits[0]?.aborted).toBe(true);
    expect(sources.taken().filter((name) => name !== 'scan' && name !== 'reconcile')).toEqual([
      'host',
      'trees',
      'snapshot',
      'pass',
    ]);
    await loop.close();
    await pass(10_000);
    expect(made).toHaveLength(1);
  });

  it('without cgroups they come each interval', async () => {
    const loop = sources.loop({ reader: false, intervalMs: 700 });
    const made: unknown[] = [];
    loop.start((snapshot) => made.push(snapshot));
    await pass(699);
    expect(made).toHaveLength(0);
    await pass(1);
    expect(made).toHaveLength(1);
    await pass(700);
    expect(made).toHaveLength(2);
    expect(sources.taken()).not.toContain('start 700');
    await loop.close();
  });

  it('trees that hang are waited for a quarter of a second', async () => {
    const loop = sources.loop({ reader: false });
    sources.hanging.add('trees');
    const made: unknown[] = [];
    loop.start((snapshot) => made.push(snapshot));
    await pass(649);
    expect(made).toHaveLength(0);
    await pass(1);
    expect(made).toHaveLength(1);
    await loop.close();
  });

  it('a first scan that hangs holds them up for five seconds', async () => {
    sources.hanging.add('scan all');
    const loop = sources.loop();
    loop.start(() => undefined);
    await pass(4999);
    expect(sources.taken()).toEqual(['scan all']);
    sources.hanging.add('pass');
    await pass(1);
    expect(sources.taken()).toContain('start 400');
    await loop.close();
  });

  it('closed during the first scan, nothing is begun', async () => {
    sources.hanging.add('scan all');
    const loop = sources.loop();
    loop.start(() => undefined);
    await pass(10);
    await loop.close();
    await pass(6000);
    expect(sources.taken()).toEqual(['scan all']);
  });

  it('new cgroups are looked for each 600 ms between ticks, also after a look that failed', async () => {
    sources.hanging.add('pass');
    const loop = sources.loop({ intervalMs: 10_000 });
    loop.start(() => undefined);
    await pass(0);
    sources.taken();
    await pass(599);
    expect(sources.taken()).toEqual([]);
    sources.failing.add('scan');
    await pass(1);
    expect(sources.taken()).toEqual(['scan', 'reconcile']);
    await pass(600);
    expect(sources.taken()).toEqual(['scan', 'reconcile']);
    await loop.close();
    await pass(5000);
    expect(sources.taken()).toEqual([]);
  });

  it('a tick looks as well, and the next look is 600 ms after that', async () => {
    sources.hanging.add('pass');
    const loop = sources.loop({ intervalMs: 200 });
    loop.start(() => undefined);
    await pass(300);
    sources.taken();
    const looks = async (ms: number) => {
      await pass(ms);
      return sources.taken().filter((name) => name === 'scan').length;
    };
    expect(await looks(299)).toBe(0);
    expect(await looks(1)).toBe(1);
    expect(await looks(299)).toBe(0);
    expect(await looks(1)).toBe(1);
    await loop.close();
  });

  it('a look that is under way when it is closed has nothing to say, and no other after it', async () => {
    sources.hanging.add('pass');
    const loop = sources.loop({ intervalMs: 10_000 });
    loop.start(() => undefined);
    await pass(0);
    sources.taken();
    let finish = (): void => undefined;
    sources.held.set(
      'scan',
      new Promise((resolve) => {
        finish = resolve;
      }),
    );
    await pass(600);
    expect(sources.taken()).toEqual(['scan']);
    await loop.close();
    finish();
    await pass(5000);
    expect(sources.taken()).toEqual([]);
  });

  it('a look that takes long has no other beside it but those of ticks, and one after it', async () => {
    sources.hanging.add('pass');
    const loop = sources.loop({ intervalMs: 300 });
    loop.start(() => undefined);
    await pass(100);
    sources.taken();
    let finish = (): void => undefined;
    sources.held.set(
      'scan',
      new Promise((resolve) => {
        finish = resolve;
      }),
    );
    const looks = async (ms: number) => {
      await pass(ms);
      return sources.taken().filter((name) => name === 'scan').length;
    };
    expect(await looks(799)).toBe(1);
    expect(await looks(1)).toBe(1);
    finish();
    expect(await looks(449)).toBe(0);
    expect(await looks(1)).toBe(1);
    expect(await looks(449)).toBe(0);
    await loop.close();
  });

  it('closed while trees are read, no snapshot is given', async () => {
    sources.hanging.add('trees');
    const loop = sources.loop({ reader: false });
    const made: unknown[] = [];
    loop.start((snapshot) => made.push(snapshot));
    await pass(450);
    expect(sources.taken()).toContain('trees');
    await loop.close();
    await pass(5000);
    expect(made).toEqual([]);
    expect(sources.snapshots).toEqual([]);
  });

  it('started twice it runs once, and closed it does not start', async () => {
    sources.hanging.add('pass');
    const loop = sources.loop();
    loop.start(() => undefined);
    loop.start(() => undefined);
    await pass(0);
    expect(sources.taken().filter((name) => name === 'scan all')).toHaveLength(1);
    await loop.close();
    await loop.close();
    expect(sources.closes).toBe(1);
    const other = sources.loop();
    await other.close();
    other.start(() => undefined);
    await pass(0);
    expect(sources.taken()).toEqual([]);
  });
});

it('what is asked of the sampler itself is what it says', () => {
  const loop = sources.loop();
  expect([loop.latest(), loop.sampleWorkers(), loop.counters(), loop.wallStepMs(), loop.takeEvents()]).toEqual([
    'latest',
    ['worker'],
    new Map([['a', 1]]),
    77,
    ['event'],
  ]);
  expect(loop.snapshot()).toEqual({ number: 0 });
  expect(loop.gpu).toEqual({ name: 'gpu' });
  sources.taken();
  loop.onLoad(() => undefined);
  expect(sources.taken()).toEqual(['onLoad function']);
});

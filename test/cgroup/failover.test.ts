import { describe, expect, it } from 'vitest';
import { FailoverReader } from '../../lib/cgroup/failover.js';
import { Slots } from '../../lib/cgroup/slots.js';
import {
  type RawPass,
  rowFlags,
  stalledFlag,
  type TraceableReader,
  workerColumns,
  workerFiles,
} from '../../lib/native/layout.js';

const usage = workerColumns.indexOf('usageUsec');

/** A reader whose passes are run by hand; `stickAt` leaves it in the middle of one. */
class HandReader implements TraceableReader {
  readonly kind = 'native';
  readonly slots = new Slots();
  readonly #values: (path: string) => number;
  intervalMs = 0;
  closed = false;
  stuckAt: number | null = null;
  stuckMs = 0;
  #sequence = 0;
  #latest: RawPass | null = null;
  #waiting: { resolve: (pass: RawPass) => void; reject: (reason: unknown) => void }[] = [];

  constructor(values: (path: string) => number) {
    this.#values = values;
  }

  add = (path: string) => this.slots.add(path);
  remove = (slot: number) => void this.slots.remove(slot);
  setBlockDevices = () => undefined;
  start = (intervalMs: number) => {
    this.intervalMs = intervalMs;
  };
  latest = () => this.#latest;
  runningMs = () => (this.stuckAt === null ? 0 : this.stuckMs);
  reading = () => this.stuckAt;
  close = () => {
    this.closed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('closed'));
  };

  next(signal?: AbortSignal): Promise<RawPass> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  }

  passSync(): RawPass {
    const held = [...this.slots.entries()];
    const count = Math.max(-1, ...held.map(([slot]) => slot)) + 1;
    const workers = new Float64Array(count * workerColumns.length).fill(Number.NaN);
    for (let slot = 0; slot < count; slot++) workers[slot * workerColumns.length] = rowFlags.removed;
    for (const [slot, path] of held) {
      workers[slot * workerColumns.length] = 0;
      workers[slot * workerColumns.length + usage] = this.#values(path);
    }
    this.#sequence += 1;
    const startedMs = Number(process.hrtime.bigint()) / 1e6;
    const errors = new Int16Array(count * workerFiles.length);
    this.#latest = {
      sequence: this.#sequence,
      startedMs,
      durationMs: 1,
      workers,
      processes: new Float64Array(),
      errors,
    };
    for (const { resolve } of this.#waiting.splice(0)) resolve(this.#latest);
    return this.#latest;
  }

  stick(path: string): void {
    this.stuckAt = [...this.slots.entries()].find(([, each]) => each === path)?.[0] ?? null;
    this.stuckMs = 2500;
  }
}

function openFailover() {
  const readers: HandReader[] = [];
  const relay = new FailoverReader(() => {
    const reader = new HandReader((path) => path.charCodeAt(1));
    readers.push(reader);
    return reader;
  });
  const last = () => readers.at(-1) as HandReader;
  /** usageUsec by slot; `stuck`, `gone`, or NaN where nothing is said. */
  const seen = (pass: RawPass | null) =>
    pass === null
      ? null
      : Array.from({ length: pass.workers.length / workerColumns.length }, (_, slot) => {
          const flags = pass.workers[slot * workerColumns.length] as number;
          if (flags & stalledFlag) return 'stuck';
          return flags & rowFlags.removed
            ? 'gone'
            : String.fromCharCode(pass.workers[slot * workerColumns.length + usage] ?? 0);
        }).join(' ');
  return { relay, readers, last, seen };
}

describe('a reader that is stuck is relieved', () => {
  it('after two seconds', () => {
    const { relay, readers, last } = openFailover();
    relay.add('/a');
    relay.start(1000);
    last().stick('/a');
    last().stuckMs = 2000;
    relay.latest();
    expect(readers).toHaveLength(1);
    last().stuckMs = 2001;
    relay.latest();
    expect(readers).toHaveLength(2);
  });

  it('hands on what the reader gives, slot for slot, while nothing is stuck', () => {
    const { relay, readers, last, seen } = openFailover();
    for (const path of ['/a', '/b', '/c']) relay.add(path);
    relay.start(1000);
    expect(relay.latest()).toBeNull();
    const pass = last().passSync();
    expect(relay.latest()).toBe(pass);
    expect(seen(relay.latest())).toBe('a b c');
    last().stuckAt = 1;
    last().stuckMs = 1900;
    relay.latest();
    expect(readers).toHaveLength(1);
  });

  it('another reads all others, the stuck one is named, and comes back when its read does', () => {
    const { relay, readers, last, seen } = openFailover();
    for (const path of ['/a', '/b', '/c']) relay.add(path);
    relay.start(1000);
    last().passSync();
    const before = relay.latest()?.sequence as number;
    last().stick('/b');
    relay.latest();
    expect(readers).toHaveLength(2);
    expect(last().intervalMs).toBe(1000);
    last().passSync();
    const during = relay.latest();
    expect(seen(during)).toBe('a stuck c');
    expect(during?.sequence).toBeGreaterThan(before);
    expect(relay.runningMs()).toBe(0);

    // Workers come and go meanwhile.
    relay.remove(0);
    expect(relay.add('/d')).toBe(0);
    expect(relay.add('/e')).toBe(3);
    last().passSync();
    expect(seen(relay.latest())).toBe('d stuck c e');

    (readers[0] as HandReader).stuckAt = null;
    expect(seen(relay.latest())).toBe('d stuck c e');
    expect(readers[0]?.closed).toBe(true);
    last().passSync();
    expect(seen(relay.latest())).toBe('d b c e');
    expect(readers).toHaveLength(2);
  });

  it('a stuck worker that is not asked for any more is forgotten, and its slot is free', () => {
    const { relay, readers, last, seen } = openFailover();
    for (const path of ['/a', '/b']) relay.add(path);
    last().stick('/a');
    relay.latest();
    relay.remove(0);
    last().passSync();
    expect(seen(relay.latest())).toBe('gone b');
    expect(relay.add('/c')).toBe(0);
    last().passSync();
    expect(seen(relay.latest())).toBe('c b');
    (readers[0] as HandReader).stuckAt = null;
    last().passSync();
    expect(seen(relay.latest())).toBe('c b');
    expect(readers[0]?.closed).toBe(true);
  });

  it('at most three are stuck at once; then all wait, and it shows', () => {
    const { relay, readers, last, seen } = openFailover();
    for (const path of ['/a', '/b', '/c', '/d', '/e']) relay.add(path);
    for (const path of ['/a', '/b', '/c']) {
      last().stick(path);
      relay.latest();
      last().passSync();
    }
    expect(seen(relay.latest())).toBe('stuck stuck stuck d e');
    last().stick('/d');
    relay.latest();
    expect(readers).toHaveLength(4);
    expect(relay.runningMs()).toBe(2500);
    relay.close();
    expect(readers.map(({ closed }) => closed)).toEqual([true, true, true, true]);
  });

  it('whoever waits for a pass gets the one of the reader that took over', async () => {
    const { relay, readers, last, seen } = openFailover();
    for (const path of ['/a', '/b']) relay.add(path);
    const waiting = relay.next();
    last().stick('/a');
    relay.latest();
    expect(readers).toHaveLength(2);
    await Promise.resolve();
    last().passSync();
    await new Promise((resolve) => setImmediate(resolve));
    last().passSync();
    expect(seen(await waiting)).toBe('stuck b');
    const aborted = relay.next(AbortSignal.abort(new Error('enough')));
    await expect(aborted).rejects.toThrow('enough');
  });
});

import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryBus } from '../../lib/cluster/memory.js';
import { keepReservations, parseReservations } from '../../lib/queen/state-file.js';
import {
  gib,
  gpuSample,
  type HeartbeatFields,
  ManualClock,
  mib,
  onGpu,
  TestQueen,
  workerSample,
} from './heartbeats.js';

/** A host with one GPU of 24 GiB. */
const oneGpu = (fields: HeartbeatFields = {}, usedBytes = 0) =>
  ({ gpus: [gpuSample('GPU-0', { memoryUsedBytes: usedBytes })], ...fields }) satisfies HeartbeatFields;

describe('reservations', () => {
  it('one charges its room at once, and gives it back at its end or when released', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, oneGpu());
    const { reservation } = queen.place({ vramBytes: gib(16), reserveSeconds: 60 });
    expect(reservation).toMatchObject({ hive: 'a', gpuUuids: ['GPU-0'], vramBytes: gib(16), expiresInMs: 60_000 });
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(8));
    expect(queen.place({ vramBytes: gib(9) }).refusals[0]).toMatchObject({
      reason: 'notEnoughVram',
      detail: 'largest 8.0 GiB',
    });
    expect(queen.nextDueMs()).toBe(queen.time.nowMs + 3000);

    expect(queen.releaseReservation(reservation!.id)).toBe(true);
    expect(queen.releaseReservation(reservation!.id)).toBe(false);
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(24));

    queen.place({ vramBytes: gib(16), reserveSeconds: 2 });
    queen.time.advance(1999);
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(8));
    queen.time.advance(1);
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(24));
    expect(queen.reservations()).toEqual([]);
    expect(queen.audit()).toEqual([]);
  });

  it('each ends at its own time: one expiry does not stop the others', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { gpus: [gpuSample('GPU-0', { memoryTotalBytes: gib(140) })] });
    const held = [20, 10, 30].map((seconds) => queen.place({ vramBytes: gib(seconds), reserveSeconds: seconds }));
    expect(held.every(({ reservation }) => reservation !== null)).toBe(true);
    const freed = () => {
      queen.time.advance(10_000);
      return [queen.reservations().length, queen.gpu('GPU-0')?.freeBytes];
    };
    expect([freed(), freed(), freed()]).toEqual([
      [2, gib(90)],
      [1, gib(110)],
      [0, gib(140)],
    ]);
  });

  it('spread over reservations: what is promised counts as a worker, on its GPU and on its host', () => {
    const queen = new TestQueen();
    const sized = (uuid: string, size: number) => gpuSample(uuid, { memoryTotalBytes: gib(size), memoryUsedBytes: 0 });
    queen.hear('a', 1, { gpus: [sized('GPU-0', 80), sized('GPU-1', 48)] });
    queen.hear('b', 1, { gpus: [sized('GPU-2', 24)] });
    const place = () =>
      queen.place({ vramBytes: gib(5), reserveSeconds: 60, strategy: 'spread' }).reservation?.gpuUuids;
    // GPU-0 has the most room after the first as well, GPU-1 more than GPU-2.
    expect([place(), place(), place()]).toEqual([['GPU-0'], ['GPU-2'], ['GPU-1']]);
  });

  it('charges max(claimed, used) while its worker loads, and nothing more once that is ready', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, oneGpu());
    const id = queen.place({ vramBytes: gib(16), reserveSeconds: 600 }).reservation!.id;
    const sendHeartbeat = (seq: number, usedGib: number, ready: boolean | null) => {
      const worker = workerSample('llm/1', { ...onGpu('GPU-0', gib(usedGib)), ready, reservationId: id });
      queen.hear('a', seq, oneGpu({ workers: [worker] }, gib(usedGib)));
      return queen.gpu('GPU-0')!.freeBytes! / gib(1);
    };
    expect(sendHeartbeat(2, 0, false)).toBe(8);
    expect(sendHeartbeat(3, 10, false)).toBe(8);
    expect(sendHeartbeat(4, 18, false)).toBe(6);
    expect(sendHeartbeat(5, 12, null)).toBe(8);
    expect(sendHeartbeat(6, 12, true)).toBe(12);
    expect(queen.reservations()).toEqual([]);
    // It stays over, although the worker still carries its id.
    expect(sendHeartbeat(7, 12, false)).toBe(12);
  });

  it('a worker that carries the id on another host does not use up the room', () => {
    const queen = new TestQueen({ clock: () => 0 });
    queen.hear('a', 1, oneGpu());
    const id = queen.place({ vramBytes: gib(16), reserveSeconds: 600 }).reservation!.id;
    queen.hear('b', 1, { workers: [workerSample('llm/1', { ready: true, reservationId: id })] });
    queen.hear('a', 2, oneGpu());
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(8));
  });

  it('holds host memory, and on unified memory takes both from the same room', () => {
    const queen = new TestQueen({ clock: () => 0 });
    const unified = gpuSample('GPU-U', { memoryKind: 'unified', memoryTotalBytes: gib(120), memoryUsedBytes: null });
    queen.hear('spark', 1, { gpus: [unified], host: { memoryAvailableBytes: gib(100) } });
    expect(queen.gpu('GPU-U')?.freeBytes).toBe(gib(100));
    queen.place({ vramBytes: gib(40), memoryBytes: gib(10), reserveSeconds: 60 });
    expect(queen.gpu('GPU-U')?.freeBytes).toBe(gib(50));
    expect(queen.place({ vramBytes: gib(30), memoryBytes: gib(30) }).refusals[0]?.reason).toBe('notEnoughMemory');
    expect(queen.place({ vramBytes: gib(30), memoryBytes: gib(20) }).candidates).toHaveLength(1);
  });

  it('the same idempotency key gives the same reservation, and another request with it is refused', () => {
    const queen = new TestQueen({ clock: () => 0 });
    queen.hear('a', 1, oneGpu());
    const ask = { vramBytes: gib(16), reserveSeconds: 60, idempotencyKey: 'deploy-7' };
    const first = queen.place(ask);
    const again = queen.place({ idempotencyKey: 'deploy-7', reserveSeconds: 60, vramBytes: gib(16), gpuCount: 1 });
    expect(again.reservation).toEqual(first.reservation);
    expect(again.candidates[0]?.hive).toBe('a');
    expect(queen.reservations()).toHaveLength(1);
    expect(() => queen.place({ ...ask, vramBytes: gib(4) })).toThrowError(
      expect.objectContaining({ code: 'IDEMPOTENCY_CONFLICT', subject: 'idempotencyKey' }),
    );
    expect(() => queen.place({ ...ask, gpuVendor: 'AMD' })).toThrowError(
      expect.objectContaining({ code: 'IDEMPOTENCY_CONFLICT' }),
    );
    queen.releaseReservation(first.reservation!.id);
    expect(queen.place({ ...ask, vramBytes: gib(4) }).reservation?.id).not.toBe(first.reservation?.id);
  });

  it('a hundred concurrent callers never get the same room twice', async () => {
    const queen = new TestQueen({ clock: () => 0 });
    for (let h = 0; h < 5; h++) {
      const gpus = [0, 1, 2, 3].map((index) => gpuSample(`GPU-${h}-${index}`, { index }));
      queen.hear(`host-${h}`, 1, { gpus });
    }
    const callers = Array.from({ length: 100 }, async (_, i) => {
      await Promise.resolve();
      return queen.place({
        vramBytes: gib(10),
        reserveSeconds: 60,
        strategy: (['binPack', 'spread', 'mostFree'] as const)[i % 3]!,
      });
    });
    const granted = (await Promise.all(callers)).flatMap(({ reservation }) => (reservation ? [reservation] : []));
    // 20 GPUs of 24 GiB hold two claims of 10 GiB each.
    expect(granted).toHaveLength(40);
    const byGpu = new Map<string, number>();
    for (const { gpuUuids } of granted) byGpu.set(gpuUuids[0]!, (byGpu.get(gpuUuids[0]!) ?? 0) + 1);
    expect([...byGpu.values()].every((count) => count === 2)).toBe(true);
  });

  it('an admin who removes a hive gives its room back; silence alone does not', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, oneGpu());
    queen.place({ vramBytes: gib(16), reserveSeconds: 600 });
    queen.time.advance(90_000);
    queen.advance();
    expect(queen.hive('a')).toBeNull();
    queen.hear('a', 2, oneGpu());
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(8));
    expect(queen.removeHive('a')).toBe(true);
    expect(queen.removeHive('a')).toBe(false);
    expect(queen.reservations()).toEqual([]);
    expect(queen.audit()).toEqual([]);
  });

  it('never promises more than there is, whatever is asked, released and heard in whatever order', () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({
          do: fc.constant('place' as const),
          mib: fc.integer({ min: 0, max: 30_000 }),
          n: fc.integer({ min: 1, max: 2 }),
        }),
        fc.record({ do: fc.constant('release' as const), which: fc.nat() }),
        fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const clock = new ManualClock();
        const queen = new TestQueen({
          clock: clock.read,
          staleAfterMs: 10_000_000,
          offlineAfterMs: 10_000_000,
          lateAfterIntervals: 10_000,
        });
        queen.hear('a', 1, {
          gpus: [gpuSample('GPU-0'), gpuSample('GPU-1', { index: 1, memoryTotalBytes: mib(16_000) })],
        });
        for (const step of list) {
          if (step.do === 'place') queen.place({ vramBytes: mib(step.mib), gpuCount: step.n, reserveSeconds: 30 });
          else if (step.do === 'wait') clock.advance(step.ms);
          else {
            const all = queen.reservations();
            if (all.length > 0) queen.releaseReservation(all[step.which % all.length]!.id);
          }
          for (const [uuid, totalBytes] of [
            ['GPU-0', mib(24_576)],
            ['GPU-1', mib(16_000)],
          ] as const) {
            const held = queen.reservations().filter((one) => one.gpuUuids.includes(uuid));
            const sum = held.reduce((bytes, one) => bytes + one.vramBytes, 0);
            expect(sum).toBeLessThanOrEqual(totalBytes);
            expect(queen.gpu(uuid)?.freeBytes).toBe(totalBytes - sum);
          }
          expect(queen.audit()).toEqual([]);
        }
      }),
    );
  });
});

describe('reservations of nothing', () => {
  const nothing = { vramBytes: 0, reserveSeconds: 60 };
  const grant = (queen: TestQueen) => queen.place(nothing).reservation?.hive;

  it('are 256 of a hive; then the next that fits is taken, and then none, by name', () => {
    const queen = new TestQueen();
    for (const id of ['a', 'b']) queen.hear(id, 1, { gpus: [gpuSample(`GPU-${id}`)] });
    const granted = Array.from({ length: 512 }, () => grant(queen));
    for (const id of ['a', 'b']) expect(granted.filter((hive) => hive === id)).toHaveLength(256);
    expect(() => grant(queen)).toThrow(
      expect.objectContaining({
        code: 'TOO_MANY_RESERVATIONS',
        message: expect.stringContaining('256 on each host that fits'),
      }),
    );
    queen.releaseReservation(queen.reservations()[0]?.id ?? '');
    expect(grant(queen)).toBeDefined();
  });

  it('end where memory does, and those that are there stay', () => {
    const queen = new TestQueen({ memory: { reservationBytes: 10_000 } });
    queen.hear('a', 1, { gpus: [gpuSample('GPU-a')] });
    const granted: unknown[] = [];
    expect(() => {
      for (;;) granted.push(grant(queen));
    }).toThrow(expect.objectContaining({ code: 'TOO_MANY_RESERVATIONS' }));
    expect(queen.reservations()).toHaveLength(granted.length);
    expect(granted.length).toBeGreaterThan(4);
    expect(granted.length).toBeLessThan(10);
  });
});

describe('reservations over a restart', () => {
  let dir: string;
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hivepulse-state-'));
    warnings.length = 0;
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  const file = () => join(dir, 'reservations.json');

  it('a file that is longer than any of ours is set aside, and the queen starts', async () => {
    const long = await open(file(), 'w');
    await long.truncate(300 * 2 ** 20);
    await long.close();
    const kept = await keepReservations(new TestQueen({ clock: () => 0 }), dir, warn);
    await kept.close();
    expect(warnings).toEqual([expect.stringContaining('it is too long')]);
    expect((await readdir(dir)).filter((name) => name.includes('unreadable'))).toHaveLength(1);
  });

  it('are there again with what is left of their time', async () => {
    const wall = new ManualClock(1_772_366_400_000);
    const before = new TestQueen({ clock: () => 5_000_000, wallClock: wall.read });
    const kept = await keepReservations(before, dir, warn);
    before.hear('a', 1, oneGpu());
    const { reservation } = before.place({ vramBytes: gib(16), reserveSeconds: 60, idempotencyKey: 'k' });
    await kept.saved();

    // No close: the process was killed. The next one has another monotonic clock.
    wall.advance(20_000);
    const after = new TestQueen({ clock: () => 7, wallClock: wall.read });
    const keptAgain = await keepReservations(after, dir, warn);
    expect(after.reservations()).toEqual([{ ...reservation, expiresInMs: 40_000 }]);
    after.hear('a', 1, oneGpu());
    expect(after.gpu('GPU-0')?.freeBytes).toBe(gib(8));
    expect(after.place({ vramBytes: gib(16), reserveSeconds: 60, idempotencyKey: 'k' }).reservation?.id).toBe(
      reservation?.id,
    );
    expect(warnings).toEqual([]);
    await keptAgain.close();
    await keptAgain.close();
    expect(await readdir(dir)).toEqual(['reservations.json']);
  });

  it('a disk that hangs holds neither an answer nor the end of the queen for ever, and what it wrote at last is said', async () => {
    const queen = new TestQueen({ clock: () => 0 });
    let hang: Promise<void> | null = null;
    const write = async (path: string, text: string) => {
      await hang;
      await writeFile(path, text);
    };
    const kept = await keepReservations(queen, dir, warn, { write, slow: 50 });
    const errors: unknown[] = [];
    const bus = memoryBus(
      queen,
      () => kept.saved(),
      (error) => errors.push(error),
      500,
    );
    queen.hear('a', 1, oneGpu());
    let answer = () => {};
    hang = new Promise((resolve) => {
      answer = resolve;
    });
    const first = await bus.place({ vramBytes: gib(1), reserveSeconds: 60 });
    expect(first.reservation).not.toBeNull();
    expect(errors).toMatchObject([{ code: 'STATE_UNWRITABLE', message: expect.stringContaining('--state') }]);
    // Those that come while it still hangs do not wait, and it is not said again.
    const startedMs = performance.now();
    const second = await bus.place({ vramBytes: gib(1), reserveSeconds: 60 });
    expect(await bus.release(first.reservation!.id)).toBe(true);
    expect(performance.now() - startedMs).toBeLessThan(500);
    expect(errors).toHaveLength(1);
    await kept.close();
    expect(warnings).toEqual([expect.stringContaining('does not answer')]);
    answer();
    await expect.poll(() => warnings.at(-1)).toContain('kept again');
    await expect
      .poll(async () => (JSON.parse(await readFile(file(), 'utf8')) as { reservations: { id: string }[] }).reservations)
      .toMatchObject([{ id: second.reservation!.id }]);
    expect((await bus.place({ vramBytes: gib(1), reserveSeconds: 60 })).reservation).not.toBeNull();
    expect(errors).toHaveLength(1);
  });

  it('are forgotten where their time is over, and end within the hour where the wall clock was set back', async () => {
    const wall = new ManualClock(1_772_366_400_000);
    const before = new TestQueen({ clock: () => 0, wallClock: wall.read });
    before.hear('a', 1, oneGpu());
    before.place({ vramBytes: gib(1), reserveSeconds: 60 });
    const [saved] = before.savedReservations();
    wall.advance(60_000);
    const after = new TestQueen({ clock: () => 0, wallClock: wall.read });
    expect(after.adoptReservation(saved!)).toBe(false);
    wall.advance(-86_400_000);
    expect(after.adoptReservation(saved!)).toBe(true);
    expect(after.reservations()[0]?.expiresInMs).toBe(3_600_000);
  });

  it.each([
    ['torn', '{"kind":"hivepulse.reservations","version":1,"reservations":[{"id":"x","hi', 'not whole JSON'],
    ['empty', '', 'empty'],
    ['foreign', '{"version":3,"volumes":[]}', 'not a file of reservations'],
    ['of a later version', '{"kind":"hivepulse.reservations","version":2,"reservations":[]}', 'of this version'],
  ])('a %s state file is set aside with a clear line, never a crash', async (_, text, reason) => {
    await writeFile(file(), text);
    const queen = new TestQueen({ clock: () => 0 });
    const kept = await keepReservations(queen, dir, warn);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(reason);
    const aside = (await readdir(dir)).find((name) => name.startsWith('reservations.json.unreadable-'));
    expect(await readFile(join(dir, aside!), 'utf8')).toBe(text);
    expect(queen.reservations()).toEqual([]);
    await kept.close();
    expect(parseReservations(await readFile(file(), 'utf8'))).toEqual({ state: [] });
  });

  it('a directory that cannot be one is an error that names it', async () => {
    await writeFile(file(), '');
    const inFile = join(file(), 'state');
    await expect(keepReservations(new TestQueen({ clock: () => 0 }), inFile, warn)).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      subject: join(inFile, 'reservations.json'),
    });
  });

  it('no text makes the parser throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const parsed = parseReservations(text);
        expect('state' in parsed || parsed.reason.length > 0).toBe(true);
      }),
    );
  });
});

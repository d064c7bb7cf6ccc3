import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keepFile, keepMarked, listParser, listPieces } from '../../lib/queen/kept-file.js';
import { keepMissing, missingFile } from '../../lib/queen/missing-file.js';
import { keepReservations } from '../../lib/queen/state-file.js';

describe('a state that is kept in a file', () => {
  let dir: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hivepulse-kept-'));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });

  afterEach(async () => {
    vi.useRealTimers();
    await rm(dir, { recursive: true, force: true });
  });

  /** Writes wait until they are answered. */
  async function open() {
    const waiting: { readonly text: string; readonly done: (error?: Error) => void }[] = [];
    const warnings: string[] = [];
    let mark: () => void = () => undefined;
    let text = 'first';
    const opening = keepFile<string>({
      path: join(dir, 'state.json'),
      parse: (state) => ({ state }),
      adopt: () => undefined,
      text: () => text,
      onChange: (given) => {
        mark = given ?? (() => undefined);
      },
      loss: 'All of it.',
      warn: (message) => warnings.push(message),
      write: (_path, written) =>
        new Promise((resolve, reject) => {
          waiting.push({ text: written, done: (error) => (error ? reject(error) : resolve()) });
        }),
    });
    await vi.waitUntil(() => waiting.length === 1);
    waiting[0]?.done();
    const kept = await opening;
    const change = async (to: string) => {
      text = to;
      mark();
      await vi.advanceTimersByTimeAsync(0);
    };
    const answer = async (error?: Error) => {
      waiting.at(-1)?.done(error);
      await vi.advanceTimersByTimeAsync(0);
    };
    return { kept, waiting, warnings, change, answer, written: () => waiting.map((write) => write.text) };
  }

  it.each([
    ['ENOSPC', true],
    ['EDQUOT', true],
    ['EROFS', false],
    ['EACCES', false],
  ])('at its start a disk that answers %s is waited for: %s', async (code, isWaitedFor) => {
    const warnings: string[] = [];
    const writes: string[] = [];
    let problem: Error | null = Object.assign(new Error(`${code}: no`), { code });
    const opening = keepFile<string>({
      path: join(dir, 'state.json'),
      parse: (state) => ({ state }),
      adopt: () => undefined,
      text: () => 'first',
      onChange: () => undefined,
      loss: 'All of it.',
      warn: (message) => warnings.push(message),
      write: async (_path, text) => {
        if (problem !== null) throw problem;
        writes.push(text);
      },
    });
    if (!isWaitedFor) return expect(opening).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
    const kept = await opening;
    expect(warnings).toEqual([expect.stringContaining(code)]);
    problem = null;
    await vi.advanceTimersByTimeAsync(2000);
    expect(writes).toEqual(['first']);
    expect(warnings).toHaveLength(2);
    await kept.close();
  });

  it('a write that failed is tried again after two seconds, with the newest state, and that it works again is said', async () => {
    const { kept, change, answer, written, warnings } = await open();
    await change('second');
    await answer(new Error('no space'));
    await vi.advanceTimersByTimeAsync(1999);
    expect(written()).toEqual(['first', 'second']);
    expect(warnings).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(written()).toEqual(['first', 'second', 'second']);
    await answer();
    expect(warnings).toEqual([expect.stringContaining('kept again')]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written()).toHaveLength(3);
    await kept.close();
  });

  it('a change in the meantime is written at once; one during a write makes one more', async () => {
    const { kept, change, answer, written } = await open();
    await change('second');
    await answer(new Error('no space'));
    await change('third');
    expect(written().at(-1)).toBe('third');
    await change('fourth');
    await change('fifth');
    expect(written().at(-1)).toBe('third');
    await answer();
    expect(written().at(-1)).toBe('fifth');
    await answer();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written()).toEqual(['first', 'second', 'third', 'fifth']);
    await kept.close();
  });

  it('a disk that does not answer holds the end for two seconds, and nothing is tried after it', async () => {
    const { kept, change, written, warnings, answer } = await open();
    await change('second');
    let closed = false;
    const closing = kept.close().then(() => {
      closed = true;
    });
    await vi.advanceTimersByTimeAsync(1999);
    expect(closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await closing;
    expect(warnings).toEqual([expect.stringContaining('does not answer')]);
    await answer(new Error('no space'));
    await change('third');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written()).toEqual(['first', 'second']);
  });

  it('a write that took two seconds is said once it is done', async () => {
    const { kept, change, answer, warnings } = await open();
    await change('second');
    await vi.advanceTimersByTimeAsync(1999);
    await answer();
    expect(warnings).toEqual([]);
    await change('third');
    await vi.advanceTimersByTimeAsync(2000);
    await answer();
    expect(warnings).toEqual([expect.stringContaining('kept again')]);
    await kept.close();
  });

  it('who waits for a write that failed has it tried at once, and hears of it where it fails again', async () => {
    const { kept, change, answer, written } = await open();
    await change('second');
    await answer(new Error('no space'));
    const again = expect(kept.saved()).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
    await vi.advanceTimersByTimeAsync(0);
    expect(written()).toEqual(['first', 'second', 'second']);
    await answer(new Error('no space'));
    await again;
    const saved = kept.saved();
    await vi.advanceTimersByTimeAsync(0);
    await answer();
    await saved;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written()).toEqual(['first', 'second', 'second', 'second']);
    await kept.close();
  });

  it('each write that fails puts off the next by two seconds, and none follows the end', async () => {
    const { kept, change, answer, written } = await open();
    await change('second');
    await answer(new Error('no space'));
    await vi.advanceTimersByTimeAsync(1500);
    await change('third');
    await answer(new Error('no space'));
    await vi.advanceTimersByTimeAsync(1999);
    expect(written()).toEqual(['first', 'second', 'third']);
    await vi.advanceTimersByTimeAsync(1);
    expect(written()).toEqual(['first', 'second', 'third', 'third']);
    await answer(new Error('no space'));
    const closed = expect(kept.close()).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
    await vi.advanceTimersByTimeAsync(0);
    await answer(new Error('no space'));
    await closed;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written()).toHaveLength(5);
  });

  const plain = (path: string, writes: string[]) => ({
    ...{ path, loss: 'All of it.', adopt: () => undefined, warn: (message: string) => void expect.fail(message) },
    parse: (state: string) => ({ state }),
    text: () => ['one', ' and two'],
    write: async (_path: string, text: string) => void writes.push(text),
  });

  it('one that cannot be read is not written over', async () => {
    const path = join(dir, 'state.json');
    await mkdir(path);
    const writes: string[] = [];
    const opening = keepMarked(plain(path, writes));
    await expect(opening).rejects.toMatchObject({ code: 'STATE_UNWRITABLE', subject: path });
    expect([writes, await readdir(dir)]).toEqual([[], ['state.json']]);
  });

  it('what changes all the time is written where it is marked, and once more at its end', async () => {
    const writes: string[] = [];
    const kept = await keepMarked(plain(join(dir, 'state.json'), writes));
    expect(writes).toEqual(['one and two']);
    kept.mark();
    await kept.saved();
    expect(writes).toHaveLength(2);
    await kept.close();
    expect(writes).toHaveLength(3);
    kept.mark();
    await kept.saved();
    expect(writes).toHaveLength(3);
  });

  it.each([
    ['it is empty', ' \n'],
    ['it is not whole JSON', '{"kind":"x","version":1,"items":["a"'],
    ['it is not a file of things of this version', '{"kind":"x","version":2,"items":[]}'],
    ['it is not a file of things of this version', '{"kind":"x","version":1,"items":[7]}'],
    ['it is not a file of things of this version', '{"kind":"y","version":1,"items":[]}'],
  ])('is set aside with its reason: %s', async (reason, text) => {
    const path = join(dir, 'state.json');
    const parse = listParser('x', 'items', Type.String(), 'things');
    expect(parse([...listPieces('x', 'items', ['"a"', '"b"'])].join(''))).toEqual({ state: ['a', 'b'] });
    expect(parse([...listPieces('x', 'items', [])].join(''))).toEqual({ state: [] });
    await writeFile(path, text);
    const warnings: string[] = [];
    const adopt = () => expect.fail('it is no state');
    const kept = await keepMarked({ ...plain(path, []), parse, adopt, warn: (message) => warnings.push(message) });
    await kept.close();
    const [aside] = await readdir(dir);
    expect(aside).toMatch(/^state\.json\.unreadable-\d{4}-\d{2}-\d{2}T\d{6}\.\d{3}Z$/);
    expect(await readFile(join(dir, aside!), 'utf8')).toBe(text);
    expect(warnings).toEqual([`${path} is left out, since ${reason}; it is kept as ${join(dir, aside!)}. All of it.`]);
  });

  it('is set aside where it is longer than any of ours', async () => {
    const path = join(dir, 'state.json');
    await writeFile(path, '');
    await truncate(path, 192 * 1024 * 1024 + 1);
    const warnings: string[] = [];
    const kept = await keepMarked({ ...plain(path, []), warn: (message) => warnings.push(message) });
    await kept.close();
    expect(warnings).toEqual([expect.stringContaining('is left out, since it is too long')]);
    expect(await readdir(dir)).toEqual([expect.stringContaining('unreadable')]);
  });

  it('of reservations says that it is kept again where a write took as long as is slow', async () => {
    const registry = { savedReservations: () => [], adoptReservation: () => true, onReservations: () => undefined };
    const open = async (slow: { slow?: number }) => {
      const warnings: string[] = [];
      const write = async () => undefined;
      const kept = await keepReservations(registry, dir, (message) => warnings.push(message), { write, ...slow });
      await kept.close();
      return warnings.length;
    };
    expect([await open({ slow: 0 }), await open({})]).toEqual([1, 0]);
  });

  it('of what is missing is written two seconds after a change, at once where that is waited for, and at its end', async () => {
    const writes: string[] = [];
    const missing = { onChange: null as (() => void) | null, saved: () => ['7'], adopt: () => 1 };
    const warnings: string[] = [];
    const path = join(dir, missingFile);
    await writeFile(path, '{"kind":"hivepulse.missing","version":1,"items":[7]}');
    const write = async (_path: string, text: string) => void writes.push(text);
    const kept = await keepMissing(missing as never, dir, (message) => warnings.push(message), { write });
    expect(warnings).toEqual([`${path}: 1 of 1 items are of another form and are left out`]);
    expect(writes).toEqual(['{"kind":"hivepulse.missing","version":1,"items":[7]}']);
    missing.onChange!();
    await vi.advanceTimersByTimeAsync(1000);
    missing.onChange!();
    await vi.advanceTimersByTimeAsync(999);
    expect(writes).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(writes).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(10_000);
    await kept.saved();
    expect(writes).toHaveLength(2);
    missing.onChange!();
    await kept.saved();
    expect(writes).toHaveLength(3);
    missing.onChange!();
    await kept.close();
    expect(writes).toHaveLength(4);
    expect(missing.onChange).toBeNull();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(writes).toHaveLength(4);
  });
});

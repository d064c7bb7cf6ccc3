import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keepFile } from '../../lib/queen/kept-file.js';

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
});

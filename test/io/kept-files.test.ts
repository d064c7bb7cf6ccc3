import { closeSync, openSync, readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeptFiles } from '../../lib/io/kept-files.js';
import { temporaryDirectory } from '../harness/leftovers.js';

const most = 256;
const open = () => readdirSync('/proc/self/fd').length;
const linkOf = (fd: string): string | null => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return null;
  }
};

describe.skipIf(process.platform !== 'linux')('files that are kept open (needs Linux)', () => {
  const { path: directory, remove } = temporaryDirectory('kept');
  const at = (i: number) => join(directory, String(i));
  afterAll(remove);
  beforeAll(() => {
    for (let i = 0; i < most + 44; i++) writeFileSync(at(i), `first ${i}`);
  });

  it('are so many at most; all are read as they are now, and those that nobody asks for any more are closed', () => {
    const files = new KeptFiles();
    const before = open();
    const read = () => Array.from({ length: most + 44 }, (_, i) => files.read(at(i), 100));
    expect(read()[most + 1]).toBe(`first ${most + 1}`);
    expect(open() - before).toBe(most);
    for (const i of [0, most + 1]) writeFileSync(at(i), 'second');
    const again = read();
    expect([again[0], again[1], again[most + 1]]).toEqual(['second', 'first 1', 'second']);
    expect(open() - before).toBe(most);
    for (let batch = 0; batch < 3 * most; batch++) {
      files.read(at(7), 100);
      files.endBatch();
    }
    expect(open() - before).toBe(1);
  });

  it('that nobody asks for stay for 256 batches, and are closed by the 512th', () => {
    const files = new KeptFiles();
    const before = open();
    for (const i of [11, 12]) files.read(at(i), 100);
    const after = (batches: number) => {
      for (let batch = 0; batch < batches; batch++) {
        files.read(at(12), 100);
        files.endBatch();
      }
      return open() - before;
    };
    expect([after(256), after(200), after(56)]).toEqual([2, 2, 1]);
  });

  it('are read by the descriptor that is kept, and not opened anew', () => {
    const files = new KeptFiles();
    // What is opened gets the lowest number that is free.
    const lower = openSync(at(4), 'r');
    const placeOf = (path: string) => readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === path);
    expect(files.read(at(5), 100)).toBe('first 5');
    const place = placeOf(at(5));
    closeSync(lower);
    expect(files.read(at(5), 100)).toBe('first 5');
    expect([place.length, placeOf(at(5))]).toEqual([1, place]);
  });

  it('are cut where they are longer, and another that took the name of one is read, or its error given', () => {
    const files = new KeptFiles();
    const path = at(3);
    expect([files.read(path, 4), files.read(path, 0), files.read(path, 30_000)]).toEqual(['firs', '', 'first 3']);
    writeFileSync(at(9999), 'in its place');
    renameSync(at(9999), path);
    expect(files.read(path, 100)).toBe('in its place');
    rmSync(path);
    const before = open();
    for (let i = 0; i < 3; i++)
      expect(() => files.read(path, 100)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => files.read(directory, 100)).toThrow(expect.objectContaining({ code: 'EISDIR' }));
    expect(open()).toBe(before - 1);
  });
});

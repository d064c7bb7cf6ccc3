import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HivepulseError } from '../../lib/util/errors.js';
import { readNamedFile, readNamedText } from '../../lib/util/named-file.js';

const directory = mkdtempSync(join(tmpdir(), 'hivepulse-named-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const at = (name: string) => join(directory, name);

const problemOf = (read: () => unknown): string => {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(HivepulseError);
    expect((error as HivepulseError).code).toBe('CONFIG_UNREADABLE');
    return (error as Error).message.replace(directory, '');
  }
  return 'read';
};

describe('a file that a setting names', () => {
  it('is read whole, also by a symbolic link and where it is empty', () => {
    const text = 'ä'.repeat(70_000);
    writeFileSync(at('long.txt'), text);
    writeFileSync(at('empty.txt'), '');
    symlinkSync(at('long.txt'), at('link.txt'));
    expect(readNamedText(at('link.txt'))).toBe(text);
    expect(readNamedFile(at('empty.txt'))).toHaveLength(0);
  });

  it.each([
    ['nowhere.txt', '/nowhere.txt cannot be read: there is no such file. Fix it.'],
    ['', ' cannot be read: it is a directory. Fix it.'],
    ['circle.txt', '/circle.txt cannot be read: its symbolic links go round in a circle. Fix it.'],
  ])('%j that cannot be read is an error that says why, and the fix', (name, message) => {
    if (name === 'circle.txt') symlinkSync(at(name), at(name));
    expect(problemOf(() => readNamedFile(join(directory, name), { fix: 'Fix it' }))).toBe(message);
  });

  it('that is endless or too large is refused', () => {
    expect(problemOf(() => readNamedFile('/dev/zero'))).toBe('/dev/zero cannot be read: it is too large.');
    writeFileSync(at('large.txt'), 'x'.repeat(101));
    expect(problemOf(() => readNamedFile(at('large.txt'), { maxBytes: 100 }))).toMatch(/too large/);
    expect(readNamedFile(at('large.txt'), { maxBytes: 101 })).toHaveLength(101);
  });

  it('that is a FIFO to which nobody writes ends with an error, whether somebody holds its other end or not', () => {
    execFileSync('mkfifo', [at('fifo.txt')]);
    const message = '/fifo.txt cannot be read: it is a pipe, and nobody wrote to its end in time.';
    expect(problemOf(() => readNamedFile(at('fifo.txt'), { deadlineMs: 30 }))).toBe(message);
    const holder = spawn('sh', ['-c', `exec 3<>'${at('fifo.txt')}'; exec tail -f /dev/null`], { stdio: 'ignore' });
    try {
      expect(problemOf(() => readNamedFile(at('fifo.txt'), { deadlineMs: 300 }))).toBe(message);
    } finally {
      holder.kill();
    }
  });

  it('that is a pipe is read to its end, in as many pieces as it comes', async () => {
    execFileSync('mkfifo', [at('pipe.txt')]);
    const writer = execFile('sh', ['-c', `{ printf one; printf two; head -c 200000 /dev/zero; } >'${at('pipe.txt')}'`]);
    const bytes = readNamedFile(at('pipe.txt'), { deadlineMs: 60_000 });
    expect([bytes.subarray(0, 6).toString(), bytes.length]).toEqual(['onetwo', 200_006]);
    await new Promise((resolve) => writer.once('close', resolve));
  });
});

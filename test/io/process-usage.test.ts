import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { NativeFileReader, WorkerFileReader } from '../../lib/io/open-file-reader.js';
import { loadBinding } from '../../lib/native/binding.js';
import { processStat } from '../../lib/procfs/process-stat.js';
import { type ProcessUse, usageFiles, useOfFiles, useOfRow } from '../../lib/procfs/process-use.js';
import { temporaryDirectory } from '../harness/leftovers.js';
import { waitFor } from '../harness/wait.js';

const { binding } = loadBinding();

describe.skipIf(binding === undefined)('what processes use, by the addon and by TypeScript (needs the addon)', () => {
  const native = binding ? new NativeFileReader(binding) : null;
  const worker = new WorkerFileReader();
  const { path: directory, remove } = temporaryDirectory();
  afterAll(() => {
    native?.close();
    worker.close();
    remove();
  });

  async function byAddon(directories: readonly string[]): Promise<readonly (ProcessUse | null)[]> {
    const rows = (await native?.usage(directories)) ?? [];
    return rows.map((row) => (typeof row === 'number' ? null : useOfRow(row)));
  }

  async function byFiles(directories: readonly string[]): Promise<readonly (ProcessUse | null)[]> {
    const read = (each: string) =>
      worker.read(
        usageFiles.map((file) => join(each, file)),
        4096,
      );
    return (await Promise.all(directories.map(read))).map(useOfFiles);
  }

  it('are the same of a real process that stands still, whatever its name', async () => {
    const script = `printf ') R 1 (' > /proc/$$/comm; kill -STOP $$`;
    // Without the library that a sanitizer preloads: under that of threads a shell does not stop itself.
    const child = spawn('sh', ['-c', script], { stdio: 'ignore', env: { PATH: process.env.PATH } });
    onTestFinished(() => void child.kill('SIGKILL'));
    const own = `/proc/${child.pid}`;
    await waitFor(async () => (await processStat(child.pid as number))?.state === 'T');
    const [first] = await byAddon([own]);
    expect(first).toMatchObject({ parentPid: process.pid, state: 'T' });
    expect(first?.residentPages).toBeGreaterThan(0);
    // Again, by the descriptors that were kept.
    expect(await byAddon([own, own])).toEqual([first, first]);
    expect(await byFiles([own])).toEqual([first]);
  });

  it('are none once the process has ended, though its descriptors were kept', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    const own = `/proc/${child.pid}`;
    expect((await byAddon([own]))[0]).toMatchObject({ parentPid: process.pid });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await native?.usage([own, '/proc/0', join(directory, 'none')])).toEqual([2, 2, 2]);
  });

  const word = fc.nat(2 ** 31 - 1).map(String);
  const stat = fc
    .tuple(
      fc.string({ unit: 'binary-ascii', maxLength: 15 }).map((name) => name.replaceAll('\0', '')),
      fc.constantFrom('R', 'S', 'Z', 'D'),
      fc.array(fc.oneof({ weight: 9, arbitrary: word }, fc.constantFrom('-1', 'x')), {
        minLength: 15,
        maxLength: 49,
      }),
    )
    .map(([name, state, fields]) => `12 (${name}) ${state} ${fields.join(' ')}\n`);
  const statm = fc.oneof(
    fc.array(word, { maxLength: 7 }).map((words) => `${words.join(' ')}\n`),
    fc.constant(null),
  );
  const io = fc.oneof(
    fc.tuple(word, word).map(([a, b]) => `rchar: 1\nread_bytes: ${a}\nwrite_bytes: ${b}\ncancelled_write_bytes: 0\n`),
    fc.constantFrom('read_bytes: 1\n', 'read_bytes: x\nwrite_bytes: 2\n', '', null),
  );

  it('are the same of any files', async () => {
    let count = 0;
    await fc.assert(
      fc.asyncProperty(stat, statm, io, async (...contents) => {
        count += 1;
        const own = join(directory, String(count));
        mkdirSync(own);
        for (const [i, content] of contents.entries())
          if (content !== null) writeFileSync(join(own, usageFiles[i] as string), content, 'latin1');
        expect(await byAddon([own])).toEqual(await byFiles([own]));
        rmSync(own, { recursive: true });
      }),
    );
  });
});

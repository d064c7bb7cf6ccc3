import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FilesReader } from '../../lib/cgroup/files.js';
import { NativeReader } from '../../lib/cgroup/native.js';
import { readerDefaults } from '../../lib/cgroup/reader.js';
import { NativeFileReader, WorkerFileReader } from '../../lib/io/open-file-reader.js';
import { loadBinding } from '../../lib/native/binding.js';
import { cell } from '../../lib/native/layout.js';
import { parseProcessCgroup } from '../../lib/procfs/parse.js';
import { bytesOfPath, pathFromBytes, printablePath } from '../../lib/util/byte-path.js';
import { systemClock } from '../../lib/util/clock.js';
import { ContainerNames } from '../../lib/workers/container-names.js';
import { Discovery } from '../../lib/workers/discovery.js';
import { ProcessTable } from '../../lib/workers/process-table.js';

/** é in Latin-1, and an emoji: one is no UTF-8, the other is a pair of surrogates. */
const odd = Buffer.concat([Buffer.from('caf'), Buffer.of(0xe9), Buffer.from('.service')]);
const emoji = '\u{1f480}é';

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hivepulse-bytes-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const binding = () => {
  const { binding: loaded, reason } = loadBinding();
  if (!loaded) throw new Error(reason);
  return loaded;
};

describe('paths that are not UTF-8', () => {
  it('any bytes become a string that becomes those bytes again, one string for each', () => {
    const name = fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes.map((b) => b || 1)));
    const path = fc.oneof(
      name,
      fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(path, path, (a, b) => {
        const both = Buffer.concat([a, Buffer.from('/'), b]);
        expect(Buffer.from(bytesOfPath(pathFromBytes(both)) as Buffer)).toEqual(both);
        // A path is its names: what lists a directory and what gives a whole path agree.
        expect(pathFromBytes(both)).toBe(
          both
            .toString('latin1')
            .split('/')
            .map((each) => pathFromBytes(Buffer.from(each, 'latin1')))
            .join('/'),
        );
        if (!a.equals(b)) expect(pathFromBytes(a)).not.toBe(pathFromBytes(b));
      }),
    );
    expect(printablePath(pathFromBytes(odd))).toBe('caf\\xe9.service');
    expect(bytesOfPath(`/${emoji}`).toString()).toBe(`/${emoji}`);
    expect(parseProcessCgroup(Buffer.concat([Buffer.from('0::/a/'), odd, Buffer.from('\n')]))).toBe(
      `/a/${pathFromBytes(odd)}`,
    );
  });

  it.each([
    ['the addon', () => new NativeFileReader(binding())],
    ['the worker thread', () => new WorkerFileReader()],
  ])('%s lists and reads them', async (_what, open) => {
    const directory = temporary();
    for (const name of [odd, Buffer.from(emoji), Buffer.from('plain')]) {
      const path = Buffer.concat([Buffer.from(`${directory}/`), name]);
      mkdirSync(path);
      writeFileSync(Buffer.concat([path, Buffer.from('/file')]), 'x');
    }
    const files = open();
    onTestFinished(() => files.close());
    const [entries] = await files.list([directory]);
    const names = (entries as { name: string; isDirectory: boolean }[])
      .filter((each) => each.isDirectory)
      .map((each) => each.name);
    expect(names.sort()).toEqual([pathFromBytes(odd), emoji, 'plain'].sort());
    const contents = await files.read(
      names.map((name) => `${directory}/${name}/file`),
      10,
    );
    expect(contents.map(String)).toEqual(['x', 'x', 'x']);
  });

  it.each([
    ['native', () => new NativeReader(binding(), readerDefaults)],
    ['files', () => new FilesReader(readerDefaults)],
  ])('the %s reader reads a cgroup of such a name, and it is a worker', async (_kind, open) => {
    const root = temporary();
    const at = (file: string) => Buffer.concat([Buffer.from(`${root}/system.slice/`), odd, Buffer.from(`/${file}`)]);
    mkdirSync(at(''), { recursive: true });
    writeFileSync(at('memory.current'), '7\n');
    const processes = new ProcessTable({ procRoot: `${root}/none`, clock: systemClock });
    const names = new ContainerNames({ hostRoot: root, clock: systemClock });
    const discovery = new Discovery({
      root,
      watch: ['*.service'],
      auto: false,
      processes,
      names,
      records: async () => ({ running: [], ended: [], launching: [], problems: [] }),
      clock: systemClock,
    });
    const reader = open();
    onTestFinished(() => {
      for (const part of [processes, names, discovery, reader]) part.close();
    });
    await discovery.scan(true);
    const { watched, complete } = discovery.current();
    expect(complete).toBe(true);
    expect(watched).toMatchObject([
      { group: 'system', instance: expect.stringMatching(/^caf_\.service-[0-9a-f]{8}$/) },
    ]);
    const slot = reader.add(watched[0]?.directory as string);
    expect(cell(reader.passSync(), slot, 'memoryCurrentBytes')).toBe(7);
  });
});

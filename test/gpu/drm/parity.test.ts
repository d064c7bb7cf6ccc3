import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { parseFdinfo } from '../../../lib/gpu/drm/fdinfo.js';
import { filesOfDevice } from '../../../lib/io/file-reader.js';
import { NativeFileReader, WorkerFileReader } from '../../../lib/io/open-file-reader.js';
import { loadBinding } from '../../../lib/native/binding.js';
import { DrmClient, type DrmClientResult } from '../../../lib/native/drm-clients.js';
import { anyLetter } from '../../harness/any-letter.js';
import { portion } from '../../harness/draws.js';
import { temporaryDirectory } from '../../harness/leftovers.js';
import { FakeDrmHost, fdinfo, radeon } from './fake-host.js';
import { plain } from './plain-client.js';
import { drmSource, vendorsOver } from './sources.js';

const { EISDIR, ENOENT } = constants.errno;
const { binding } = loadBinding();

const shown = (result: DrmClientResult) => (result instanceof DrmClient ? plain(result) : result);

const place = fc.constantFrom('0000:03:00.0', '0000:44:00.0', '0000:07:00.0');
const amount = fc.oneof(
  fc.nat().map(String),
  fc.tuple(fc.nat(), fc.constantFrom('ns', 'KiB', 'MiB', 'GiB', 'kB', 'TiB', 'K')).map(([n, unit]) => `${n} ${unit}`),
  fc.constantFrom('', '-3 ns', '1e9', '0x10', '5KiB', '18446744073709551615', '99999999999999999999999', ' 12.50%'),
  fc.string({ unit: 'binary-ascii', maxLength: 8 }),
);
const engine = fc.constantFrom('gfx', 'compute', 'ccs', 'render', 'capacity-gfx', '', 'video-enhance');
const region = fc.constantFrom('vram', 'gtt', 'cpu', 'local0', 'vram0', 'system0', 'stolen-system0');
const key = fc.oneof(
  fc.constantFrom('drm-driver', 'drm-pdev', 'drm-client-id', 'pdev', 'pasid', 'vram mem', 'gtt mem', 'cpu mem'),
  fc.constantFrom('gfx0', 'compute12', 'enc_1', 'enc_10', 'enc_123', 'jpeg0', 'dma', 'gfx0 '),
  fc
    .tuple(fc.constantFrom('engine', 'engine-capacity', 'cycles', 'total-cycles'), engine)
    .map(([kind, name]) => `drm-${kind}-${name}`),
  fc
    .tuple(fc.constantFrom('memory', 'resident', 'total', 'shared'), region)
    .map(([kind, name]) => `drm-${kind}-${name}`),
  fc.string({ unit: 'binary-ascii', maxLength: 12 }),
);
const value = fc.oneof(
  amount,
  place,
  fc.constantFrom('amdgpu', 'xe', 'i915', '0000:03:00', '0000:03:2f.0', '\xa07\x0b', '3.14159%', '100%', '.5%', '7.%'),
);
const line = fc
  .tuple(key, fc.constantFrom(':\t', ':', ' :  ', ': \xa0', '=', '::'), value)
  .map((parts) => parts.join(''));
const hexOf = (min: number, max: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: min, maxLength: max });
/** A place, or what is nearly one. */
const nearlyPlace = fc
  .tuple(hexOf(3, 9), hexOf(2, 2), fc.constantFrom('0', '1', '2'), hexOf(1, 1), fc.nat(8))
  .map(([domain, bus, half, device, part]) => `${domain}:${bus}:${half}${device}.${part}`);
const id = fc.oneof(
  { weight: 3, arbitrary: fc.nat().map(String) },
  fc.constantFrom('', '7a', '1'.repeat(20), '1'.repeat(21)),
);
const units = ['', ' ns', ' KiB', ' kB', ' MiB', ' GiB', ' TiB', 'KiB'];
const counted = fc
  .tuple(fc.oneof(fc.nat(5000), fc.nat(1)), fc.constantFrom(...units))
  .map(([n, unit]) => `${n}${unit}`);
const percent = fc
  .tuple(fc.nat(1200), fc.constantFrom('', '.', '.0', '.25', '.125', '.0625', '.03125'))
  .map(([whole, part]) => `${whole}${part}%`);

const linesOf = (keys: readonly string[], values: fc.Arbitrary<string>) =>
  fc.array(
    fc.tuple(fc.constantFrom(...keys), values).map(([name, of]) => `${name}:\t${of}`),
    { maxLength: 12, size: 'max' },
  );
const everyKey = (kinds: readonly string[], names: readonly string[]) =>
  kinds.flatMap((kind) => names.map((name) => `drm-${kind}-${name}`));
const kernelLines = fc
  .tuple(
    linesOf(everyKey(['engine', 'engine-capacity', 'cycles', 'total-cycles'], ['gfx', 'ccs']), counted),
    linesOf(everyKey(['memory', 'resident', 'total'], ['vram', 'gtt']), counted),
  )
  .map((parts) => parts.flat());
const oldLines = fc
  .tuple(
    linesOf(['vram mem', 'gtt mem', 'cpu mem'], counted),
    linesOf(['gfx0', 'compute12', 'enc_1', 'enc_10', 'enc_123', 'jpeg0', 'dma'], percent),
  )
  .map((parts) => parts.flat());
/** What a kernel might write of one client, key by key: some are there twice, some not at all. */
const likely = fc.oneof(
  fc
    .tuple(fc.oneof(place, nearlyPlace), id, kernelLines)
    .map(([pdev, of, lines]) =>
      [`drm-driver:\txe`, `drm-pdev:\t${pdev}`, `drm-client-id:\t${of}`, ...lines].join('\n'),
    ),
  fc
    .tuple(fc.oneof(place, nearlyPlace), id, oldLines)
    .map(([pdev, of, lines]) => [`pdev:\t${pdev}`, `pasid:\t${of}`, ...lines].join('\n')),
);
/** Beginnings that make a client of what follows, of either generation of kernels, or not. */
const head = fc.oneof(
  fc.tuple(place, fc.nat()).map(([pdev, id]) => `drm-driver:\tamdgpu\ndrm-client-id:\t${id}\ndrm-pdev:\t${pdev}\n`),
  fc.tuple(place, fc.nat()).map(([pdev, id]) => `pdev:\t${pdev}\npasid:\t${id}\nvram mem:\t5 kB\n`),
  fc.constant(''),
);
const text = fc.oneof(
  { weight: 3, arbitrary: likely },
  fc.tuple(head, fc.array(line, { maxLength: 30 })).map(([before, lines]) => `${before}${lines.join('\n')}`),
  fc.string({ unit: anyLetter, maxLength: 200 }),
);

describe.skipIf(binding === undefined)('clients by the addon and by TypeScript (needs the addon)', () => {
  const native = binding ? new NativeFileReader(binding) : null;
  const worker = new WorkerFileReader();
  const { path: directory, remove } = temporaryDirectory('parity');
  afterAll(() => {
    native?.close();
    worker.close();
    remove();
  });

  it('are the same of any text', async () => {
    const at = join(directory, 'fdinfo');
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 8 }), async (texts) => {
        mkdirSync(at, { recursive: true });
        const paths = texts.map((_, i) => join(at, String(i)));
        for (const [i, each] of texts.entries()) writeFileSync(paths[i]!, each, 'latin1');
        Object.freeze(paths);
        const expected = texts.map((each) => shown(parseFdinfo(Buffer.from(each, 'latin1').toString('latin1'))));
        for (let pass = 0; pass < 2; pass++)
          expect((await native?.drmClients(paths, 8192))?.map(shown)).toEqual(expected);
      }),
      { numRuns: Number(process.env.HIVEPULSE_PROPERTY_RUNS ?? portion(400)) },
    );
  });

  it('are those of now where the same paths are asked for again, whatever names and counts they have had before', async () => {
    const at = join(directory, 'again');
    mkdirSync(at, { recursive: true });
    const paths = Object.freeze([join(at, '0'), join(at, '1'), join(at, '2')]);
    const names = fc.subarray(['engine-a', 'engine-b', 'resident-a', 'resident-b', 'memory-a'], { minLength: 0 });
    const said = fc.record({ id: fc.nat(1), names, amount: fc.nat(9) });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(said, fc.option(said), said), { minLength: 1 }), async (passes) => {
        for (const pass of passes) {
          const texts = pass.map((each) =>
            each === null
              ? 'pos:\t0\n'
              : fdinfo({
                  driver: 'xe',
                  pdev: '0000:07:00.0',
                  id: each.id,
                  lines: Object.fromEntries(each.names.map((name) => [`drm-${name}`, String(each.amount)])),
                }),
          );
          for (const [i, each] of texts.entries()) writeFileSync(paths[i]!, each);
          expect((await native?.drmClients(paths, 8192))?.map(shown)).toEqual(
            texts.map((each) => shown(parseFdinfo(each))),
          );
        }
      }),
      { numRuns: portion(60) },
    );
  });

  it('are the same of more entries than a driver has, and of a text that is cut', async () => {
    const many = Array.from({ length: 80 }, (_, i) => `drm-engine-e${i}:\t${i} ns\ndrm-resident-r${i}:\t${i} KiB`);
    const whole = `${fdinfo({ driver: 'xe', pdev: '0000:03:00.0', id: 1 })}${many.join('\n')}\n`;
    const path = join(directory, 'many');
    writeFileSync(path, whole);
    for (const most of [8192, 1000, 150, 1, 0])
      expect((await native?.drmClients([path], most))?.map(shown)).toEqual([shown(parseFdinfo(whole.slice(0, most)))]);
  });

  it('files that are kept are those of now: changed, made anew, gone, and never there', async () => {
    const path = join(directory, 'kept');
    const said = async () => {
      const both = await Promise.all([native?.readKept([path, directory], 10), worker.readKept([path, directory], 10)]);
      const shown = both.map((results) => results?.map((each) => (typeof each === 'number' ? each : String(each))));
      expect(shown[0]).toEqual(shown[1]);
      expect(shown[0]![1]).toBe(EISDIR);
      return shown[0]![0];
    };
    expect(await said()).toBe(ENOENT);
    writeFileSync(path, 'one');
    expect(await said()).toBe('one');
    writeFileSync(path, 'a longer text');
    expect(await said()).toBe('a longer t');
    rmSync(path);
    expect(await said()).toBe(ENOENT);
    writeFileSync(path, '');
    expect(await said()).toBe('');
  });

  // Another file than the first says nothing of sleep, whatever stands there.
  const content = fc.option(
    fc.oneof(fc.string({ unit: anyLetter, maxLength: 6 }), fc.constantFrom('suspended', 'resuming\n')),
    { freq: 4 },
  );
  const status = fc.oneof(
    fc.constantFrom('active', 'suspended', 'suspending', 'resuming', 'error', 'suspended\nmore', 'suspendedly', ''),
    fc.constant(null),
  );

  it('devices are read in their order, and no further where they sleep', async () => {
    const at = join(directory, 'devices');
    const device = fc.tuple(status, fc.array(content, { maxLength: 4 }));
    await fc.assert(
      fc.asyncProperty(fc.array(device, { minLength: 1, maxLength: 4 }), async (devices) => {
        mkdirSync(at, { recursive: true });
        const asked = devices.map(([runtime, contents], i) =>
          [runtime === null ? null : `${runtime}\n`, ...contents].map((text, j) => {
            const path = join(at, `${i}-${j}`);
            rmSync(path, { force: true });
            if (text !== null) writeFileSync(path, text, 'latin1');
            return path;
          }),
        );
        const expected = devices.map(([runtime, contents]) => {
          const sleeps = /^(suspended|suspending|resuming)(\n|$)/.test(runtime ?? '');
          const all = [runtime === null ? null : `${runtime}\n`, ...contents];
          const said = all.map((text) => (text === null ? ENOENT : Buffer.from(text, 'latin1').toString('latin1')));
          return sleeps ? said.slice(0, 1) : said;
        });
        const texts = Object.freeze(asked.map(filesOfDevice));
        for (const reader of [native, worker]) expect(await reader?.readAwake(texts, 4096)).toEqual(expected);
        expect([native?.runningAt(), worker.runningAt()]).toEqual([0, 0]);
      }),
      { numRuns: portion(60) },
    );
  });

  it('names of any bytes are the same, as often as they are asked for, and so are targets of links', async () => {
    const at = join(directory, 'names');
    mkdirSync(join(at, 'below'), { recursive: true });
    for (const name of ['plain', 'line\nbreak', 'ü', '3']) writeFileSync(join(at, name), '');
    writeFileSync(Buffer.concat([Buffer.from(`${at}/`), Buffer.of(0xff, 0x41)]), '');
    for (const [name, target] of Object.entries({ 7: '/dev/dri/ü', 8: '/dev/dri/renderD128', 9: '/dev/null' }))
      symlinkSync(target, join(at, name));
    const paths = Object.freeze([at, join(at, 'none'), at]);
    const byName = (lists: readonly (readonly { readonly name: string }[] | number)[] | undefined) =>
      lists?.map((list) => (typeof list === 'number' ? list : list.toSorted((a, b) => (a.name < b.name ? -1 : 1))));
    const sorted = (lists: readonly (readonly string[] | number)[] | undefined) =>
      lists?.map((list) => (typeof list === 'number' ? list : list.toSorted()));
    for (let pass = 0; pass < 3; pass++) {
      const lists = byName(await native?.list(paths));
      expect(lists).toEqual(byName(await worker.list(paths)));
      expect(lists?.map((list) => (typeof list === 'number' ? list : list.length))).toEqual([
        9 + pass,
        ENOENT,
        9 + pass,
      ]);
      const [targets] = sorted(await native?.links(paths, '/dev/dri/')) ?? [];
      expect(targets).toEqual(['/dev/dri/renderD128', '/dev/dri/ü']);
      expect(await worker.links(paths, '/dev/dri/').then(sorted)).toEqual([targets, ENOENT, targets]);
      expect(sorted(await native?.linkNames(paths, '/dev/dri/'))).toEqual([['7', '8'], ENOENT, ['7', '8']]);
      writeFileSync(join(at, `later-${pass}`), '');
    }
  });

  it('files of the kernel that are kept are of their process, and end with it', async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
    const path = `/proc/${child.pid}/status`;
    const said = async () =>
      (await Promise.all([native?.readKept([path], 4096), worker.readKept([path], 4096)])).map((results) => {
        const [text] = results ?? [];
        return typeof text === 'string' ? /^Pid:\t(\d+)$/m.exec(text)?.[1] : text;
      });
    for (let pass = 0; pass < 2; pass++) expect(await said()).toEqual([String(child.pid), String(child.pid)]);
    child.stdin.end();
    await once(child, 'exit');
    for (let pass = 0; pass < 2; pass++) expect(await said()).toEqual([ENOENT, ENOENT]);
  });

  it('processes and links are the same of the real /proc', async () => {
    const [mine] = (await native?.pids(['/proc', join(directory, 'none')])) ?? [];
    const [theirs, missing] = await worker.pids(['/proc', join(directory, 'none')]);
    const inodeOf = (pids: typeof mine) => (typeof pids === 'object' ? pids.get(process.pid) : pids);
    expect(inodeOf(mine)).toEqual(expect.any(Number));
    expect(inodeOf(mine)).toBe(inodeOf(theirs));
    expect(missing).toBe(ENOENT);
    const namespaces = ['/proc/self/ns', '/proc/0/ns'];
    const sorted = (lists: readonly (readonly string[] | number)[] | undefined) =>
      lists?.map((list) => (typeof list === 'number' ? list : [...list].sort()));
    for (const prefix of ['pid:[', 'net:['])
      expect(sorted(await native?.linkNames(namespaces, prefix))).toEqual(
        sorted(await worker.linkNames(namespaces, prefix)),
      );
    expect(sorted(await native?.linkNames(namespaces, 'net:['))).toEqual([['net'], ENOENT]);
  });

  const client = fc.record({ pdev: place, id: fc.integer({ min: 1, max: 4 }), vram: fc.nat(4096), busy: fc.nat(2e9) });
  const processes = fc.dictionary(fc.constantFrom('4100', '4200', '4300'), fc.array(client, { maxLength: 4 }));

  it('readings of whole hosts are the same while processes come, change and go', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(processes, { minLength: 1, maxLength: 4 }), async (steps) => {
        using host = new FakeDrmHost([radeon('0000:03:00.0'), radeon('0000:44:00.0')]);
        using byAddon = drmSource(host);
        using byFiles = drmSource(host, { vendors: vendorsOver(() => new WorkerFileReader()) });
        for (const step of steps) {
          for (const pid of ['4100', '4200', '4300']) {
            const clients = step[pid];
            if (clients === undefined) host.end(Number(pid));
            else
              host.process(
                Number(pid),
                clients.map(({ pdev, id, vram, busy }) => ({
                  driver: 'amdgpu',
                  pdev,
                  id,
                  lines: { 'drm-resident-vram': `${vram} KiB`, 'drm-engine-compute': `${busy} ns` },
                })),
              );
          }
          const [one, other] = [await byAddon.next(), await byFiles.next()];
          expect(one).toEqual(other);
        }
      }),
      { numRuns: Math.ceil(Number(process.env.HIVEPULSE_PROPERTY_RUNS ?? portion(40)) / 4) },
    );
  });
});

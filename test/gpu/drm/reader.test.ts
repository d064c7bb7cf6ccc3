import { mkdirSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CardReading } from '../../../lib/gpu/drm/card.js';
import type { CardContext, DrmDriver } from '../../../lib/gpu/drm/driver.js';
import { deviceKey } from '../../../lib/gpu/drm/processes.js';
import { openDrm } from '../../../lib/gpu/drm/reader.js';
import { gpuReason } from '../../../lib/gpu/reasons.js';
import type { GpuReaderOptions, VendorReading } from '../../../lib/gpu/vendor.js';
import { type FileReader, splitDevice } from '../../../lib/io/file-reader.js';
import { temporaryDirectory } from '../../harness/leftovers.js';
import { settled } from '../nvidia/scripted-programs.js';

const { EACCES, EMFILE, ENODEV, ENOENT, ETIMEDOUT } = constants.errno;

interface Card {
  readonly pdev: string;
  readonly driver?: string;
  readonly isUnified?: boolean;
  readonly isAsleep?: boolean;
  /** It is pulled while it is read. */
  readonly isPulled?: boolean;
}

/** A host whose cards a test adds and removes; a pass over them takes no time unless a test holds it up. */
class Host {
  readonly cards = new Map<string, Card | number>();
  readonly others: string[] = [];
  unlisted: number | null = null;
  hangs: string | null = null;
  nowMs = 9000;
  compute: Awaited<ReturnType<ReturnType<DrmDriver['openCards']>['computeHolders']>> = {
    byPlace: new Map(),
    incomplete: null,
  };
  holders = { byDevice: new Map(), incomplete: null as CardContext['incomplete'] };
  readonly contexts: CardContext[] = [];
  readonly opened: string[] = [];
  /** Cards whose `uevent` was read in the last pass. */
  identified: string[] = [];
  failure: Error | null = null;
  closes: string[] = [];
  scans = 0;
  readonly sys: string;
  #entries: readonly { name: string; isDirectory: boolean }[] = [];

  constructor(names: readonly string[] = ['card0']) {
    const { path, remove } = temporaryDirectory('drm-reader');
    onTestFinished(remove);
    this.sys = path;
    for (const name of names) mkdirSync(join(path, 'class/drm', name), { recursive: true });
  }

  open(options: GpuReaderOptions = {}) {
    const reader = openDrm(
      this.#driver,
      {
        roots: { sys: this.sys },
        now: () => this.nowMs,
        drmProcesses: {
          scan: async () => {
            this.scans++;
            return this.holders;
          },
          close: () => this.closes.push('processes'),
        } as never,
        ...options,
      },
      () => this.#files,
    );
    onTestFinished(() => reader.close());
    return reader;
  }

  get #driver(): DrmDriver {
    return {
      vendor: 'AMD',
      drivers: ['amdgpu', 'radeon'],
      openCards: () => ({
        filesOf: () => ({ once: [], fast: ['device/busy'], slow: [], hwmon: [], slowHwmon: [] }),
        open: (identity) => {
          this.opened.push(identity.pdev);
          return {
            unifiedMemory: this.#at(identity.pdev)?.isUnified ?? false,
            measure: (reading: CardReading, context: CardContext) => {
              if (this.failure !== null) throw this.failure;
              this.contexts.push(context);
              const busy = reading.number('device/busy');
              return {
                name: `card at ${identity.pdev}`,
                computeCapability: '',
                values: 'value' in busy ? { utilizationPercent: busy.value } : {},
                reasons: 'reason' in busy ? { utilizationPercent: busy.reason } : {},
              };
            },
            bytesOf: () => 4096,
          };
        },
        computeHolders: async () => this.compute,
      }),
    };
  }

  #at(pdev: string): Card | undefined {
    return [...this.cards.values()].find((card): card is Card => typeof card === 'object' && card.pdev === pdev);
  }

  get #files(): FileReader {
    const each = async <T>(what: string, paths: readonly string[], one: (path: string) => T) => {
      if (this.hangs === what) await new Promise(() => undefined);
      return paths.map(one);
    };
    const nameIn = (path: string) => path.slice(`${this.sys}/class/drm/`.length).split('/')[0] ?? '';
    return {
      list: (paths: readonly string[]) =>
        each('list', paths, (path) => {
          if (!path.endsWith('class/drm')) return ENOENT;
          const names = [...this.cards.keys(), ...this.others];
          if (names.join() !== this.#entries.map(({ name }) => name).join())
            this.#entries = names.map((name) => ({ name, isDirectory: true }));
          return this.unlisted ?? this.#entries;
        }),
      read: (paths: readonly string[]) => {
        this.identified = paths.map(nameIn);
        return each('read', paths, (path) => {
          const card = path.endsWith('/device/uevent') ? (this.cards.get(nameIn(path)) ?? ENOENT) : EACCES;
          if (typeof card === 'number') return card;
          return Buffer.from(`DRIVER=${card.driver ?? 'amdgpu'}\nPCI_ID=1002:7480\nPCI_SLOT_NAME=${card.pdev}\n`);
        });
      },
      readKept: (paths: readonly string[]) => each('kept', paths, () => ENOENT),
      readAwake: (devices: readonly string[]) =>
        each('awake', devices, (device) => {
          const [status = '', ...files] = splitDevice(device);
          const card = this.cards.get(nameIn(status));
          if (card === undefined || typeof card === 'number') return ENODEV;
          if (card.isPulled) return ['active\n', ...files.map(() => ENOENT)];
          return card.isAsleep ? ['suspended\n'] : ['active\n', ...files.map(() => '21\n')];
        }),
      runningMs: () => 0,
      runningAt: () => 0,
      close: () => this.closes.push('files'),
    } as unknown as FileReader;
  }
}

/** The next reading after `ms`. */
async function next(host: Host, reader: { read(): VendorReading }, ms = 1000): Promise<VendorReading> {
  host.nowMs += ms;
  reader.read();
  await settled();
  return reader.read();
}
const shown = (reading: VendorReading) =>
  reading.status === 'working'
    ? reading.report.devices.map(({ busId, index, values }) => [busId, index, values.utilizationPercent])
    : reading.status;
const [first, second, third] = ['0000:03:00.0', '0000:44:00.0', '0000:c1:00.0'];
const bus = (pdev: string) => expect.stringMatching(new RegExp(`${pdev.slice(5)}$`, 'i'));

describe('cards by the files of their driver', () => {
  it('are waited for where there is any card, of whichever vendor', () => {
    expect(new Host(['card0']).open().read().status).toBe('initializing');
    expect(new Host(['version', 'card0-DP-1', 'card', 'mycard0', 'card12345']).open().read()).toEqual({
      ...{ status: 'absent', reader: 'none', faults: [], reason: 'there is no AMD GPU with a driver' },
    });
    expect(new Host([]).open().read().status).toBe('absent');
    expect(new Host(['card0', 'version']).open().read().status).toBe('initializing');
    expect(new Host(['card1234']).open().read()).toEqual({
      ...{ status: 'initializing', reader: 'drm', reason: null, faults: [] },
    });
  });

  it('are read, in the order of their places', async () => {
    const host = new Host();
    host.cards.set('card1', { pdev: second }).set('card0', { pdev: first, driver: 'radeon' });
    host.cards.set('card2', { pdev: third, driver: 'nouveau' });
    host.others.push('card0-DP-1', 'renderD128', 'version');
    const reader = host.open();
    const reading = await next(host, reader);
    expect(shown(reading)).toEqual([
      [bus(first), 0, 21],
      [bus(second), 1, 21],
    ]);
    expect(reading).toMatchObject({ reader: 'drm', reason: null, at: host.nowMs, report: { unlisted: null } });
    expect(host.identified.toSorted()).toEqual(['card0', 'card1', 'card2']);
  });

  it('are read each interval, a little early at most, and one pass at a time', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open({ intervalMs: 400 });
    const before = await next(host, reader);
    expect(await next(host, reader, 398)).toBe(before);
    expect(await next(host, reader, 1)).not.toBe(before);
    const usual = new Host();
    usual.cards.set('card0', { pdev: first });
    const other = usual.open();
    const one = await next(usual, other);
    expect(await next(usual, other, 998)).toBe(one);
    expect(await next(usual, other, 1)).not.toBe(one);
  });

  it('which do not answer for two seconds are stalled', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open();
    const before = await next(host, reader);
    host.hangs = 'awake';
    host.nowMs += 1000;
    expect(reader.read()).toBe(before);
    host.nowMs += 2000;
    expect(reader.read()).toBe(before);
    host.nowMs += 1;
    expect(reader.read()).toEqual({
      ...{ status: 'stalled', reader: 'drm', reason: null },
      faults: [
        {
          ...{ source: 'gpu', code: 'TIMEOUT', field: 'gpus' },
          message: expect.stringContaining('amdgpu and radeon driver'),
        },
      ],
    });
  });

  it('that sleep are suspended', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first, isAsleep: true }).set('card1', { pdev: second });
    const reading = await next(host, host.open());
    expect(shown(reading)).toEqual([
      [bus(first), 0, undefined],
      [bus(second), 1, 21],
    ]);
  });

  it('of other vendors are asked again after ten passes', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first }).set('card1', { pdev: second, driver: 'i915' });
    const reader = host.open();
    await next(host, reader);
    for (let pass = 1; pass < 10; pass++) {
      host.identified = [];
      await next(host, reader);
      expect(host.identified).toEqual([]);
    }
    host.cards.set('card1', { pdev: second });
    expect(shown(await next(host, reader))).toHaveLength(2);
    expect(host.identified).toEqual(['card0', 'card1']);
    expect(host.opened).toEqual([first, second]);
    host.cards.set('card0', { pdev: first, driver: 'vfio-pci' });
    for (let pass = 0; pass < 10; pass++) await next(host, reader);
    expect(shown(await next(host, reader))).toEqual([[bus(second), 0, 21]]);
  });

  it('that come are found in the next pass, and that go are gone', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open();
    await next(host, reader);
    host.cards.set('card1', { pdev: second });
    expect(shown(await next(host, reader))).toHaveLength(2);
    expect(host.identified).toEqual(['card1']);
    host.cards.delete('card0');
    expect(shown(await next(host, reader))).toEqual([[bus(second), 0, 21]]);
    host.cards.clear();
    expect(shown(await next(host, reader))).toEqual([]);
    const never = new Host();
    expect([(await next(never, never.open())).status, never.scans]).toEqual(['absent', 0]);
  });

  it('that come as others go are read themselves', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open();
    await next(host, reader);
    host.cards.delete('card0');
    host.cards.set('card1', { pdev: second });
    expect(shown(await next(host, reader))).toEqual([[bus(second), 0, 21]]);
    expect(shown(await next(host, reader))).toEqual([[bus(second), 0, 21]]);
  });

  it('that are pulled while they are read are lost', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first, isPulled: true }).set('card1', { pdev: second });
    const reading = await next(host, host.open());
    expect(reading).toMatchObject({ report: { devices: [{ unreachable: { name: 'lost' } }, { unreachable: null }] } });
  });

  it('of which another took the place are others', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open();
    for (let pass = 0; pass < 10; pass++) await next(host, reader);
    host.cards.set('card0', { pdev: third });
    expect(shown(await next(host, reader))).toEqual([[bus(third), 0, 21]]);
    for (let pass = 0; pass < 9; pass++) await next(host, reader);
    host.cards.set('card0', { pdev: third, driver: 'radeon' });
    await next(host, reader);
    expect(host.opened).toEqual([first, third, third]);
  });

  it.each([
    [EACCES, 2],
    [ENOENT, 1],
    [ENODEV, 1],
  ])('one whose identity gives %i is tried again or not: after %i passes there are so many', async (errno, count) => {
    const host = new Host();
    host.cards.set('card0', { pdev: first }).set('card1', errno);
    const reader = host.open();
    expect(shown(await next(host, reader))).toHaveLength(1);
    host.cards.set('card1', { pdev: second });
    expect(shown(await next(host, reader))).toHaveLength(count);
  });
});

describe('a list of cards', () => {
  it('that cannot be had is a failure, and no evidence about any card', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    host.unlisted = EMFILE;
    const reader = host.open();
    expect(await next(host, reader)).toEqual({
      ...{ status: 'failed', reader: 'drm', reason: null },
      faults: [
        {
          ...{ source: 'gpu', code: 'UNKNOWN_ERROR', field: 'gpus' },
          message: expect.stringMatching(/class\/drm cannot be listed: .*EMFILE/),
        },
      ],
    });
    host.unlisted = null;
    expect(shown(await next(host, reader))).toHaveLength(1);
    host.unlisted = EACCES;
    expect((await next(host, reader)).status).toBe('failed');
  });

  it('that cannot be had once there was none stays none', async () => {
    const host = new Host();
    const reader = host.open();
    expect((await next(host, reader)).status).toBe('absent');
    host.unlisted = EMFILE;
    expect((await next(host, reader)).status).toBe('absent');
  });

  it('that is missing has no cards, and one that hangs is stalled', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open();
    await next(host, reader);
    host.unlisted = ETIMEDOUT;
    expect((await next(host, reader)).status).toBe('stalled');
    host.unlisted = ENOENT;
    expect(shown(await next(host, reader))).toEqual([]);
    host.unlisted = null;
    expect(shown(await next(host, reader))).toHaveLength(1);
  });
});

describe('integrated GPUs', () => {
  const unified = () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first, isUnified: true }).set('card1', { pdev: second });
    return host;
  };
  const holds = (host: Host, pdev: string) =>
    host.holders.byDevice.set(deviceKey({ driver: 'amdgpu', pdev }), [
      { pid: 77, clients: [{ client: {}, use: null }] },
    ]);

  it('are not shown before a process holds them, and from then on for good', async () => {
    const host = unified();
    const reader = host.open();
    expect(shown(await next(host, reader))).toEqual([[bus(second), 0, 21]]);
    const alone = new Host();
    alone.cards.set('card0', { pdev: first, isUnified: true });
    expect((await next(alone, alone.open())).status).toBe('absent');
    holds(host, second);
    const held = await next(host, reader);
    expect(held).toMatchObject({ report: { processes: [{ device: 0, pid: 77 }] } });
    host.holders.byDevice.clear();
    holds(host, first);
    const both = await next(host, reader);
    expect(shown(both)).toEqual([
      [bus(first), 0, 21],
      [bus(second), 1, 21],
    ]);
    expect(both).toMatchObject({ report: { processes: [{ device: 0, pid: 77 }] } });
    host.holders.byDevice.clear();
    expect(shown(await next(host, reader))).toHaveLength(2);
  });

  it('are shown where all are asked for', async () => {
    const host = unified();
    expect(shown(await next(host, host.open({ allGpus: true })))).toHaveLength(2);
  });
});

describe('what is judged with a card', () => {
  it('are its processes, by whichever interface, and why some may be missing', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open();
    const [one, other] = [gpuReason('noPermission'), gpuReason('timeout')];
    const computeHolders = [{ pid: 5, bytes: 99 }];
    host.compute = { byPlace: new Map([[first, computeHolders]]), incomplete: other };
    await next(host, reader);
    expect(host.contexts.at(-1)).toEqual({ atMs: host.nowMs, holders: [], computeHolders, incomplete: other });
    host.holders = { byDevice: new Map(), incomplete: one };
    host.compute = { byPlace: new Map(), incomplete: other };
    await next(host, reader);
    expect(host.contexts.at(-1)).toEqual({ atMs: host.nowMs, holders: [], computeHolders: [], incomplete: one });
  });

  it('where that goes wrong it is said, and tried again', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open();
    host.failure = new Error('w'.repeat(1030));
    expect(await next(host, reader)).toMatchObject({ status: 'failed', faults: [{ message: 'w'.repeat(1024) }] });
    host.failure = 'no error' as unknown as Error;
    expect(await next(host, reader)).toMatchObject({ status: 'failed', faults: [{ message: 'no error' }] });
  });
});

describe('closed', () => {
  it('nothing is read any more, and that it ended is no failure', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open();
    const before = await next(host, reader);
    host.nowMs += 1000;
    reader.read();
    reader.close();
    await settled();
    expect(reader.read()).toBe(before);
    expect(host.closes).toEqual(['files']);
    host.identified = [];
    expect(await next(host, reader, 60_000)).toBe(before);
  });

  it('its own look at processes ends with it', async () => {
    const host = new Host();
    host.cards.set('card0', { pdev: first });
    const reader = host.open({ drmProcesses: undefined as never });
    await next(host, reader);
    reader.close();
    expect(host.closes).toEqual(['files', 'files']);
  });
});

import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { CardReading, cardIdentity, DrmCard, reasonOfErrno } from '../../../lib/gpu/drm/card.js';
import { type KeptResult, splitDevice } from '../../../lib/io/file-reader.js';

const { EACCES, EPERM, EBUSY, ENOENT, ENOTDIR, ENODATA, ENODEV, ENXIO, EOPNOTSUPP, ETIMEDOUT, EIO } = constants.errno;

it.each([
  [ENOENT, 'notSupported', ''],
  [ENOTDIR, 'notSupported', ''],
  [EOPNOTSUPP, 'notSupported', ''],
  [524, 'notSupported', ''],
  [EACCES, 'noPermission', ''],
  [EPERM, 'notReady', 'EPERM'],
  [EBUSY, 'notReady', 'EBUSY'],
  [ENODATA, 'notReady', 'ENODATA'],
  [ENODEV, 'lost', ''],
  [ENXIO, 'lost', ''],
  [ETIMEDOUT, 'timeout', ''],
  [EIO, 'unknown', 'EIO'],
])('a file that fails with %i has no value: %s', (errno, name, text) => {
  const reason = reasonOfErrno(errno);
  expect(reason.name).toBe(name);
  expect(reason.text).toContain(text);
});

describe('what the files of a card said', () => {
  const reading = new CardReading(
    new Map<string, KeptResult>([
      ['busy', ' 7\n'],
      ['ones', '4294967295'],
      ['long', '18446744073709551615'],
      ['below', '-5'],
      ['before', 'x-5'],
      ['behind', '-5x'],
      ['refused', EACCES],
      ['gone', ENOENT],
      ['words', 'in reset'],
      ['counts', 'ue: 3\nce: x\nde: 12 '],
      ['bytes', '\u0001\u00ff'],
    ]),
    ['busy'],
  );

  it('is a text or a number, or the reason why there is none', () => {
    expect(reading.text('busy')).toEqual({ value: '7' });
    expect(reading.text('refused')).toMatchObject({ reason: { name: 'noPermission' } });
    expect(reading.text('never')).toMatchObject({ reason: { name: 'notSupported' } });
    expect(reading.number('busy')).toEqual({ value: 7 });
    expect(reading.number('busy', 2)).toEqual({ value: 3.5 });
    expect(reading.number('refused')).toMatchObject({ reason: { name: 'noPermission' } });
    expect(reading.number('below', 5, true)).toEqual({ value: -1 });
    for (const name of ['before', 'behind']) expect(reading.number(name, 1, true)).toHaveProperty('reason');
    const malformed = { name: 'other', code: 'IMPLAUSIBLE', text: 'the driver gives no number' };
    expect([reading.number('below'), reading.number('words')]).toEqual([{ reason: malformed }, { reason: malformed }]);
    const all = (text: string) => ({ reason: { ...malformed, text: `the driver says ${text}` } });
    expect(reading.number('ones')).toEqual(all('4294967295'));
    expect(reading.number('long')).toEqual(all('18446744073709551615'));
    expect([reading.lacks('never'), reading.lacks('gone'), reading.lacks('refused'), reading.lacks('busy')]).toEqual([
      ...[true, true, false, false],
    ]);
  });

  it('is a count by its label', () => {
    expect(reading.labelled('counts', 'ue')).toEqual({ value: 3 });
    expect(reading.labelled('counts', 'de')).toEqual({ value: 12 });
    expect(reading.labelled('counts', 'ce')).toMatchObject({ reason: { code: 'IMPLAUSIBLE' } });
    expect(reading.labelled('counts', 'e')).toMatchObject({ reason: { name: 'notReady' } });
    expect(reading.labelled('words', 'ue')).toMatchObject({ reason: { text: 'the driver gives no count now' } });
    expect(reading.labelled('refused', 'ue')).toMatchObject({ reason: { name: 'noPermission' } });
  });

  it('is the first number of several names; a refusal says more than a file that is missing', () => {
    expect(reading.first(['gone', 'busy', 'ones'], 7)).toEqual({ value: 1 });
    expect(reading.first(['gone', 'refused', 'words', 'never'])).toMatchObject({ reason: { name: 'noPermission' } });
    expect(reading.first(['gone', 'never'])).toMatchObject({ reason: { name: 'notSupported' } });
    expect(reading.first([])).toMatchObject({ reason: { name: 'notSupported' } });
    expect(reading.first(['below'], 1, true)).toEqual({ value: -5 });
    expect(reading.first(['below'])).toMatchObject({ reason: { code: 'IMPLAUSIBLE' } });
  });

  it('is a byte of a binary file where it has one', () => {
    expect([reading.byte('bytes', 0), reading.byte('bytes', 1), reading.byte('bytes', 2)]).toEqual([1, 255, null]);
    expect([reading.byte('refused', 0), reading.byte('never', 0)]).toEqual([null, null]);
  });

  it.each<[readonly (readonly [string, KeptResult])[], string | null]>([
    [
      [
        ['a', ENODEV],
        ['b', '5'],
      ],
      null,
    ],
    [
      [
        ['a', ENODEV],
        ['b', EACCES],
      ],
      'lost',
    ],
    [
      [
        ['a', EACCES],
        ['b', ENXIO],
      ],
      'lost',
    ],
    [
      [
        ['a', ETIMEDOUT],
        ['b', ENODEV],
      ],
      'timeout',
    ],
    [[['a', EACCES]], null],
    [[], null],
  ])('%j: it is out of reach by %s', (results, name) => {
    expect(new CardReading(new Map(results), ['a', 'b']).unreachable?.name ?? null).toBe(name);
  });
});

describe('which card it is', () => {
  const of = (...lines: readonly string[]) => cardIdentity(lines.join('\n'));

  it('is said by its uevent, in small letters', () => {
    expect(of('DRIVER=amdgpu', 'PCI_ID=1002:744C', 'PCI_SLOT_NAME=0000:0A:00.0', 'MODALIAS=a=b', 'x')).toEqual({
      ...{ driver: 'amdgpu', pdev: '0000:0a:00.0', pciId: '1002:744c' },
    });
    expect(of('PCI_SLOT_NAME=0000:0a:00.0')).toEqual({ driver: '', pdev: '0000:0a:00.0', pciId: '' });
  });

  it.each(['x1002:744c', '1002:744cx', '1002', ''])('an id of %j is none', (id) => {
    expect(of('PCI_SLOT_NAME=0000:0a:00.0', `PCI_ID=${id}`)?.pciId).toBe('');
  });

  it('is no card without a place on PCI', () => {
    expect([of('DRIVER=vkms'), of('PCI_SLOT_NAME=card0'), of('')]).toEqual([null, null, null]);
  });
});

describe('reading a card in passes', () => {
  const identity = { driver: 'amdgpu', pdev: '0000:03:00.0', pciId: '' };
  const directory = '/sys/class/drm/card0';
  const names = { fast: ['busy', 'vram'], once: ['vendor'], slow: ['errors'], hwmon: ['temp'], slowHwmon: ['label'] };

  /** A card whose files are texts, or fail; a name below `hwmon/` is of the sensors. */
  class Scene {
    readonly card: DrmCard;
    files: Record<string, KeptResult> = {
      busy: '1',
      vram: '2',
      vendor: '3',
      errors: '4',
      'hwmon2/temp': '5',
      'hwmon2/label': '6',
    };
    entries: readonly string[] | number = ['x', 'hwmon5', 'hwmon2', 'hwmonx'];
    uevent: KeptResult = 'DRIVER=amdgpu';
    status = 'active';
    recoveries = 0;

    constructor(place = 0) {
      this.card = new DrmCard(directory, identity, names, place);
    }

    result(path: string): KeptResult {
      if (path === `${directory}/device/uevent`) return this.uevent;
      const name = path.replace(`${directory}/device/hwmon/`, '').replace(`${directory}/`, '');
      return this.files[name] ?? ENOENT;
    }

    /** One pass: what was asked beside the status, and what is known. */
    async pass(answer?: number) {
      const [status, ...paths] = splitDevice(this.card.begin(this.recoveries));
      expect(status).toBe(`${directory}/device/power/runtime_status`);
      const asleep = this.status === 'suspended';
      const given = answer ?? (asleep ? [this.status] : [this.status, ...paths.map((path) => this.result(path))]);
      const reading = this.card.end(given);
      let listed = 0;
      await this.card.settle({
        readKept: async (all: readonly string[]) => all.map((path) => this.result(path)),
        list: async (directories: readonly string[]) => {
          listed += 1;
          const { entries } = this;
          return directories.map((each) => {
            if (each !== `${directory}/device/hwmon`) return ENOENT;
            return typeof entries === 'number' ? entries : entries.map((name) => ({ name, isDirectory: true }));
          });
        },
      } as never);
      const asked = paths.map((path) => path.replace(`${directory}/`, '').replace('device/hwmon/', ''));
      return { asked, reading, listed };
    }
  }

  const known = (reading: CardReading | null, ...of: readonly string[]) =>
    of.map((name) => {
      const read = reading?.text(name);
      return read !== undefined && 'value' in read ? read.value : (read?.reason.name ?? null);
    });

  it('reads all at first, then what changes, and at each tenth pass what changes rarely', async () => {
    const scene = new Scene();
    const first = await scene.pass();
    expect(first.asked).toEqual(['busy', 'vram', 'vendor', 'errors']);
    expect(known(first.reading, 'busy', 'vendor', 'errors', 'hwmon/temp', 'hwmon/label')).toEqual([
      '1',
      '3',
      '4',
      '5',
      '6',
    ]);
    scene.files = { ...scene.files, busy: '9', vendor: 'x', errors: '7', 'hwmon2/temp': '8', 'hwmon2/label': 'y' };
    for (let i = 1; i < 10; i += 1) {
      const { asked, reading, listed } = await scene.pass();
      expect([i, asked, listed]).toEqual([i, ['busy', 'vram', 'hwmon2/temp'], 0]);
      expect(known(reading, 'busy', 'vendor', 'errors', 'hwmon/temp', 'hwmon/label')).toEqual([
        '9',
        '3',
        '4',
        '8',
        '6',
      ]);
    }
    const tenth = await scene.pass();
    expect(tenth.asked).toEqual(['busy', 'vram', 'errors', 'hwmon2/temp', 'hwmon2/label']);
    expect(known(tenth.reading, 'vendor', 'errors', 'hwmon/label')).toEqual(['3', '7', 'y']);
    expect((await scene.pass()).asked).toEqual(['busy', 'vram', 'hwmon2/temp']);
  });

  it('of several cards not all read what changes rarely in one pass', async () => {
    const slowOf = async (place: number) => {
      const scene = new Scene(place);
      const slow: number[] = [];
      for (let i = 0; i < 20; i += 1) if ((await scene.pass()).asked.includes('errors')) slow.push(i);
      return slow;
    };
    expect([await slowOf(0), await slowOf(3), await slowOf(13)]).toEqual([
      [0, 10],
      [0, 7, 17],
      [0, 7, 17],
    ]);
  });

  it('is asked for the same as long as nothing else is due', async () => {
    const scene = new Scene();
    await scene.pass();
    const device = scene.card.begin(0);
    expect(scene.card.begin(0)).toBe(device);
    await scene.pass();
    expect(scene.card.begin(0)).toBe(device);
    expect(scene.card.isUnsettled).toBe(false);
  });

  it('does not wake one that sleeps, and says nothing of it', async () => {
    const scene = new Scene();
    scene.status = 'suspended';
    for (let i = 0; i < 12; i += 1) expect((await scene.pass()).reading).toBeNull();
    scene.status = 'active';
    expect((await scene.pass()).asked).toEqual(['busy', 'vram', 'vendor', 'errors']);
  });

  it('does not ask for a file that is missing before the tenth pass, and again for one that fails', async () => {
    const scene = new Scene();
    scene.files = { ...scene.files, vram: ENOENT, errors: EBUSY };
    expect(known((await scene.pass()).reading, 'vram', 'errors')).toEqual(['notSupported', 'notReady']);
    scene.uevent = ENOENT;
    const again = await scene.pass();
    expect([again.asked, again.listed]).toEqual([['busy', 'errors', 'hwmon2/temp'], 0]);
    expect(known(again.reading, 'busy')).toEqual(['1']);
    scene.files = { ...scene.files, vram: '2', errors: '4' };
    expect(known((await scene.pass()).reading, 'vram', 'errors')).toEqual(['notSupported', '4']);
    for (let i = 3; i < 10; i += 1) expect((await scene.pass()).asked).toEqual(['busy', 'hwmon2/temp']);
    expect(known((await scene.pass()).reading, 'vram')).toEqual(['2']);
  });

  it('asks for one file also where all are missing, which shows that the card is gone', async () => {
    const scene = new Scene();
    await scene.pass();
    scene.files = {};
    const pulled = await scene.pass();
    expect([pulled.reading?.unreachable, known(pulled.reading, 'busy')]).toEqual([null, ['notSupported']]);
    expect((await scene.pass()).asked).toContain('busy');
    for (const uevent of [ENOENT, ENODEV]) {
      scene.uevent = uevent;
      expect((await scene.pass()).reading?.unreachable?.name).toBe('lost');
    }
  });

  it('finds its sensors anew where all of them are missing, and looks for some at each tenth pass', async () => {
    const scene = new Scene();
    await scene.pass();
    const { 'hwmon2/temp': temp, 'hwmon2/label': label, ...others } = scene.files;
    scene.files = { ...others, 'hwmon7/temp': temp!, 'hwmon7/label': label! };
    scene.entries = ['hwmon7'];
    const moved = await scene.pass();
    expect([moved.listed, known(moved.reading, 'hwmon/temp')]).toEqual([1, ['5']]);
    expect((await scene.pass()).asked).toEqual(['busy', 'vram', 'hwmon7/temp']);
    const bare = new Scene();
    bare.entries = ENOENT;
    const first = await bare.pass();
    expect([first.listed, known(first.reading, 'hwmon/temp')]).toEqual([1, ['notSupported']]);
    for (let i = 1; i < 10; i += 1) expect((await bare.pass()).listed).toBe(0);
    bare.entries = ['hwmon2'];
    expect(known((await bare.pass()).reading, 'hwmon/temp')).toEqual(['5']);
  });

  it('has the sensors of the first directory that is one', async () => {
    const scene = new Scene();
    scene.entries = ['a', 'ahwmon1', 'hwmon10x', 'hwmon12'];
    scene.files = { ...scene.files, 'hwmon12/temp': '9' };
    const given = splitDevice(scene.card.begin(0));
    expect(scene.card.isUnsettled).toBe(false);
    scene.card.end(given.map((path) => scene.result(path)));
    expect(scene.card.isUnsettled).toBe(true);
    expect(known((await scene.pass()).reading, 'hwmon/temp')).toEqual(['notSupported']);
    const found = new Scene();
    Object.assign(found, { entries: scene.entries, files: scene.files });
    expect(known((await found.pass()).reading, 'hwmon/temp', 'hwmon/label')).toEqual(['9', 'notSupported']);
  });

  it('looks for its sensors no more once they are found, though a file fails', async () => {
    const scene = new Scene();
    scene.files = { ...scene.files, errors: EBUSY, 'hwmon2/label': ENOENT };
    const listed: number[] = [];
    for (let i = 0; i < 12; i += 1) listed.push((await scene.pass()).listed);
    expect(listed).toEqual([1, ...Array(11).fill(0)]);
  });

  it('that gives no answer at all is out of reach, and one whose files all fail says how', async () => {
    const scene = new Scene();
    await scene.pass();
    const hung = await scene.pass(ETIMEDOUT);
    expect(hung.reading?.unreachable?.name).toBe('timeout');
    expect(known(hung.reading, 'busy', 'vram')).toEqual(['timeout', 'notSupported']);
    const failed = await scene.pass(ENODEV);
    expect([failed.reading?.unreachable?.name, known(failed.reading, 'vram')]).toEqual(['lost', ['lost']]);
    expect(known((await scene.pass()).reading, 'busy', 'vram')).toEqual(['1', '2']);
  });

  it('leaves a file that hangs out, until some read returns; where the first one does, all hang', async () => {
    const scene = new Scene();
    await scene.pass();
    scene.card.begin(0);
    expect([scene.card.hang(null), scene.card.hang(0), scene.card.hang(1), scene.card.hang(9)]).toEqual([
      ...[false, false, false, false],
    ]);
    expect(scene.card.hang(2)).toBe(true);
    const without = await scene.pass();
    expect([without.asked, known(without.reading, 'busy', 'vram')]).toEqual([
      ['busy', 'hwmon2/temp'],
      ['1', 'timeout'],
    ]);
    expect((await scene.pass()).asked).toEqual(['busy', 'hwmon2/temp']);
    scene.recoveries = 1;
    const again = await scene.pass();
    expect([again.asked.includes('vram'), known(again.reading, 'vram')]).toEqual([true, ['2']]);
  });
});

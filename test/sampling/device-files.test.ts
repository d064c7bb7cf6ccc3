import { describe, expect, it } from 'vitest';
import { DeviceFiles } from '../../lib/sampling/device-files.js';
import { ManualClock } from '../harness/manual-clock.js';
import { MemoryTree } from '../io/fake-files.js';

const mapping = (path: string) => `7f6dd0a00000-7f6dd0a10000 rw-s 00000000 00:06 512                        ${path}\n`;

class World {
  readonly clock = new ManualClock();
  readonly tree = new MemoryTree();
  readonly #files: DeviceFiles;
  known: readonly unknown[] = [];
  processes = [
    { pid: 9, startTicks: 90 },
    { pid: 10, startTicks: 100 },
  ];

  constructor() {
    for (const name of ['null', 'nvidiactl', 'nvidia0']) this.tree.write(`/dev/${name}`, '');
    this.#files = new DeviceFiles({
      procRoot: '/proc',
      clock: this.clock,
      openFiles: () => this.tree.reader(this.clock),
    });
  }

  close(): void {
    this.#files.close();
  }

  set(pid: number, open: readonly string[], mapped: readonly string[]): void {
    this.tree.links.set(`/proc/${pid}/fd`, ['socket:[7]', '/dev/null', ...open]);
    this.tree.write(`/proc/${pid}/maps`, mapped.map(mapping).join(''));
  }

  /** What is held some time later, by the passes of that time. */
  async after(ms: number, stepMs = 1000) {
    for (let past = 0; past <= ms; past += stepMs) {
      this.#files.update(this.processes);
      await this.clock.advance(stepMs);
    }
    const { cards, open, mapped } = this.#files.held();
    this.known = this.#files.faults();
    return { cards: [...cards], open: [...open], mapped: [...mapped], faults: this.#files.faults().length };
  }
}

const none = { open: [], mapped: [], faults: 0 };
const card = '/dev/nvidia0';
const other = '/dev/nvidia1';

describe('device files that processes hold', () => {
  it('are those of cards; mappings are read only of who has one open', async () => {
    const world = new World();
    world.set(9, [], [card]);
    world.set(10, ['/dev/nvidiactl', card], ['/dev/nvidiactl', card, card]);
    expect(await world.after(0)).toEqual({ cards: [card], open: [card], mapped: [card], faults: 0 });
    expect(world.tree.asked()).not.toContain('/proc/9/maps');
  });

  it('that are opened or closed later are seen within a minute or so', async () => {
    const world = new World();
    world.set(10, [], []);
    expect(await world.after(20_000)).toMatchObject(none);
    world.set(10, [card], [card]);
    expect(await world.after(70_000)).toMatchObject({ open: [card], mapped: [card] });
    world.set(10, [], [card]);
    expect(await world.after(70_000)).toMatchObject(none);
  });

  it('end with their process, and another with its pid holds nothing yet', async () => {
    const world = new World();
    world.set(10, [card], [card]);
    await world.after(0);
    world.set(10, [], []);
    world.processes = [{ pid: 10, startTicks: 777 }];
    expect(await world.after(0)).toMatchObject(none);
    world.processes = [];
    const asked = world.tree.asked().length;
    expect(await world.after(120_000)).toMatchObject(none);
    expect(world.tree.asked()).toHaveLength(asked);
  });

  it('of a process that may not be looked at are none', async () => {
    const world = new World();
    world.tree.write('/proc/10/maps', mapping(card));
    expect(await world.after(0)).toMatchObject(none);
  });

  it('of two processes are those of both', async () => {
    const world = new World();
    world.tree.write('/dev/nvidia1', '');
    world.set(9, [card], [card]);
    world.set(10, [other, '/dev/nvidiactl'], [other]);
    expect(await world.after(0)).toEqual({
      cards: [card, other],
      open: [card, other],
      mapped: [card, other],
      faults: 0,
    });
  });

  it('are looked for at once of a process that is new, of others each minute, and of none not at all', async () => {
    const world = new World();
    const looks = (pid: number) => world.tree.asked().filter((path) => path === `/proc/${pid}/fd`).length;
    const [first, second] = world.processes as [(typeof world.processes)[0], (typeof world.processes)[0]];
    world.processes = [];
    await world.after(120_000);
    expect(world.tree.asked()).toEqual([]);
    world.processes = [first];
    await world.after(0);
    world.processes = [first, second];
    await world.after(0);
    expect(looks(10)).toBe(1);
    // They have settled.
    await world.after(20_000);
    const settled = looks(9) + looks(10);
    await world.after(20_000);
    expect(looks(9) + looks(10)).toBe(settled);
    for (let minute = 1; minute <= 3; minute++) {
      await world.after(59_000);
      expect(looks(9) + looks(10)).toBe(settled + 2 * minute);
    }
  });

  it('nor is a process due before five seconds have passed', async () => {
    const world = new World();
    await world.after(0);
    const before = world.tree.asked().length;
    await world.after(3998);
    expect(world.tree.asked()).toHaveLength(before);
    await world.after(0);
    expect(world.tree.asked().length).toBeGreaterThan(before);
  });

  it('of a process that may no longer be looked at are none any more, and those of others stay', async () => {
    const world = new World();
    world.set(9, [card], [card]);
    world.set(10, [other], [other]);
    expect(await world.after(0)).toMatchObject({ open: [card, other], mapped: [card, other] });
    world.tree.links.delete('/proc/10/fd');
    expect(await world.after(70_000)).toMatchObject({ open: [card], mapped: [card] });
    world.tree.files.delete('/proc/9/maps');
    expect(await world.after(70_000)).toMatchObject({ open: [card], mapped: [] });
  });

  it('of the hive itself are none where its /dev may not be listed, and stay what they were where that hangs', async () => {
    const world = new World();
    expect((await world.after(0)).cards).toEqual([card]);
    world.tree.hangs.add('/dev');
    expect((await world.after(120_000)).cards).toEqual([card]);
    world.tree.hangs.release('/dev');
    world.tree.directories.delete('/dev');
    expect((await world.after(120_000)).cards).toEqual([]);
  });

  it.each(['fd', 'maps'])(
    'a process that ends while its %s is read holds nothing, nor does the next with its pid',
    async (name) => {
      const world = new World();
      world.set(9, [card], [card]);
      world.set(10, [other], [other]);
      world.tree.hangs.add(`/proc/10/${name}`);
      await world.after(0, 100);
      world.processes = world.processes.filter(({ pid }) => pid !== 10);
      await world.after(0, 100);
      world.tree.hangs.release(`/proc/10/${name}`);
      expect(await world.after(0, 100)).toMatchObject({ open: [card], mapped: [card] });
    },
  );

  it('mappings that hang leave those that were known', async () => {
    const world = new World();
    world.set(10, [card], [card]);
    await world.after(0);
    world.tree.hangs.add('/proc/10/maps');
    expect(await world.after(90_000)).toMatchObject({ open: [card], mapped: [card], faults: 1 });
  });

  it('are no more looked for once it is closed', async () => {
    const world = new World();
    await world.after(0);
    world.close();
    expect(world.tree.readers.map(({ closed }) => closed)).toEqual([true]);
  });

  it('a list of open files that hangs leaves what was known, and says so', async () => {
    const world = new World();
    world.set(10, [card], [card]);
    await world.after(0);
    world.tree.hangs.add('/proc/10/fd');
    expect(await world.after(90_000)).toMatchObject({ open: [card], mapped: [card], faults: 1 });
    expect(world.known).toEqual([
      expect.objectContaining({ source: 'proc', code: 'PROC_STALLED', field: 'workers.gpus' }),
    ]);
  });

  it('a read that hangs is a fault and holds up no other process', async () => {
    const world = new World();
    world.set(9, [card], [card]);
    world.set(10, [card], [card]);
    world.tree.hangs.add('/proc/9/maps');
    expect(await world.after(30_000)).toMatchObject({ open: [card], mapped: [card], faults: 1 });
    world.tree.hangs.release('/proc/9/maps');
    expect(await world.after(70_000)).toMatchObject({ open: [card], mapped: [card], faults: 0 });
  });
});

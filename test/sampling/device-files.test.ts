import { describe, expect, it } from 'vitest';
import { DeviceFiles } from '../../lib/sampling/device-files.js';
import { ManualClock } from '../harness/manual-clock.js';
import { MemoryTree } from '../io/fake-files.js';

const mapping = (path: string) => `7f6dd0a00000-7f6dd0a10000 rw-s 00000000 00:06 512                        ${path}\n`;

class World {
  readonly clock = new ManualClock();
  readonly tree = new MemoryTree();
  readonly #files: DeviceFiles;
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

  set(pid: number, open: readonly string[], mapped: readonly string[]): void {
    this.tree.links.set(`/proc/${pid}/fd`, ['socket:[7]', '/dev/null', ...open]);
    this.tree.write(`/proc/${pid}/maps`, mapped.map(mapping).join(''));
  }

  /** What is held some time later, by the passes of that time. */
  async after(ms: number) {
    for (let past = 0; past <= ms; past += 1000) {
      this.#files.update(this.processes);
      await this.clock.advance(1000);
    }
    const { cards, open, mapped } = this.#files.held();
    return { cards: [...cards], open: [...open], mapped: [...mapped], faults: this.#files.faults().length };
  }
}

const none = { open: [], mapped: [], faults: 0 };
const card = '/dev/nvidia0';

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

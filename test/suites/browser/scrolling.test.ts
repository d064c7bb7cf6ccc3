/** Rows of a large fleet are neither drawn nor compared while one scrolls, and show what is new all the same. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { Queen } from '../../../lib/daemon/queen.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { useBrowser } from './support.js';

const use = useBrowser();
const key = 'node-001/llm/first';

/** More workers than are drawn while one scrolls; `report` sets the CPU of one of them, in cores. */
async function largeFleet(queen: Queen): Promise<(cores: number) => void> {
  const hives = Array.from(
    { length: 40 },
    (_, index) =>
      new SimulatedHive({ id: `node-${String(index + 1).padStart(3, '0')}`, seed: index, workers: 9, gpus: 8 }),
  );
  use.defer(() => Promise.all(hives.map((hive) => hive.close())));
  for (const hive of hives.slice(1)) queen.registry.heartbeat(hive.nextHeartbeat());
  const [first] = hives as [SimulatedHive];
  return (cores) => {
    const said = first.nextHeartbeat();
    const [worker, ...others] = said.workers;
    const changed = { ...worker!, id: 'llm/first', group: 'llm', instance: 'first', cpuPercent: cores * 100 };
    const outcome = queen.registry.heartbeat({ ...said, workers: [changed, ...others] });
    if (!outcome.accepted) throw new Error(outcome.message);
  };
}

/** Scrolls to and fro, a little each time that it is drawn, until `endScroll`: the rows in view stay in view. */
const scroll = (page: Page) =>
  page.evaluate(() => {
    const main = document.querySelector('main')!;
    const state = window as unknown as { scrolls: boolean };
    state.scrolls = true;
    requestAnimationFrame(function step() {
      main.scrollTop = main.scrollTop === 40 ? 41 : 40;
      if (state.scrolls) requestAnimationFrame(step);
    });
  });
const endScroll = (page: Page) =>
  page.evaluate(() => {
    (window as unknown as { scrolls: boolean }).scrolls = false;
  });

describe('rows in view', () => {
  it('what changed while one scrolls is shown when that ends, and where it does not end all the same', async () => {
    const queen = await use.queen();
    const report = await largeFleet(queen);
    report(1);
    const page = await use.open(`${queen.url}/?view=workers&q=node-00`);
    const cpu = page.locator(`.worker-row[data-key="${key}"] [data-label=Cores] .value`);
    await expect.poll(() => cpu.innerText(), { timeout: 20_000 }).toMatch(/^1\.0/);
    await scroll(page);
    report(7);
    await endScroll(page);
    await expect.poll(() => cpu.innerText(), { timeout: 20_000 }).toMatch(/^7\.0/);
    // No end of it: the rows hold for a while and no longer.
    await scroll(page);
    report(3);
    await expect.poll(() => cpu.innerText(), { timeout: 20_000 }).toMatch(/^3\.0/);
    expect(await page.evaluate(() => (window as unknown as { scrolls: boolean }).scrolls)).toBe(true);
    await endScroll(page);
  }, 90_000);
});

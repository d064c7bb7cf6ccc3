/** Hosts, GPUs and models as lists: chosen columns, groups, order that holds still, and a map of all GPUs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Demo, startDemo } from '../../harness/demo-fleet.js';
import { useBrowser } from './support.js';

const use = useBrowser();

/** Runs in the page: the colours of the picture where a marked cell is, each once; '' where nothing is painted. */
function inkOfCell(mark: Element): string {
  const canvas = mark.closest('.heat-block')!.querySelector('canvas')!;
  const [from, cell] = [canvas.getBoundingClientRect(), mark.getBoundingClientRect()];
  const scale = canvas.width / from.width;
  const place = [cell.left - from.left, cell.top - from.top, cell.width, cell.height].map((px) => px * scale);
  const { data } = canvas.getContext('2d')!.getImageData(...(place as [number, number, number, number]));
  const inks = new Set<string>();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] !== 0) inks.add([...data.slice(at, at + 4)].join(' '));
  return [...inks].sort().join(', ');
}

describe('a dense fleet', () => {
  let demo: Demo;
  beforeAll(async () => {
    demo = await startDemo({ events: false, historyMs: 300_000 });
  });
  afterAll(() => demo.close());

  it('one cell a GPU is walked through by keys, says itself, and opens', async () => {
    const page = await use.open(`${demo.url}/?as=heat&group=gpu`);
    await page.waitForSelector('.heat-said');
    const said = await page.locator('.heat-said').evaluateAll((hosts) => hosts.map((host) => host.ariaLabel ?? ''));
    expect(said.flatMap((text) => text.split(', '))).toHaveLength(40);
    expect(said.join(', ')).toMatch(/GPU 0 \d+ %, GPU 1 stalled/);
    const map = page.locator('.heat-map');
    await map.focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    const marked = page.locator('.heat-map [aria-selected=true]');
    expect(await marked.getAttribute('id')).toBe(await map.getAttribute('aria-activedescendant'));
    expect(await marked.getAttribute('aria-label')).toMatch(/^GPU 1 of boreas-01: stalled, utilization unknown/);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.panel h2:has-text("GPU 1")');
    // The same cell by the mouse: it is named, and opens.
    await page.keyboard.press('Escape');
    await page.waitForSelector('.panel', { state: 'detached' });
    const { x, y, width, height } = (await marked.boundingBox())!;
    await page.mouse.move(x + width / 2, y + height / 2);
    await page.waitForSelector('.heat-cells[title^="GPU 1 of boreas-01: stalled"]');
    await page.mouse.click(x + width / 2, y + height / 2);
    await page.waitForSelector('.panel h2:has-text("GPU 1")');
    // Each cell is painted, and each theme in its own colours.
    const painted = () => marked.evaluate(inkOfCell);
    const light = await painted();
    expect(light).not.toBe('');
    await page.evaluate(() => document.querySelector<HTMLElement>('.icon[aria-label^=Theme]')!.click());
    await page.evaluate(() => document.querySelector<HTMLElement>('.icon[aria-label^=Theme]')!.click());
    await expect.poll(painted).not.toBe(light);
    await page.locator('select').nth(1).selectOption('temperature');
    await page.waitForSelector('.heat-legend:has-text("80 °C and more")');
  });

  it('columns that are chosen and the order last a reload, in each list its own', async () => {
    const page = await use.open(`${demo.url}/?view=gpus`);
    await page.waitForSelector('.gpu-table-row');
    await page.locator('.column-choice summary').click();
    await page.getByLabel('Temp', { exact: true }).click();
    await expect.poll(() => page.locator('.metric-cell[data-label=Temp]').count()).toBe(0);
    await page.locator('.data-head button', { hasText: 'Power' }).click();
    await page.goto(`${demo.url}/?view=gpus`);
    await page.waitForSelector('.gpu-table-row');
    expect(await page.locator('.metric-cell[data-label=Temp]').count()).toBe(0);
    expect(await page.locator('[role=columnheader][aria-sort=descending]').innerText()).toContain('Power');
    const watts = (await page.locator('.metric-cell[data-label=Power]').allInnerTexts()).map(Number.parseFloat);
    expect(watts[0]).toBeGreaterThan(watts.at(-1) ?? Number.NaN);
    await page.goto(`${demo.url}/?as=table`);
    await page.waitForSelector('.hive-row');
    expect(await page.locator('.metric-cell[data-label=Power]').count()).toBe(12);
    expect(await page.locator('[aria-sort=descending]').count()).toBe(0);
  });

  it('rows hold still while a mouse is over them, and from one Space to the next', async () => {
    const page = await use.open(`${demo.url}/?view=workers&sort=cpu&dir=desc`);
    await page.waitForSelector('.worker-row');
    const order = async () =>
      page.locator('.worker-row').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-key')));
    await page.mouse.move(2, 2);
    const moves = async () => {
      const before = await order();
      await expect.poll(order, { timeout: 20_000 }).not.toEqual(before);
    };
    /** Many heartbeats of each hive, in which the order changed elsewhere: another page says so. */
    const other = await use.open(`${demo.url}/?view=workers&sort=cpu&dir=desc`);
    await other.waitForSelector('.worker-row');
    const otherOrder = async () =>
      other.locator('.worker-row').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-key')));
    const staysWhileOthersMove = async () => {
      const [here, there] = [await order(), await otherOrder()];
      await expect.poll(otherOrder, { timeout: 20_000 }).not.toEqual(there);
      expect(await order()).toEqual(here);
    };
    await moves();
    await page.locator('.worker-row').first().hover();
    await staysWhileOthersMove();
    await page.mouse.move(2, 2);
    await moves();
    await page.keyboard.press(' ');
    await page.waitForSelector('.still');
    await staysWhileOthersMove();
    // Something else that is asked for is answered all the same.
    await page.locator('.filter').fill('atlas-01');
    await expect.poll(() => page.locator('.worker-row').count()).toBe(9);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.keyboard.press(' ');
    await page.waitForSelector('.still', { state: 'detached' });
    await moves();
  });

  it('a model leads to its workers', async () => {
    const page = await use.open(`${demo.url}/?view=models`);
    const row = page.locator('.model-row', { hasText: 'Qwen/Qwen3-32B' });
    await row.waitFor();
    const replicas = await row.locator('[data-label=Replicas]').innerText();
    await row.click();
    await page.waitForSelector('.model-load');
    expect(await page.locator('.count').innerText()).toMatch(new RegExp(`^${replicas} of`));
  });
});

/** Several workers or GPUs in one chart, and what the whole fleet does. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { desktop, phone } from '../../harness/browser.js';
import { type Demo, startDemo } from '../../harness/demo-fleet.js';
import { seriousFaults, useBrowser } from './support.js';

const use = useBrowser();

describe('one chart of several', () => {
  let demo: Demo;
  beforeAll(async () => {
    demo = await startDemo({ events: false, historyMs: 600_000 });
  });
  afterAll(() => demo.close());

  const keys = () => demo.queen.registry.workers({ hive: 'atlas-01' }).items.map(({ key }) => key);

  it('is added to from the details, named line by line, and kept in the address', async () => {
    const [first, second] = keys();
    const page = await use.open(`${demo.url}/?view=workers&show=worker:${first}`);
    await page.locator('.panel button', { hasText: 'Compare' }).click();
    await page.waitForSelector('.compare .u-over');
    await page.goto(`${page.url().replace(/show=[^&]*/, `show=worker:${second}`)}`);
    await page.locator('.panel button', { hasText: 'Compare' }).click();
    await expect.poll(() => page.locator('.compared li').count()).toBe(2);
    expect(await page.locator('.compared').innerText()).toContain(first);
    // The history of each is there: a line that is known from before this page was opened.
    await expect
      .poll(() => page.locator('.compare .plot').getAttribute('aria-label'), { timeout: 15_000 })
      .toMatch(/^GPU utilization: from/);
    expect(new URL(page.url()).searchParams.get('compare')).toBe(`worker:${first},worker:${second}`);
    await page.locator('.compare select').selectOption('memory');
    await expect.poll(() => page.locator('.compare .plot').getAttribute('aria-label')).toMatch(/^Memory: from .* GiB/);
    expect(await seriousFaults(page)).toEqual([]);
    await page.locator('.compared .icon').first().click();
    await expect.poll(() => page.locator('.compared li').count()).toBe(1);
    await page.locator('.compare .link', { hasText: 'Clear the comparison' }).click();
    await page.waitForSelector('.compare', { state: 'detached' });
  });

  it('has figures that all of it can have: watts of GPUs, cores of workers', async () => {
    const gpus = demo.queen.registry.hive('atlas-01')!.gpus.slice(0, 6);
    const compare = gpus.map(({ uuid }) => `gpu:atlas-01/${uuid}`).join();
    for (const context of [desktop, { ...phone, colorScheme: 'dark' as const }]) {
      const page = await use.open(`${demo.url}/?view=gpus&figure=power&compare=${compare}`, context);
      await page.waitForSelector('.compare .u-over');
      await expect.poll(() => page.locator('.compared').innerText()).toMatch(/atlas-01 GPU 5\s*\d+ W/);
      const options = await page.locator('.compare option').allInnerTexts();
      expect(options).toContain('Temperature');
      expect(options).not.toContain('Cores');
      expect(await seriousFaults(page)).toEqual([]);
    }
  });

  it('says what the fleet does now and before: GPUs, watts and tokens', async () => {
    for (const context of [{ ...desktop, colorScheme: 'dark' as const }, phone]) {
      const page = await use.open(demo.url, context);
      await page.waitForSelector('.headline .spark');
      expect(await page.locator('.headlines').innerText()).toMatch(
        /GPU utilization\s+\d+ %\s+GPU power\s+[\d.]+ kW\s+Tokens\/s\s+[\d,]+/,
      );
      await page.locator('.headlines').click();
      await page.waitForSelector('.fleet-charts .u-over');
      await expect
        .poll(() => page.locator('.fleet-charts .plot').nth(1).getAttribute('aria-label'))
        .toMatch(/^GPU power: from .* kW to .* kW/);
      expect(await seriousFaults(page)).toEqual([]);
    }
    const history = await (await fetch(`${demo.url}/v1/fleet/history`)).json();
    expect(Object.keys(history.series)).toEqual([
      'gpuUtilizationPercent',
      'powerWatts',
      'generationTokensPerSecond',
      'workers',
    ]);
    expect(history.series.workers.length).toBeGreaterThan(30);
  });
});

import { describe, expect, it } from 'vitest';
import { phone } from '../../harness/browser.js';
import { heartbeatOf, servingOf, workerOf } from '../../harness/heartbeats.js';
import { seriousFaults, useBrowser } from './support.js';

const use = useBrowser();
const model = 'Qwen/Qwen3-8B';

/** Three workers of one model, one of which does not say its load. */
async function queenWithLoad() {
  const queen = await use.queen();
  const figures = [
    servingOf({ running: 4, waiting: 0, kvPercent: 20, generationTokensPerSecond: 90 }),
    servingOf({ running: 12, waiting: 7, kvPercent: 95, generationTokensPerSecond: 1200 }),
    null,
  ];
  const workers = figures.map((serving, i) => {
    const load = serving === null ? { serving, servingReason: 'metricsOff' as const } : { serving };
    return workerOf(`llm/${i}`, { model, models: [model], ...load });
  });
  queen.registry.heartbeat(heartbeatOf('a', 1, { workers, gpus: [], events: [], intervalMs: 60_000 }));
  return queen;
}

describe('the load of engines on the page', () => {
  it('has columns that can be sorted, and says why a figure is not known', async () => {
    const { url } = await queenWithLoad();
    const page = await use.open(`${url}/?view=workers`);
    await page.getByRole('button', { name: 'Load', exact: true }).click();
    const cells = page.locator('.metric-cell[data-label="Tokens/s"]');
    await page.locator('.worker-head button', { hasText: 'Tokens/s' }).click();
    await expect.poll(() => cells.allInnerTexts()).toEqual(['1,200', '90', expect.stringContaining('—')]);
    for (const label of ['Running', 'Waiting', 'KV cache']) {
      await page.locator('.worker-head button', { hasText: label }).click();
      await expect.poll(() => page.locator('.worker-row .who strong').first().innerText()).toBe('llm/1');
    }
    expect(await cells.nth(2).getAttribute('title')).toContain('its metrics are switched off');
    expect(new URL(page.url()).searchParams.get('columns')).toBe('load');
  });

  it('of a model is summed over its workers, each beside the others', async () => {
    const { url } = await queenWithLoad();
    const page = await use.open(`${url}/?view=workers&columns=load&model=${model}`);
    const panel = page.getByRole('region', { name: `Load of ${model}` });
    await panel.waitFor();
    expect((await panel.locator('dl').innerText()).replace(/\s+/g, ' ')).toBe(
      'running 16 waiting 7 fullest KV cache 95 % generated 1,290 tokens/s',
    );
    expect(await panel.locator('li strong').allInnerTexts()).toEqual(['llm/1', 'llm/0']);
    expect(await panel.innerText()).toContain('2 of 3 workers say their load');
    expect(await seriousFaults(page)).toEqual([]);
    await panel.locator('li button').first().click();
    await page.locator('.panel .u-over').first().waitFor();
    expect(await page.locator('.panel .chart').allInnerTexts()).toEqual(
      expect.arrayContaining([expect.stringContaining('Waiting requests')]),
    );
  });

  it('fits a phone', async () => {
    const { url } = await queenWithLoad();
    const page = await use.open(`${url}/?view=workers&columns=load&model=${model}`, phone);
    await page.locator('.model-load').waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
    expect(await seriousFaults(page)).toEqual([]);
  });
});

/** What the page says of a hive that is not heard: what it said last is old, never now. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { desktop } from '../../harness/browser.js';
import { seriousFaults, useBrowser } from './support.js';

const use = useBrowser();
const serial = { id: 'serial', seed: 5, workers: 3, gpus: ['h100', 'a100'] } as const;
const offlineWithin = { timeout: 30_000 };

/** What the first chart says of its right edge, where it is now. */
async function tipOfNow(page: Page): Promise<string> {
  const plot = page.locator('.panel .u-over').first();
  const box = (await plot.boundingBox())!;
  await page.mouse.move(box.x + 20, box.y + box.height / 2);
  await page.mouse.move(box.x + box.width - 1, box.y + box.height / 2);
  return (await page.locator('.panel .tip').first().textContent()) ?? '';
}

const figures = (page: Page) => page.locator('.panel .chart figcaption strong').allInnerTexts();

describe('a hive that is not heard', () => {
  for (const [kind, opening] of [
    ['hive', '.card .name'],
    ['GPU', '.card .gpu-row'],
    ['worker', '.worker-row'],
  ] as const) {
    it(`its charts have a gap and no figure of now: ${kind}`, async () => {
      const queen = await use.queen();
      const fleet = await use.fleet(queen, [serial]);
      const page = await use.open(`${queen.url}/?view=${kind === 'worker' ? 'workers' : 'hives'}`);
      await page.locator(opening).first().click();
      await page.waitForSelector('.panel .u-over');
      await expect.poll(() => tipOfNow(page)).toMatch(/: \d[^:]*$/);
      expect((await figures(page))[0]).toMatch(/^\d/);
      fleet.hive('serial').mute();
      await expect.poll(() => tipOfNow(page), offlineWithin).toMatch(/: not known$/);
      for (const figure of await figures(page)) expect(figure).toMatch(/^—.*was .+ ago/s);
      await page.waitForSelector('.panel .status:has-text("offline")', offlineWithin);
      await page.waitForSelector('.panel .note.old:has-text("values are old")');
      // It goes on as it was before: silence alone draws nothing.
      expect(await tipOfNow(page)).toMatch(/: not known$/);
      fleet.hive('serial').mute(false);
      await expect.poll(() => tipOfNow(page), offlineWithin).toMatch(/: \d[^:]*$/);
      await expect.poll(() => page.locator('.panel .note.old').count()).toBe(0);
    });
  }

  it('its workers and GPUs are offline, not idle or well, to eye, ear and filter', async () => {
    const queen = await use.queen();
    const fleet = await use.fleet(queen, [serial, { id: 'heard', seed: 9, workers: 2, gpus: ['l40s'] }]);
    const page = await use.open(`${queen.url}/?view=workers`, desktop);
    await expect.poll(() => page.locator('.worker-row').count()).toBe(5);
    fleet.hive('serial').mute();
    const silent = page.locator('.worker-row[data-key^="serial/"] .state');
    await expect
      .poll(async () => (await silent.allInnerTexts()).filter((said) => /offline/.test(said)), offlineWithin)
      .toHaveLength(3);
    for (const said of await silent.allTextContents()) {
      expect(said).toContain('its hive is offline: these values are old');
      expect(said).not.toMatch(/idle|busy|starting|unknown/);
    }
    for (const said of await page.locator('.worker-row[data-key^="heard/"] .state').allTextContents()) {
      expect(said).not.toMatch(/offline|old/);
    }
    await page.locator('.choices button', { hasText: 'offline' }).click();
    await expect.poll(() => page.locator('.worker-row').count()).toBe(3);
    await page.locator('.worker-row').first().click();
    await page.waitForSelector('.panel .sub .status:has-text("offline")');
    expect(await page.locator('.panel .sub').innerText()).toMatch(
      /last known: (idle|busy|starting|unknown), (not )?(ready|probed)/,
    );
    expect(await seriousFaults(page)).toEqual([]);
    for (const state of ['idle', 'busy', 'starting', 'unknown']) {
      await page.goto(`${queen.url}/?view=workers&state=${state}&hive=serial`);
      await page.waitForSelector('.worker-grid');
      await page.waitForSelector('.nothing:has-text("No worker matches")');
    }
    await page.goto(`${queen.url}/?view=hives&q=serial`);
    const rows = page.locator('.card .gpu-row');
    await expect.poll(() => rows.count()).toBe(2);
    for (const said of await rows.locator('.sr-only').allTextContents()) {
      expect(said).toMatch(/^GPU \d, offline, its hive is offline: these values are old, VRAM/);
    }
    expect(await page.locator('.card footer').innerText()).toContain('these values are old');
    await rows.first().click();
    await page.waitForSelector('.panel .sub .status:has-text("offline")');
    expect(await seriousFaults(page)).toEqual([]);
  });
});

/** What was seen does not disappear: a host that dies stays as missing, and without a queen nothing looks well. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { desktop, phone } from '../../harness/browser.js';
import { seriousFaults, useBrowser } from './support.js';

const use = useBrowser();
const lost = { id: 'lost', seed: 5, workers: 3, gpus: ['h100', 'a100'] } as const;
const heard = { id: 'heard', seed: 9, workers: 2, gpus: ['l40s'] } as const;
const within = { timeout: 40_000 };

/** Where HIVEPULSE_SHOTS names a folder the page is drawn there, for whoever looks at it. */
async function shot(page: Page, name: string): Promise<void> {
  const folder = process.env.HIVEPULSE_SHOTS;
  if (folder === undefined) return;
  for (const theme of ['light', 'dark']) {
    await page.evaluate((value) => document.documentElement.setAttribute('data-theme', value), theme);
    await page.screenshot({ path: `${folder}/${name}-${theme}.png` });
  }
}

/** Pixels that the page is wider than the screen: a phone widens its viewport rather than to scroll. */
const overflows = (page: Page, width: number) =>
  page.evaluate((shown) => Math.max(document.documentElement.scrollWidth, window.innerWidth) - shown, width);

describe('a host that dies', () => {
  it('stays as missing, with its last values, until it is forgotten', async () => {
    const queen = await use.queen({}, { staleAfterMs: 1000 });
    const fleet = await use.fleet(queen, [lost, heard]);
    const page = await use.open(`${queen.url}/?view=hives`, desktop);
    await expect.poll(() => page.locator('.card').count()).toBe(2);
    fleet.hive('lost').mute();
    await page.waitForSelector('.missing:has-text("lost")', within);
    expect(await page.locator('.card').count()).toBe(1);
    expect(await page.locator('.fleet-bar').innerText()).toMatch(/1 online[\s\S]*1 missing/);
    await page.waitForSelector('.attention:has-text("lost is missing")');
    await expect.poll(() => page.title()).toMatch(/^\(\d+\) hivepulse$/);
    expect(await seriousFaults(page)).toEqual([]);
    await shot(page, 'missing');
    await page.locator('.missing .link', { hasText: /^lost$/ }).click();
    await page.waitForSelector('.missing-panel:has-text("These are its last values")');
    expect(await seriousFaults(page)).toEqual([]);
    await shot(page, 'missing-panel');

    await page.goto(`${queen.url}/?view=place`);
    await page.waitForSelector('.note:has-text("1 hive is missing; nothing is placed there")');
    await page.goto(`${queen.url}/?view=workers`);
    await expect.poll(() => page.locator('.missing li').count()).toBe(3);
    const narrow = await use.open(`${queen.url}/?view=hives`, { ...phone, viewport: { width: 320, height: 700 } });
    await narrow.waitForSelector('.missing li');
    expect(await overflows(narrow, 320)).toBe(0);
    expect(await seriousFaults(narrow)).toEqual([]);
    await shot(narrow, 'missing-phone');

    await page.goto(`${queen.url}/?view=hives`);
    await page.locator('.missing li:has-text("lost") >> text=Forget').first().click();
    await page.waitForSelector('dialog.confirm');
    expect(await seriousFaults(page)).toEqual([]);
    await shot(page, 'missing-forget');
    await page.locator('dialog.confirm button', { hasText: 'Forget' }).click();
    await expect.poll(() => page.locator('.missing').count()).toBe(0);
    expect(queen.registry.fleet().missing).toMatchObject({ hives: 0, gpus: 0, workers: 0 });
  });
});

describe('cordon', () => {
  it('is a button that asks first, and is shown with who and why; the host’s own commands can be copied', async () => {
    const queen = await use.queen();
    await use.fleet(queen, [lost]);
    const page = await use.open(`${queen.url}/?view=hives&show=hive:lost`, desktop);
    await page.locator('.panel button', { hasText: /^Cordon$/ }).click();
    await page.waitForSelector('dialog.confirm');
    expect(await seriousFaults(page)).toEqual([]);
    await page.getByLabel('Reason').fill('GPU 1 throws Xid 79');
    await page.getByLabel('Your name').fill('kim');
    await shot(page, 'cordon-dialog');
    await page.locator('dialog.confirm button', { hasText: /^Cordon$/ }).click();
    await page.waitForSelector('.card .status:has-text("cordoned")');
    await page.waitForSelector('.panel .note:has-text("Cordoned by kim")');
    expect(queen.registry.hive('lost')?.cordon).toMatchObject({ reason: 'GPU 1 throws Xid 79', by: 'kim' });
    expect(await seriousFaults(page)).toEqual([]);
    await page.locator('.panel code', { hasText: 'hivepulse drain' }).scrollIntoViewIfNeeded();
    await shot(page, 'cordoned');
    await page.locator('.panel button', { hasText: /^Uncordon$/ }).click();
    await page.locator('dialog.confirm button', { hasText: /^Uncordon$/ }).click();
    await expect.poll(() => page.locator('.card .status:has-text("cordoned")').count(), within).toBe(0);
  });
});

describe('a page whose queen is gone', () => {
  it('says after 10 s that nothing is known, in each chip, in the counts and in the title', async () => {
    const queen = await use.queen();
    await use.fleet(queen, [lost, heard]);
    const page = await use.open(`${queen.url}/?view=hives`, desktop, /Failed to load|ERR_|network/);
    await page.waitForSelector('.card .status:has-text("online")');
    await queen.close();
    await page.waitForSelector('html.ended', within);
    for (const said of await page.locator('.card header .status').allInnerTexts()) expect(said).toContain('unknown');
    expect(await page.locator('.fleet-bar').innerText()).not.toMatch(/online|idle|busy/);
    expect(await page.title()).toBe('? no connection – hivepulse');
    expect(await seriousFaults(page)).toEqual([]);
    await shot(page, 'ended');
    // Cells of the heat map lose their colour and keep their numbers.
    await page.locator('.choices button', { hasText: 'Heat map' }).click();
    await page.waitForSelector('.heat-said');
    const cell = await page.locator('canvas.heat-cells').evaluate((canvas) => {
      const { data } = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, 1440, 60);
      const greys = new Set<number>();
      let colour = 0;
      for (let at = 0; at < data.length; at += 4) {
        const inks = data.slice(at, at + 3);
        if (data[at + 3] !== 255) continue;
        colour = Math.max(colour, Math.max(...inks) - Math.min(...inks));
        greys.add(inks[0]!);
      }
      return { colour, greys: greys.size };
    });
    expect(cell.colour).toBe(0);
    expect(cell.greys).toBeGreaterThan(5);
    await page.keyboard.press('6');
    await page.waitForSelector('.note:has-text("What fits is as it was then")');
  });
});

/** Where the focus is, who is signed in, and how long a host has been silent. */
import { describe, expect, it } from 'vitest';
import { runCli } from '../../cli/run-cli.js';
import { desktop } from '../../harness/browser.js';
import { text, useBrowser } from './support.js';

const use = useBrowser();
const within = { timeout: 10_000 };
const two = [
  { id: 'serial', seed: 5, workers: 3, gpus: ['h100', 'a100'] },
  { id: 'second', seed: 9, workers: 5, gpus: ['l40s', 'l40s'] },
] as const;

describe('the focus', () => {
  it('moves into details that are opened, and back to what opened them', async () => {
    const queen = await use.queen();
    await use.fleet(queen, two);
    const page = await use.open(queen.url);
    const name = page.locator('.card .name', { hasText: 'serial' });
    await name.focus();
    const isIn = (selector: string) =>
      page.evaluate((within) => document.activeElement?.closest(within) !== null, selector);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.panel h2');
    await expect.poll(() => isIn('.panel'), within).toBe(true);
    // To another thing from within: it stays there.
    await page.locator('.panel .held .link').first().click();
    await page.waitForSelector('.panel h2:has-text("GPU 0")');
    expect(await isIn('.panel')).toBe(true);
    await page.keyboard.press('Escape');
    await page.waitForSelector('.panel', { state: 'detached' });
    await expect.poll(() => name.evaluate((element) => element === document.activeElement), within).toBe(true);

    // Rows that are walked through only show their details beside; Enter goes in.
    await page.keyboard.press('3');
    await page.waitForSelector('.worker-row');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.waitForSelector('.panel h2');
    expect(await isIn('.worker-grid')).toBe(true);
    await page.keyboard.press('Enter');
    await expect.poll(() => isIn('.panel')).toBe(true);
    await page.locator('.panel .close').click();
    await page.waitForSelector('.panel', { state: 'detached' });
    await expect.poll(() => isIn('.worker-grid')).toBe(true);
  });
});

describe('signing in and out', () => {
  const tokens = [
    { token: 'reader-token-0123456789', role: 'read' },
    { token: 'hive-token-0123456789ab', role: 'hive' },
  ] as const;

  it('begins in the field for the token, and ends in all tabs', async () => {
    const queen = await use.queen({ tokens });
    await use.fleet(queen, [{ ...two[0], token: tokens[1].token }]);
    const page = await use.open(queen.url, desktop, /401|403/);
    await page.waitForSelector('.login');
    // Without a click.
    await page.keyboard.type(tokens[0].token);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.card .gpu-row');
    const other = await use.tab(page, queen.url);
    await other.waitForSelector('.card .gpu-row');
    await other.locator('.sign-out').click();
    await other.waitForSelector('.login');
    await page.waitForSelector('.login');
    expect(await page.evaluate(() => fetch('v1/fleet').then(({ status }) => status))).toBe(401);
    await page.reload();
    await page.waitForSelector('.login');
    await page.keyboard.type(tokens[0].token);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.card .gpu-row');
  });

  it('is nowhere where a queen asks nobody for a token', async () => {
    const queen = await use.queen();
    await use.fleet(queen, two);
    const page = await use.open(queen.url);
    const asked = page.waitForResponse(/v1\/session/);
    await page.waitForSelector('.card .gpu-row');
    expect(await (await asked).json()).toMatchObject({ required: false });
    expect(await page.locator('.sign-out').count()).toBe(0);
  });
});

describe('a host that is not heard', () => {
  it('says for how long by the time that has passed, on the page and in commands', async () => {
    const queen = await use.queen({ staleAfterMs: 3_600_000 });
    const fleet = await use.fleet(queen, two);
    const page = await use.open(queen.url);
    await page.waitForSelector('.card .gpu-row');
    const hive = fleet.hive('serial');
    hive.mute();
    const line = '.attention li:has-text("serial is offline")';
    await page.waitForSelector(line, { timeout: 30_000 });
    const seconds = (said: string) => Number(/No heartbeat for ([\d.]+) s/.exec(said)?.[1] ?? Number.NaN);
    const heard = () => queen.registry.hive('serial')!.ageMs / 1000;
    // What is shown is at most as old as the page draws seldom, and never ahead of the time.
    const first = seconds(await text(page, line));
    expect(first).toBeLessThanOrEqual(heard());
    await expect.poll(async () => seconds(await text(page, line)), within).toBeGreaterThan(first + 2);
    const before = heard();
    const { stdout } = await runCli(['attention', '--queen', queen.url]);
    expect(seconds(stdout)).toBeGreaterThanOrEqual(Math.floor(before));
    expect(seconds(stdout)).toBeLessThanOrEqual(Math.ceil(heard()));
  });
});

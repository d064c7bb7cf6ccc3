/**
 * An operator's hour on a fleet of 240 hosts: one dies, 13 GPUs stall, a driver breaks, the queen restarts, a worker leaks
 * memory. At each step page, `top` and commands say the same. Where HIVEPULSE_SHOTS names a folder each step is drawn there.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { type Queen, startQueen } from '../../../lib/daemon/queen.js';
import { runCli } from '../../cli/run-cli.js';
import { desktop, phone } from '../../harness/browser.js';
import { createFleet, type SimulatedFleet } from '../../harness/simulated-fleet.js';
import { seriousFaults, useBrowser } from './support.js';

const use = useBrowser();
const hostCount = 240;
const within = { timeout: 240_000 };

async function shot(page: Page, name: string): Promise<void> {
  const folder = process.env.HIVEPULSE_SHOTS;
  if (folder === undefined) return;
  for (const theme of ['light', 'dark']) {
    await page.evaluate((value) => document.documentElement.setAttribute('data-theme', value), theme);
    await page.screenshot({ path: `${folder}/hour-${name}-${theme}.png` });
  }
  await page.evaluate(() => document.documentElement.setAttribute('data-theme', 'light'));
}

/** What people see at one moment, wherever they look. */
class Operator {
  readonly page: Page;
  readonly small: Page;
  /** The narrowest of phones: it is looked at, and says what the others say. */
  readonly narrow: Page;
  readonly #queen: () => Queen;

  constructor(page: Page, small: Page, narrow: Page, queen: () => Queen) {
    this.page = page;
    this.small = small;
    this.narrow = narrow;
    this.#queen = queen;
  }

  /** The page, the phone, `top` and the command come to say it. */
  async sees(what: RegExp): Promise<void> {
    for (const page of [this.page, this.small])
      await expect.poll(() => page.locator('.attention').innerText(), within).toMatch(what);
    await expect.poll(() => this.cli('attention'), within).toMatch(what);
    await expect.poll(() => this.cli('top'), within).toMatch(what);
  }

  async cli(...words: string[]): Promise<string> {
    const { stdout, stderr, code } = await runCli([...words, '--queen', this.#queen().url]);
    expect(code, stderr).toBe(0);
    return `${stdout}${stderr}`;
  }

  async draw(name: string): Promise<void> {
    await shot(this.page, name);
    await shot(this.small, `${name}-phone`);
    await shot(this.narrow, `${name}-320`);
    for (const page of [this.page, this.small, this.narrow]) expect(await seriousFaults(page)).toEqual([]);
  }
}

async function startHour(state: string): Promise<{ queen: Queen; fleet: SimulatedFleet }> {
  const queen = await startQueen({ port: 0, warmingMs: 0, staleAfterMs: 40_000, state });
  const fleet = createFleet({
    hives: hostCount,
    workersPerHive: 4,
    gpusPerHive: 4,
    queenUrls: [queen.url],
    // Slow enough that nothing is late on a busy machine.
    intervalMs: 5000,
    prefix: 'gpu-',
  });
  use.defer(() => fleet.close());
  fleet.start();
  return { queen, fleet };
}

describe('an operator’s hour', () => {
  it('says what is wrong, how much of it, who looks at it, and when it is over', { timeout: 600_000 }, async () => {
    const state = await mkdtemp(join(tmpdir(), 'hivepulse-hour-'));
    use.defer(() => rm(state, { recursive: true, force: true }));
    let { queen, fleet } = await startHour(state);
    use.defer(() => queen.close());
    const gone = /ERR_|Failed to load|503/;
    const page = await use.open(`${queen.url}/?view=hives`, desktop, gone);
    const small = await use.open(`${queen.url}/?view=hives`, phone, gone);
    const narrow = await use.open(
      `${queen.url}/?view=hives`,
      { ...phone, viewport: { width: 320, height: 640 } },
      gone,
    );
    const operator = new Operator(page, small, narrow, () => queen);

    // All is well.
    await expect.poll(() => page.locator('.fleet-bar').innerText(), within).toMatch(/Hives\s+240/);
    await expect.poll(() => page.locator('.attention').count()).toBe(0);
    expect(await operator.cli('attention')).toContain('nothing needs attention');
    await expect.poll(() => page.title(), within).toBe('hivepulse');
    await operator.draw('1-well');

    // A host dies.
    fleet.hive('gpu-0007').mute();
    await operator.sees(/gpu-0007 is missing/);
    await expect.poll(() => page.locator('.fleet-bar').innerText()).toMatch(/Hives\s+239[\s\S]*1 missing/);
    await expect.poll(() => page.title()).toBe('(1) hivepulse');
    expect(await operator.cli('missing')).toMatch(/gpu-0007/);
    await operator.draw('2-dead');

    // 13 GPUs stall on four hosts: one line, and its hosts behind it.
    for (const id of ['gpu-0021', 'gpu-0022', 'gpu-0023'])
      for (let gpu = 0; gpu < 4; gpu++) fleet.hive(id).stallGpu(gpu);
    fleet.hive('gpu-0024').stallGpu(2);
    await operator.sees(/13 GPUs stalled/);
    await page.locator('.attention .link', { hasText: '13 GPUs stalled' }).first().click();
    await expect.poll(() => page.locator('.attention .items li').count()).toBe(4);
    await operator.draw('3-stalled');

    // Somebody looks at them: the line is set aside with a name, and counts no longer.
    await page
      .locator('.attention > ul > li', { hasText: '13 GPUs stalled' })
      .locator('text=Acknowledge')
      .first()
      .click();
    await page.waitForSelector('dialog.confirm');
    await page.locator('dialog.confirm input').nth(0).fill('driver update at noon');
    await page.locator('dialog.confirm input').nth(1).fill('operator');
    expect(await seriousFaults(page)).toEqual([]);
    await shot(page, '4-acknowledge');
    await page.locator('dialog.confirm button', { hasText: 'Acknowledge' }).click();
    await page.waitForSelector('.attention .folded:has-text("1 line acknowledged")', within);
    await expect.poll(() => page.title()).toBe('(1) hivepulse');
    await page.locator('.attention .folded summary').first().click();
    expect(await page.locator('.attention .folded').innerText()).toMatch(
      /acknowledged by operator until .*: driver update/,
    );
    await operator.draw('4-acknowledged');

    // A driver breaks: all GPUs of a host are lost.
    for (let gpu = 0; gpu < 4; gpu++) fleet.hive('gpu-0100').loseGpu(gpu);
    await operator.sees(/4 GPUs lost/);
    await expect.poll(() => page.title()).toBe('(2) hivepulse');
    await operator.draw('5-driver');

    // The queen restarts: who is missing, and who looks at what, is known as before.
    const { port } = queen;
    await queen.close();
    await page.waitForSelector('.notice.bad', within);
    await shot(page, '6-no-queen');
    queen = await startQueen({ port, warmingMs: 0, staleAfterMs: 40_000, state });
    await operator.sees(/4 GPUs lost/);
    await operator.sees(/gpu-0007 is missing/);
    expect(await operator.cli('attention')).toMatch(/acknowledged by operator/);
    await expect.poll(() => page.locator('.fleet-bar').innerText(), within).toMatch(/Hives\s+239/);

    // A worker leaks memory until the kernel kills a process of it.
    const leaking = fleet.hive('gpu-0200');
    const worker = leaking.workerIds[0]!;
    leaking.host.oomKill(worker);
    await page.goto(`${queen.url}/?view=events&kind=trouble`);
    await page.waitForSelector(`.event-row:has-text("${worker}"):has-text("memory limit")`, within);
    await small.goto(`${queen.url}/?view=events&kind=trouble`);
    await small.waitForSelector('.event-row', within);
    await narrow.goto(`${queen.url}/?view=events&kind=trouble`);
    await narrow.waitForSelector('.event-row', within);
    await operator.draw('7-events');
    expect(await operator.cli('events', '--kind', 'oomKill', '--last', '50')).toContain(worker);
    for (const each of [page, small, narrow]) {
      await each.goto(`${queen.url}/?view=workers&show=worker:gpu-0200/${worker}`);
      await each.waitForSelector('.panel-body .charts', within);
    }
    await operator.draw('7-worker');

    // All is repaired.
    for (const hive of fleet.hives) for (let gpu = 0; gpu < 4; gpu++) hive.recoverGpu(gpu);
    fleet.hive('gpu-0007').mute(false);
    await page.goto(`${queen.url}/?view=hives`);
    await expect.poll(() => page.locator('.fleet-bar').innerText(), within).toMatch(/Hives\s+240/);
    await expect.poll(() => page.locator('.attention').count(), within).toBe(0);
    await expect.poll(() => page.title()).toBe('hivepulse');
  });
});

import { describe, expect, it } from 'vitest';
import { startQueen } from '../../../lib/daemon/queen.js';
import { desktop, phone } from '../../harness/browser.js';
import { proxyUnder, text, useBrowser } from './support.js';

const use = useBrowser();
const serial = { id: 'serial', seed: 5, workers: 3, gpus: ['h100', 'a100'] } as const;
const two = [serial, { id: 'second', seed: 9, workers: 5, gpus: ['l40s', 'l40s'] }] as const;

/** `last heartbeat 0.4 s ago` -> 0.4 */
const ageIn = (said: string) => Number(/([\d.]+) s/.exec(said)?.[1] ?? Number.NaN);

describe('the page', () => {
  it('values move', async () => {
    const queen = await use.queen();
    await use.fleet(queen, two);
    const page = await use.open(queen.url);
    await page.waitForSelector('.card .gpu-row');
    expect(await text(page, '.connection')).toBe('Live');
    const card = page.locator('.card', { hasText: 'serial' });
    const seen = new Set<string>();
    await expect
      .poll(
        async () => {
          seen.add(await card.locator('.host').innerText());
          return seen.size;
        },
        { timeout: 20_000 },
      )
      .toBeGreaterThan(3);
    expect(await page.locator('.fleet-bar .tile').nth(3).innerText()).toMatch(/^Workers\s+8\b/);
    // The age of the last heartbeat starts again with each heartbeat.
    await expect.poll(async () => ageIn(await card.locator('.age').innerText())).toBeLessThan(2);
  });

  it('a killed worker leaves, and a new one comes', async () => {
    const queen = await use.queen();
    const fleet = await use.fleet(queen, two);
    // It may end while its history is asked for; a browser writes every 404 to its console.
    const page = await use.open(`${queen.url}/?view=workers`, desktop, /404/);
    await expect.poll(() => page.locator('.worker-row').count()).toBe(8);
    const hive = fleet.hive('serial');
    const killed = hive.killWorker();
    await expect.poll(() => page.locator(`[data-key="serial/${killed}"]`).count()).toBe(0);
    await expect.poll(() => page.locator('.worker-row').count()).toBe(7);
    const added = hive.addWorker();
    await page.waitForSelector(`[data-key="serial/${added}"]`);
    await page.keyboard.press('5');
    await page.waitForSelector(`.event-row:has-text("${killed} is gone")`);
    await page.waitForSelector(`.event-row:has-text("${killed} was ended by SIGTERM")`);
  });

  it('a stalled GPU shows as unknown, never as 0', async () => {
    const queen = await use.queen();
    const fleet = await use.fleet(queen, [serial]);
    const page = await use.open(queen.url);
    const row = page.locator('.gpu-row').first();
    await row.waitFor();
    expect(await row.locator('.hatched').count()).toBe(0);
    fleet.hive('serial').stallGpu(0);
    await expect.poll(() => row.locator('.meter.hatched').count()).toBe(2);
    const said = await row.locator('.sr-only').innerText();
    expect(said).toContain('stalled');
    expect(said).toContain('utilization unknown');
    const seen = (await row.locator('[aria-hidden=true]').allInnerTexts()).join(' ');
    expect(seen).toContain('— /');
    expect(seen).not.toMatch(/\b0 %|\b0\.0 \//);
    // Said in words with the fix, and its workers are neither busy nor idle.
    await page.waitForSelector('.attention:has-text("serial GPU 0"):has-text("dmesg")');
    await row.click();
    await page.waitForSelector('.panel:has-text("stalled")');
    await page.keyboard.press('Escape');
    await page.waitForSelector('.panel', { state: 'detached' });
    await page.keyboard.press('3');
    const unknown = page.locator('.worker-row', { hasText: 'unknown' }).first();
    await unknown.waitFor();
    expect(await unknown.locator('.metric-cell[data-label="GPU"]').innerText()).toContain('—');
    fleet.hive('serial').recoverGpu(0);
    await page.keyboard.press('1');
    await expect.poll(() => row.locator('.hatched').count()).toBe(0);
  });

  it('filters and the URL hold over a reload, and the back button undoes steps', async () => {
    const queen = await use.queen();
    await use.fleet(queen, two);
    const page = await use.open(`${queen.url}/?view=workers`);
    await expect.poll(() => page.locator('.worker-row').count()).toBe(8);
    await page.keyboard.press('/');
    await page.keyboard.type('second');
    await expect.poll(() => page.locator('.worker-row').count()).toBe(5);
    await page.locator('.worker-head button', { hasText: 'Memory' }).click();
    await page.locator('.worker-row').nth(1).click();
    await page.waitForSelector('.panel h2');
    const url = new URL(page.url());
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      view: 'workers',
      q: 'second',
      sort: 'memory',
      dir: 'desc',
    });
    const title = await text(page, '.panel h2');
    await page.reload();
    await expect.poll(() => page.locator('.worker-row').count()).toBe(5);
    expect(await page.locator('.filter').inputValue()).toBe('second');
    expect(await text(page, '.panel h2')).toBe(title);
    expect(await page.locator('[role=columnheader][aria-sort=descending]').innerText()).toContain('Memory');
    const sizes = (await page.locator('.metric-cell[data-label=Memory]').allInnerTexts()).map(Number.parseFloat);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));

    const other = await use.open(`${queen.url}/?view=workers`);
    await other.waitForSelector('.worker-row');
    await other.locator('.worker-row').first().click();
    await other.waitForSelector('.panel');
    await other.goBack();
    await other.waitForSelector('.panel', { state: 'detached' });
    await other.locator('select').first().selectOption({ index: 1 });
    const model = await other.locator('select').first().inputValue();
    await expect
      .poll(async () => new Set(await other.locator('.worker-row .model > span').allInnerTexts()))
      .toEqual(new Set([model]));
  });

  it('a queen restart heals by itself, and the page says so meanwhile', async () => {
    const queen = await startQueen({ port: 0, warmingMs: 0 });
    use.defer(() => queen.close());
    await use.fleet(queen, two);
    const page = await use.open(
      queen.url,
      desktop,
      /ERR_CONNECTION_(REFUSED|RESET)|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE/,
    );
    await page.waitForSelector('.card .gpu-row');
    await queen.close();
    await page.waitForSelector('.notice.bad[role=alert]');
    expect(await text(page, '.connection')).toBe('Reconnecting');
    // What was known stays on the page.
    expect(await page.locator('.card').count()).toBe(2);
    const again = await startQueen({ port: queen.port, warmingMs: 4000 });
    use.defer(() => again.close());
    await page.waitForSelector('.notice.warming', { timeout: 20_000 });
    await page.waitForSelector('.notice', { state: 'detached', timeout: 20_000 });
    expect(await text(page, '.connection')).toBe('Live');
    await expect.poll(() => page.locator('.card').count()).toBe(2);
    const age = page.locator('.card .age').first();
    await expect.poll(async () => ageIn(await age.innerText())).toBeLessThan(2);
  });

  it('works behind a path prefix', async () => {
    const queen = await use.queen();
    await use.fleet(queen, two);
    const proxy = await proxyUnder('/tools/fleet/', queen.url);
    use.defer(() => proxy.close());
    const page = await use.open(`${proxy.url}?view=workers`);
    await expect.poll(() => page.locator('.worker-row').count()).toBe(8);
    await page.waitForSelector('.worker-row svg.spark');
    await page.keyboard.press('6');
    await page.waitForSelector('.candidates li');
    expect(new URL(page.url()).pathname).toBe('/tools/fleet/');
  });

  it('asks for a token where the queen does, and keeps it out of reach of scripts', async () => {
    const tokens = [
      { token: 'reader-token-0123456789', role: 'read' },
      { token: 'hive-token-0123456789ab', role: 'hive' },
    ] as const;
    const queen = await use.queen({ tokens });
    await use.fleet(queen, [{ ...serial, token: tokens[1].token }]);
    const page = await use.open(`${queen.url}/?view=workers`, desktop, /401|403/);
    await page.waitForSelector('.login');
    await page.fill('input[name=token]', 'not-a-token-at-all');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.login .problem:not(:empty)');
    await page.fill('input[name=token]', tokens[0].token);
    await page.keyboard.press('Enter');
    await expect.poll(() => page.locator('.worker-row').count(), { timeout: 15_000 }).toBe(3);
    expect(await page.evaluate(() => document.cookie + JSON.stringify(localStorage))).not.toContain('reader-token');
    await page.reload();
    await expect.poll(() => page.locator('.worker-row').count(), { timeout: 15_000 }).toBe(3);
    // A token that may only read is told so where it asks for more.
    await page.keyboard.press('6');
    await page.waitForSelector('.problem[role=alert]:has-text("role schedule")');
  });

  it('all tabs share one stream, and another takes over when its tab closes', async () => {
    const queen = await use.queen();
    await use.fleet(queen, two);
    const first = await use.open(queen.url);
    await first.waitForSelector('.card .gpu-row');
    const second = await use.tab(first, 'about:blank');
    const streams: string[] = [];
    second.on('request', (request) => {
      if (new URL(request.url()).pathname === '/v1/events') streams.push(request.url());
    });
    await second.goto(queen.url);
    await second.waitForSelector('.card .gpu-row');
    expect(await text(second, '.connection')).toBe('Live');
    expect(streams).toEqual([]);
    await first.close();
    await expect.poll(() => streams.length, { timeout: 15_000 }).toBe(1);
    const age = second.locator('.card .age').first();
    await expect.poll(async () => ageIn(await age.innerText())).toBeLessThan(1);
  });

  it('says what to do when there is nothing to see yet', async () => {
    const queen = await use.queen();
    const page = await use.open(queen.url);
    await page.waitForSelector('.empty:has-text("npx hivepulse hive --queen")');
    await use.fleet(queen, [{ id: 'bare', workers: 0, gpus: 0 }]);
    await page.waitForSelector('.card:has-text("No GPU on this host")');
    expect(await text(page, '.empty pre')).toBe('npx hivepulse run --group demo --instance busy -- node -e "for(;;);"');
  });

  it('is driven by keys alone, and every row says itself', async () => {
    const queen = await use.queen();
    await use.fleet(queen, two);
    const page = await use.open(queen.url);
    await page.waitForSelector('.card');
    await page.keyboard.press('3');
    await page.waitForSelector('.worker-row');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.waitForSelector('.panel h2');
    await page.keyboard.press('ArrowDown');
    const selected = page.locator('.worker-row[aria-selected=true]');
    await expect.poll(() => selected.count()).toBe(1);
    const active = await page.locator('.worker-grid').getAttribute('aria-activedescendant');
    expect(await selected.getAttribute('id')).toBe(active);
    expect(await text(page, '.panel h2')).toBe((await selected.locator('strong').innerText()).trim());
    await page.keyboard.press('End');
    await expect.poll(() => selected.getAttribute('aria-rowindex')).toBe('9');
    await page.keyboard.press('Escape');
    await page.waitForSelector('.panel', { state: 'detached' });
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    await page.keyboard.press('t');
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe('light');
    await page.keyboard.press('t');
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark');
    await page.reload();
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark');
  });

  it('placement says where it fits, and why not elsewhere', async () => {
    const queen = await use.queen();
    await use.fleet(queen, [...two, { id: 'bare', workers: 0, gpus: 0 }]);
    const page = await use.open(`${queen.url}/?view=place&vram=0.5`);
    await page.waitForSelector('.candidates li.first .badge');
    await page.waitForSelector('details:has-text("No GPU"):has-text("bare")');
    await page.getByLabel('VRAM on each GPU, GiB').fill('500');
    await page.waitForSelector('h3:has-text("It fits nowhere")');
    await page.waitForSelector('details:has-text("Too little VRAM"):has-text("serial")');
    expect(new URL(page.url()).searchParams.get('vram')).toBe('500');
    await page.getByLabel('VRAM on each GPU, GiB').fill('much');
    await page.waitForSelector('.problem:has-text("number of GiB")');
  });

  it('fits a phone: nothing is wider than the screen', async () => {
    const queen = await use.queen();
    await use.fleet(queen, two);
    for (const view of ['hives', 'hives&as=table', 'hives&as=heat', 'gpus', 'workers', 'models', 'events', 'place']) {
      const page = await use.open(`${queen.url}/?view=${view}`, phone);
      await page.waitForSelector('.card, .data-row, .heat-said, .event-row, .candidates');
      // A phone widens its window to what is too wide for it.
      const wide = await page.evaluate(
        () => Math.max(window.innerWidth, document.documentElement.scrollWidth) > screen.width,
      );
      expect(wide, view).toBe(false);
      const main = await page.evaluate(() => {
        const element = document.querySelector('main')!;
        return element.scrollWidth - element.clientWidth;
      });
      expect(main, view).toBe(0);
      // Eight open pages would all draw each second.
      await page.close();
    }
    const page = await use.open(`${queen.url}/?view=workers`, phone);
    await page.locator('.worker-row').first().tap();
    await page.waitForSelector('.panel h2');
    await page.locator('.panel .close').tap();
    await page.waitForSelector('.panel', { state: 'detached' });
  });
});

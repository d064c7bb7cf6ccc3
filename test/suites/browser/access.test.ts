import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { desktop, phone } from '../../harness/browser.js';
import { type Demo, startDemo } from '../../harness/demo-fleet.js';
import { seriousFaults, useBrowser } from './support.js';

const use = useBrowser();

describe('the page for everybody (axe-core)', () => {
  let demo: Demo;
  beforeAll(async () => {
    demo = await startDemo({ events: false, queen: { staleAfterMs: 3_600_000 } });
    demo.fleet.hive('juno-01').mute();
  });
  afterAll(() => demo.close());

  const views = [
    ['hives', '', '.card.stale'],
    ['workers', '?view=workers', '.worker-row'],
    ['events', '?view=events', '.event-row'],
    ['placement', '?view=place', '.candidates li'],
    ['worker details', '?view=workers&show=worker:WORKER', '.panel .u-over'],
    ['hive details', '?show=hive:boreas-01', '.panel .u-over'],
    ['GPU details', '?show=gpu:ceres-01/GPU', '.panel .u-over'],
  ] as const;
  for (const scheme of ['light', 'dark'] as const) {
    it.each(views)(`no serious fault: %s, ${scheme}`, async (_, search, ready) => {
      const worker = demo.queen.registry.workers({ hive: 'boreas-01' }).items[0]!;
      const gpu = demo.queen.registry.hive('ceres-01')!.gpus[2]!;
      const path = search.replace('WORKER', worker.key).replace('GPU', gpu.uuid);
      const page = await use.open(`${demo.url}/${path}`, { ...desktop, colorScheme: scheme });
      await page.waitForSelector(ready, { timeout: 30_000 });
      expect(await seriousFaults(page)).toEqual([]);
    });
  }

  it('no serious fault: phone, help and login', async () => {
    const small = await use.open(`${demo.url}/?view=workers`, { ...phone, colorScheme: 'dark' });
    await small.waitForSelector('.worker-row');
    expect(await seriousFaults(small)).toEqual([]);
    const help = await use.open(demo.url);
    await help.waitForSelector('.card');
    await help.keyboard.press('?');
    await help.waitForSelector('dialog[open]');
    expect(await seriousFaults(help)).toEqual([]);
    const guarded = await use.queen({ tokens: [{ token: 'reader-token-0123456789', role: 'read' }] });
    const login = await use.open(guarded.url, desktop, /401/);
    await login.waitForSelector('.login');
    expect(await seriousFaults(login)).toEqual([]);
  });
});

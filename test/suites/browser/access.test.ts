/** Every view in every theme and size: no serious fault (axe-core), and nothing that is to be scrolled sideways. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { desktop, phone } from '../../harness/browser.js';
import { type Demo, startDemo } from '../../harness/demo-fleet.js';
import { seriousFaults, useBrowser } from './support.js';

const use = useBrowser();
const narrow = { ...phone, viewport: { width: 320, height: 640 } };

const views = [
  ['?view=workers', '.worker-row'],
  ['?view=workers&columns=load', '.worker-row'],
  ['?view=workers&compare=worker:WORKER', '.compare .u-over'],
  ['?view=workers&show=worker:WORKER', '.panel .u-over'],
  ['?fleet=open', '.fleet-charts .u-over'],
  ['?as=table', '.hive-row'],
  ['?as=table&group=gpu', '.group-heading'],
  ['?as=heat', '.heat-said'],
  ['?as=heat&color=state&group=label:zone', '.group-heading'],
  ['?group=model', '.group-heading'],
  ['?view=gpus&group=model', '.group-heading'],
  ['?view=gpus&show=gpu:ceres-01/GPU', '.panel .u-over'],
  ['?show=gpu:ceres-01/LOST', '.panel .u-over'],
  ['?view=models', '.model-row'],
  ['?view=events', '.event-row'],
  ['?view=place', '.candidates li'],
  ['?view=place&vram=40', '.candidates li'],
  ['?show=hive:boreas-01', '.panel .u-over'],
  ['', '.card'],
  // A host that is not heard is offline after ten seconds.
  ['?q=juno-01', '.card.stale'],
] as const;

/** How much is to be scrolled sideways, px, and how much of the screen stands above what a view shows. */
const layout = () => {
  const wide = [document.documentElement, ...document.querySelectorAll('main, .panel')].map(
    (element) => element.scrollWidth - element.clientWidth,
  );
  const head = document.querySelector('main > section:not(.fleet-work), .panel') ?? document.querySelector('.top + *')!;
  return {
    wide: Math.max(window.innerWidth - screen.width, ...wide),
    above: head.getBoundingClientRect().top / innerHeight,
  };
};

describe('the page for everybody', () => {
  let demo: Demo;
  beforeAll(async () => {
    demo = await startDemo({ events: false, historyMs: 300_000, queen: { staleAfterMs: 3_600_000 } });
    demo.fleet.hive('juno-01').mute();
  });
  afterAll(() => demo.close());

  it.each([
    ['light', { ...desktop, colorScheme: 'light' }],
    ['dark', { ...desktop, colorScheme: 'dark' }],
    ['phone', phone],
    ['320 px', narrow],
  ] as const)(
    'has no serious fault and no sideways scrolling: %s',
    async (_, context) => {
      const page = await use.open(demo.url, context);
      const worker = demo.queen.registry.workers({ hive: 'boreas-01' }).items[0]!;
      const [gpu, , lost] = demo.queen.registry.hive('ceres-01')!.gpus;
      for (const [place, ready] of views) {
        const search = place.replace('WORKER', worker.key).replace('GPU', gpu!.uuid).replace('LOST', lost!.uuid);
        await page.goto(`${demo.url}/${search}`);
        await page.waitForSelector(ready, { timeout: 30_000 });
        expect(await seriousFaults(page), search).toEqual([]);
        const { wide, above } = await page.evaluate(layout);
        expect(wide, search).toBeLessThanOrEqual(0);
        // The first view begins with the figures of the whole fleet.
        if ('isMobile' in context && search.includes('view=')) expect(above, search).toBeLessThan(0.2);
      }
    },
    600_000,
  );

  it('has no serious fault: dark phone, help and login', async () => {
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

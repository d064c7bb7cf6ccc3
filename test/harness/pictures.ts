/** `npm run pictures`: the pictures of the README and the guide, from the demo fleet, into docs/images. */
import { mkdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BrowserContextOptions } from 'playwright-core';
import { desktop, openBrowser, openPage, phone } from './browser.js';
import { startDemo } from './demo-fleet.js';

const directory = fileURLToPath(new URL('../../docs/images/', import.meta.url));
const maxBytes = 400_000;

interface Picture {
  readonly name: string;
  readonly search: string;
  readonly context: BrowserContextOptions;
  /** There when the page shows what the picture is of. */
  readonly ready: string;
}

const light = { ...desktop, colorScheme: 'light' } as const;
const dark = { ...desktop, colorScheme: 'dark' } as const;

const pictures: readonly Picture[] = [
  { name: 'page-workers', search: '?view=workers&sort=gpu&dir=desc', context: dark, ready: '.worker-row svg.spark' },
  {
    name: 'page-worker',
    search: '?view=workers&hive=atlas-01&show=worker:WORKER',
    context: light,
    ready: '.panel .u-over',
  },
  { name: 'page-events', search: '?view=events', context: light, ready: '.event-row' },
  { name: 'page-placement', search: '?view=place&vram=40', context: light, ready: '.candidates li' },
  {
    name: 'page-phone-workers',
    search: '?view=workers',
    context: { ...phone, colorScheme: 'dark' },
    ready: '.worker-row',
  },
];

/** The whole fleet, taken while one hive is late and another offline. */
const fleetPictures: readonly Picture[] = [
  { name: 'page-light', search: '', context: light, ready: '.card.stale' },
  { name: 'page-dark', search: '', context: dark, ready: '.card.stale' },
  { name: 'page-phone', search: '', context: { ...phone, colorScheme: 'light' }, ready: '.card.stale' },
];

mkdirSync(directory, { recursive: true });
await using demo = await startDemo({ events: false, queen: { staleAfterMs: 3_600_000 } });
const worker = demo.queen.registry.workers({ hive: 'atlas-01', model: 'Qwen/Qwen3-32B' }).items[0];
if (!worker) throw new Error('the demo fleet has no worker to show');
const browser = await openBrowser();
let slow: NodeJS.Timeout | undefined;
try {
  for (const picture of pictures) await take(picture);
  demo.fleet.hive('juno-01').mute();
  // It speaks now and then, as a host under load does.
  const late = demo.fleet.hive('lyra-02');
  late.mute();
  slow = setInterval(() => {
    late.mute(false);
    void late.beat().then(() => late.mute());
  }, 9000);
  for (const picture of fleetPictures) await take(picture);
} finally {
  clearInterval(slow);
  await browser.close();
}

async function take(picture: Picture): Promise<void> {
  const search = picture.search.replace('WORKER', worker!.key);
  const { page, errors } = await openPage(browser, `${demo.url}/${search}`, picture.context);
  await page.waitForSelector(picture.ready, { timeout: 30_000 });
  if (fleetPictures.includes(picture)) {
    const isLate = () => /[1-9]\d* late/.test(document.querySelector('.fleet-bar')?.textContent ?? '');
    await page.waitForFunction(isLate, undefined, { timeout: 30_000 });
  }
  // Sparklines and charts arrive after the rows.
  await page.waitForTimeout(1500);
  const path = `${directory}${picture.name}.png`;
  await page.screenshot({ path });
  await page.context().close();
  const { size } = statSync(path);
  console.log(`${picture.name}.png  ${Math.round(size / 1024)} KB`);
  if (size > maxBytes) throw new Error(`${picture.name}.png is over ${maxBytes} bytes`);
  if (errors.length > 0) throw new Error(`${picture.name}: ${errors.join('\n')}`);
}

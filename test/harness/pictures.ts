/** `npm run pictures`: the pictures of the README and the guide, from the demo fleet, into docs/images. */
import { mkdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BrowserContextOptions } from 'playwright-core';
import { desktop, openBrowser, openPage, phone } from './browser.js';
import { startDemo } from './demo-fleet.js';
import { Terminal } from './terminal.js';

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

const terminalTheme = {
  background: '#16181d',
  foreground: '#d5d8de',
  black: '#3a3f4a',
  red: '#f0715b',
  green: '#3fc494',
  yellow: '#e2b340',
  blue: '#5a95f5',
  magenta: '#c58af9',
  cyan: '#4cc3d9',
  white: '#d5d8de',
  brightBlack: '#868d9b',
};

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
    void late.sendHeartbeat().then(() => late.mute());
  }, 9000);
  for (const picture of fleetPictures) await take(picture);
  await takeTerminal();
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
  await page.screenshot({ path: pathOf(picture.name) });
  await page.context().close();
  checkSize(picture.name);
  if (errors.length > 0) throw new Error(`${picture.name}: ${errors.join('\n')}`);
}

/** `hivepulse top`: what tmux holds, drawn by a terminal in a page. */
async function takeTerminal(): Promise<void> {
  const [columns, rows] = [140, 34];
  const terminal = new Terminal(['--queen', demo.url], columns, rows);
  try {
    await terminal.shows(/12 hives/);
    await terminal.shows(/[1-9]\d* late/);
    // What needs attention, and events of before, come after the rows.
    await terminal.shows(/✕ ceres-01 GPU 2[\s\S]*Events[\s\S]*\d\d:\d\d:\d\d/);
    const screen = terminal.colouredText().trimEnd().replaceAll('\n', '\r\n');
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, deviceScaleFactor: 1.25 });
    await page.setContent('<body style="margin:0"><div id="screen" style="display:inline-block;padding:12px">');
    await page.addStyleTag({ path: fileURLToPath(import.meta.resolve('@xterm/xterm/css/xterm.css')) });
    await page.addScriptTag({ path: fileURLToPath(import.meta.resolve('@xterm/xterm')) });
    await page.evaluate(drawScreen, { screen, columns, rows, theme: terminalTheme });
    await page.locator('#screen').screenshot({ path: pathOf('terminal') });
    await page.close();
    checkSize('terminal');
  } finally {
    terminal.close();
  }
}

/** Runs in the page. */
function drawScreen(options: { screen: string; columns: number; rows: number; theme: typeof terminalTheme }) {
  const { Terminal } = globalThis as unknown as { Terminal: typeof import('@xterm/xterm').Terminal };
  const { screen, columns, rows, theme } = options;
  const fontFamily = 'DejaVu Sans Mono, monospace';
  const drawn = new Terminal({ cols: columns, rows, theme, fontFamily, fontSize: 14, cursorInactiveStyle: 'none' });
  const place = document.querySelector<HTMLElement>('#screen')!;
  place.style.background = theme.background;
  drawn.open(place);
  return new Promise<void>((resolve) => {
    drawn.write(`\x1b[?25l${screen}`, () => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
  });
}

function pathOf(name: string): string {
  return `${directory}${name}.png`;
}

function checkSize(name: string): void {
  const { size } = statSync(pathOf(name));
  console.log(`${name}.png  ${Math.round(size / 1024)} KB`);
  if (size > maxBytes) throw new Error(`${name}.png is over ${maxBytes} bytes`);
}

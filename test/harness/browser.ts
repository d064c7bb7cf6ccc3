import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/**
 * The one that CHROMIUM names, or Debian's: its headless shell, which is Chromium without windows and takes two thirds of the
 * CPU time, else the whole of it.
 */
export const chromiumPath =
  process.env.CHROMIUM ??
  (existsSync('/usr/bin/chromium-headless-shell') ? '/usr/bin/chromium-headless-shell' : '/usr/bin/chromium');

export async function openBrowser(): Promise<Browser> {
  if (!existsSync(chromiumPath)) {
    throw new Error(
      `There is no ${chromiumPath}: apt-get install chromium-headless-shell, or name one with CHROMIUM=/path.`,
    );
  }
  return chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

export const desktop: BrowserContextOptions = { viewport: { width: 1440, height: 900 } };
export const phone: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};

/** A page and everything that went wrong on it: console errors, exceptions, refused requests to other hosts. */
export interface WatchedPage {
  readonly page: Page;
  readonly errors: string[];
}

/** `expected`: console errors that the test itself causes, such as those of a queen that it stops. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = desktop,
  expected: RegExp = /(?!)/,
): Promise<WatchedPage> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const errors: string[] = [];
  const host = new URL(url).host;
  page.on('console', (message) => {
    if (message.type() === 'error' && !expected.test(message.text())) errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(String(error.stack ?? error)));
  page.on('request', (request) => {
    const target = new URL(request.url());
    if (target.protocol.startsWith('http') && target.host !== host) errors.push(`request to ${target.href}`);
  });
  await page.goto(url);
  return { page, errors };
}

import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { QueenOptions } from '../../../lib/config/options.js';
import { type Queen, startQueen } from '../../../lib/daemon/queen.js';
import type { RegistryOptions } from '../../../lib/queen/registry-options.js';
import { desktop, openBrowser, openPage } from '../../harness/browser.js';
import { SimulatedFleet, SimulatedHive, type SimulatedHiveOptions } from '../../harness/simulated-fleet.js';

const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

type Axe = typeof import('axe-core') & {
  readonly _audit: { readonly rules: readonly { readonly id: string; readonly impact?: string }[] };
};

export type HiveSpec = Omit<SimulatedHiveOptions, 'queenUrls' | 'agent'>;

/** One browser for a suite; queens, hives and pages of a test end with it. */
export function useBrowser() {
  let browser: Browser;
  const cleanups: (() => Promise<unknown>)[] = [];
  const pages: { readonly errors: readonly string[] }[] = [];

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    // No test passes with an error on the console, an exception, or a request to another host.
    expect(pages.splice(0).flatMap(({ errors }) => errors)).toEqual([]);
  });

  const defer = (work: () => Promise<unknown>) => cleanups.push(work);
  return {
    defer,
    get browser() {
      return browser;
    },
    /** `limits`: shorter than those that a queen may be given. */
    async queen(options: QueenOptions = {}, limits: RegistryOptions = {}): Promise<Queen> {
      const queen = await startQueen({ port: 0, warmingMs: 0, ...options }, { registry: limits });
      defer(() => queen.close());
      return queen;
    },
    /** Hives that beat ten times a second, so that a test waits little. */
    async fleet(queen: Queen, hives: readonly HiveSpec[]): Promise<SimulatedFleet> {
      const fleet = new SimulatedFleet((agent) =>
        hives.map((hive) => new SimulatedHive({ intervalMs: 250, queenUrls: [queen.url], agent, ...hive })),
      );
      defer(() => fleet.close());
      fleet.start();
      return fleet;
    },
    async open(url: string, context: BrowserContextOptions = desktop, expected?: RegExp): Promise<Page> {
      const watched = await openPage(browser, url, context, expected);
      pages.push(watched);
      defer(() => watched.page.context().close());
      return watched.page;
    },
    /** Another tab of the same browser session. */
    async tab(beside: Page, url: string): Promise<Page> {
      const page = await beside.context().newPage();
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(String(error)));
      pages.push({ errors });
      await page.goto(url);
      return page;
    },
  };
}

/** What axe finds of serious or critical faults, in words. */
export async function seriousFaults(page: Page): Promise<string[]> {
  // The page's policy forbids injected script elements, so axe comes in as an evaluated text.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axeSource());
  const violations = await page.evaluate(async () => {
    const axe = (window as unknown as { axe: Axe }).axe;
    // A rule that says its impact has no other: those that could only find less are not run.
    const lesser = axe._audit.rules.filter(({ impact }) => impact === 'minor' || impact === 'moderate');
    const rules = Object.fromEntries(lesser.map(({ id }) => [id, { enabled: false }]));
    return (await axe.run(document, { resultTypes: ['violations'], rules })).violations;
  });
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, help, nodes }) =>
        `${id}: ${help}\n${nodes
          .slice(0, 4)
          .map((node) => `   ${node.html.slice(0, 200)}\n   ${node.any.map((check) => check.message).join('; ')}`)
          .join('\n')}`,
    );
}

let axeText: string | null = null;
function axeSource(): string {
  axeText ??= createRequire(import.meta.url)('node:fs').readFileSync(axePath, 'utf8') as string;
  return axeText;
}

/** A reverse proxy that puts a server under a path, as nginx does: `location /prefix/ { proxy_pass http://server/; }`. */
export async function proxyUnder(prefix: string, target: string): Promise<{ url: string; close(): Promise<void> }> {
  const { hostname, port } = new URL(target);
  const server = createServer((incoming, outgoing) => {
    if (!incoming.url?.startsWith(prefix)) {
      outgoing.writeHead(404).end();
      return;
    }
    const forwarded = request(
      {
        hostname,
        port,
        method: incoming.method,
        path: `/${incoming.url.slice(prefix.length)}`,
        headers: incoming.headers,
      },
      (reply) => {
        outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
        reply.pipe(outgoing);
      },
    );
    outgoing.on('close', () => forwarded.destroy());
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export const text = (page: Page, selector: string) => page.locator(selector).first().innerText();

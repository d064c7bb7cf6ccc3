// What a request of a browser says of the page that makes it, and what a page of another site may do with the answer.
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

/** The health of a server says nothing else, and is asked for by pages of every kind. */
const isHealth = (path: string): boolean => path === '/healthz' || path === '/readyz';
/** The page and its documents, which a link of another site may open; never data. */
const isDocument = (path: string): boolean => !/^\/(?:v1|metrics|openapi)/.test(path);

const pathOf = (url: string): string => url.split(/[?#]/, 1)[0] as string;

/**
 * Whether a page of another site makes the request. A browser says so by itself, and no page can forge it. A link that opens
 * the page in a tab of its own is let through: the other site sees nothing of it.
 */
export function isCrossSite({ method, url, headers }: RequestLine): boolean {
  if (headers['sec-fetch-site'] !== 'cross-site' || isHealth(pathOf(url))) return false;
  const opensPage =
    method === 'GET' && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  return !(opensPage && isDocument(pathOf(url)));
}

/** Whether a page makes the request that is not one of this server: what changes something is not for those. */
export const isForeignPage = (headers: IncomingHttpHeaders): boolean => {
  const site = headers['sec-fetch-site'];
  return site !== undefined && site !== 'same-origin';
};

interface RequestLine {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

const isolation = [
  ['x-frame-options', 'DENY'],
  ['x-content-type-options', 'nosniff'],
  ['cross-origin-resource-policy', 'same-origin'],
  ['cross-origin-opener-policy', 'same-origin'],
] as const;

/** No page may show the answer inside itself, embed it or hold on to its window. On the response itself, so that streams have it too. */
export function isolate(response: Pick<ServerResponse, 'setHeader'>): void {
  for (const [name, value] of isolation) response.setHeader(name, value);
}

/** The content policy of answers that are never a page. */
export const dataPolicy = "default-src 'none'; frame-ancestors 'none'";

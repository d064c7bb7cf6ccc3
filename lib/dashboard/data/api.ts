/** Requests to the queen that serves this page. Every address is relative to the page, so a path prefix needs no setting. */
import type { Problem } from '../../contract/api.js';

const timeoutMs = 8000;

/** An answer that is not 2xx, or none at all (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
  }
}

export const address = (path: string) => new URL(path, document.baseURI).href;

/** One part of a path. */
export const segment = encodeURIComponent;

export async function call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch(address(path), {
      method,
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    throw new ApiError(0, 'UNREACHABLE', error instanceof Error ? error.message : String(error));
  }
  const text = await response.text();
  if (!response.ok) {
    const problem = parse<Partial<Problem>>(text);
    throw new ApiError(
      response.status,
      problem?.code ?? 'HTTP',
      problem?.detail ?? problem?.title ?? response.statusText,
    );
  }
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

function parse<T>(text: string): T | null {
  try {
    return JSON.parse(text) as T;
  } catch {
    return null;
  }
}

export const get = <T>(path: string) => call<T>('GET', path);
export const post = <T>(path: string, body: unknown) => call<T>('POST', path, body);

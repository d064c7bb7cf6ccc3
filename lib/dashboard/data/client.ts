import { HivepulseClient, RequestError } from '../../client/client.js';

/** The queen that serves this page. Addresses are relative to the page, so a path prefix needs no setting. */
export const client = new HivepulseClient({ url: '', timeoutMs: 8000 });

export const isRefused = (error: unknown): boolean =>
  error instanceof RequestError && (error.status === 401 || error.status === 403);

/** Why a request failed, for people. */
export const errorText = (error: unknown): string =>
  error instanceof RequestError && error.problem !== null
    ? error.problem.detail
    : error instanceof Error
      ? error.message
      : String(error);

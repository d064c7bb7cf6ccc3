import { HivepulseError } from '../util/errors.js';

/** How every command ends; docs/cli.md says the same in words. `run` ends as its worker did. */
export const exitCodes = {
  ok: 0,
  /** It could not be done, or `doctor` found a fault. */
  failed: 1,
  /** The command line or the configuration is wrong; nothing was done. */
  usage: 2,
  /** The queen does not answer, or does not let the caller in. */
  unreachable: 3,
  /** A bug of hivepulse. */
  internal: 70,
} as const;

const usageErrors: readonly string[] = ['INVALID_OPTION', 'CONFIG_UNREADABLE', 'INSECURE_BIND'];
const networkErrors: readonly string[] = ['REQUEST_FAILED', 'REQUEST_TIMEOUT'];

/** Answers of a queen that say something about the request, not about whether one may ask. */
const answers: readonly unknown[] = [400, 404, 409, 413, 422];

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof HivepulseError)) return exitCodes.internal;
  if (answers.includes((error as { status?: unknown }).status)) return exitCodes.failed;
  if (usageErrors.includes(error.code)) return exitCodes.usage;
  if (networkErrors.includes(error.code)) return exitCodes.unreachable;
  return exitCodes.failed;
}

/** What to do about a queen that does not answer, or lets nobody in. */
function nextStep(error: HivepulseError): string | null {
  const { status } = error as { readonly status?: unknown };
  if (status === 401) return 'Give one with HIVEPULSE_TOKEN or --token-file.';
  if (status === 403) return 'Another token may: HIVEPULSE_TOKEN or --token-file.';
  const isAway = networkErrors.includes(error.code) && status === undefined && /^https?:/.test(error.subject);
  return isAway ? '`hivepulse up` starts one here; --queen host:port or HIVEPULSE_QUEEN names another.' : null;
}

/** The text of an error for people: one line where it is one of ours, with its stack where it is a bug. */
export function explain(error: unknown): string {
  if (error instanceof HivepulseError) return [error.message, nextStep(error)].filter(Boolean).join(' ');
  return `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

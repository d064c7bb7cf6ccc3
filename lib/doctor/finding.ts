export type Status = 'ok' | 'unknown' | 'warn' | 'fail';

/**
 * What one check found. `fail`: hivepulse cannot do its work here; `warn`: it can, with less; `unknown`: it cannot be found out.
 */
export interface Finding {
  /** Stable name of the check, for programs. */
  readonly check: string;
  readonly status: Status;
  readonly message: string;
  /** The command or act that fixes it, or that shows what is not known; null where there is nothing to fix. */
  readonly fix: string | null;
}

const withFix =
  (status: Status) =>
  (check: string, message: string, fix: string): Finding => ({ check, status, message, fix });

export const ok = (check: string, message: string): Finding => ({ check, status: 'ok', message, fix: null });
export const warn = withFix('warn');
export const unknown = withFix('unknown');
export const fail = withFix('fail');

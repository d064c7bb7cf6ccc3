/**
 * Every code an error of this package can carry. Stable: callers match on these, never on the text.
 * A code is added here first; each is raised by some test.
 */
export const errorCodes = [
  // options and configuration
  'INVALID_OPTION',
  'CONFIG_UNREADABLE',
  'INSECURE_BIND',
  // cgroups and processes
  'UNSUPPORTED_PLATFORM',
  'CGROUP_UNAVAILABLE',
  'CGROUP_PERMISSION_DENIED',
  'INSTANCE_OCCUPIED',
  'LIMIT_IN_PART',
  'LIMIT_NOT_APPLIED',
  'EXEC_NOT_FOUND',
  'EXEC_NOT_PERMITTED',
  'LAUNCH_FAILED',
  'WORKER_NOT_FOUND',
  'STOP_TIMEOUT',
  'PROCESS_UNVERIFIED',
  // service
  'ADDRESS_IN_USE',
  'ADDRESS_UNAVAILABLE',
  'STATE_UNWRITABLE',
  'DIRECTORY_UNTRUSTED',
  'CLOSED',
  'IDEMPOTENCY_CONFLICT',
  'TOO_MANY_RESERVATIONS',
  'BUS_UNAVAILABLE',
  // client and sender
  'REQUEST_FAILED',
  'REQUEST_TIMEOUT',
  'INVALID_RESPONSE',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** The one error class of this package: a stable code, what it is about, and what caused it. */
export class HivepulseError extends Error {
  readonly code: ErrorCode;
  /** The path, address, field, flag or worker id that the error is about. */
  readonly subject: string;

  constructor(code: ErrorCode, subject: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'HivepulseError';
    this.code = code;
    this.subject = subject;
  }
}

/** The `code` of a Node system error (`ENOENT`...), or null where there is none. */
export function systemCode(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : null;
}

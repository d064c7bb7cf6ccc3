/** A log of plain messages; a pino logger is one. */
export interface MessageLog {
  info(message: string): void;
  warn(message: string): void;
}

export const silentLog: MessageLog = { info: () => undefined, warn: () => undefined };

interface LogMethod {
  (fields: object, message?: string): void;
  (message: string): void;
}

/** A log by severity, with fields; a pino logger is one. An error goes in as the field `err`. */
export interface Log {
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
  readonly fatal: LogMethod;
}

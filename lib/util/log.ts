/** A log of plain messages; a pino logger is one. */
export interface MessageLog {
  info(message: string): void;
  warn(message: string): void;
}

export const silentLog: MessageLog = { info: () => undefined, warn: () => undefined };

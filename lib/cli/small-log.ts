import { writeSync } from 'node:fs';
import { systemCode } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { plainLine, type Stderr, wantsColours } from './log.js';

const levels = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: Number.POSITIVE_INFINITY };

/** Times and pauses for which a full pipe is waited on before a line is lost; never longer, whoever reads it. */
const tries = 20;
const pauseMs = 5;

/**
 * The log of a hive: the lines of the queen's (`pino-log.ts`), whose library takes 5 MiB of a process.
 * @param write in place of standard error, for tests.
 */
export function smallLog(level: string, stderr: Stderr = process.stderr, write = writerTo(stderr.fd)): Log {
  const least = levels[level as keyof typeof levels] ?? levels.info;
  const colours = wantsColours();
  const method = (number: number) => {
    if (number < least) return () => undefined;
    return (first: object | string, message?: string) => {
      const line = lineOf(number, typeof first === 'string' ? { msg: first } : { ...first, msg: message });
      write(`${stderr.isTTY ? plainLine(line, colours) : line}\n`);
    };
  };
  return {
    debug: method(levels.debug),
    info: method(levels.info),
    warn: method(levels.warn),
    error: method(levels.error),
    fatal: method(levels.fatal),
  };
}

function lineOf(level: number, { err, ...fields }: Record<string, unknown>): string {
  const head = { level, time: new Date().toISOString() };
  const error = err === undefined ? {} : { err: err instanceof Error ? errorOf(err) : err };
  try {
    return JSON.stringify({ ...head, ...error, ...fields });
  } catch {
    return JSON.stringify({ ...head, msg: fields.msg, unwritten: Object.keys(fields) });
  }
}

/** An error with all that it names as its cause. */
function errorOf(error: Error): object {
  const messages: string[] = [];
  const stacks: string[] = [];
  const seen = new Set<unknown>();
  for (let each: unknown = error; each instanceof Error && !seen.has(each); each = each.cause) {
    seen.add(each);
    messages.push(each.message);
    stacks.push(each.stack ?? '');
  }
  const named = { type: error.constructor.name, message: messages.join(': '), stack: stacks.join('\ncaused by: ') };
  return { ...error, ...named, cause: undefined };
}

/** Synchronous: a daemon that ends at once must not lose the line that says why. */
function writerTo(fd: number): (line: string) => void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  return (line) => {
    let bytes = Buffer.from(line);
    for (let tried = 0; bytes.length > 0 && tried < tries; ) {
      try {
        bytes = bytes.subarray(writeSync(fd, bytes));
      } catch (error) {
        if (systemCode(error) !== 'EAGAIN') return;
        tried++;
        Atomics.wait(pause, 0, 0, pauseMs);
      }
    }
  };
}

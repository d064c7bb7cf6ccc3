/** The one way to read a small file that a setting names: configuration, tokens, certificates, secrets. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { HivepulseError, systemCode } from './errors.js';
import { shownPath } from './shown-url.js';

const { O_RDONLY, O_NONBLOCK = 0, O_NOCTTY = 0 } = constants;
/** No configuration, list of tokens or chain of certificates is larger. */
const defaultMaxBytes = 1024 * 1024;
const defaultDeadlineMs = 5000;
const pollMs = 10;

export interface NamedFileOptions {
  /** What to do about it, a sentence without its full stop. */
  readonly fix?: string;
  readonly maxBytes?: number;
  /** So long a pipe may take. */
  readonly deadlineMs?: number;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read by this user',
  EISDIR: 'it is a directory',
  ELOOP: 'its symbolic links go round in a circle',
  ENXIO: 'nobody is at the other end of it',
  EFBIG: 'it is too large',
  ETIMEDOUT: 'it is a pipe, and nobody wrote to its end in time',
};

const failure = (code: string): Error => Object.assign(new Error(code), { code });

/**
 * The bytes of a file. Symbolic links are followed and pipes are read (`--config <(command)`), as the operator named them; a
 * pipe to which nobody writes ends with an error after `deadlineMs`, and nothing endless is read. It blocks meanwhile.
 * @throws HivepulseError CONFIG_UNREADABLE
 */
export function readNamedFile(path: string, options: NamedFileOptions = {}): Buffer {
  try {
    return read(path, options.maxBytes ?? defaultMaxBytes, options.deadlineMs ?? defaultDeadlineMs);
  } catch (error) {
    const code = systemCode(error) ?? '';
    const shown = shownPath(path);
    const advice = options.fix === undefined ? '' : ` ${options.fix}.`;
    const message = `${shown} cannot be read: ${reasons[code] ?? (code || 'it is no file')}.${advice}`;
    // Without the cause, which repeats the path: a secret may stand there by mistake.
    throw new HivepulseError('CONFIG_UNREADABLE', shown, message);
  }
}

/** As UTF-8; see {@link readNamedFile}. */
export const readNamedText = (path: string, options?: NamedFileOptions): string =>
  readNamedFile(path, options).toString('utf8');

function read(path: string, maxBytes: number, deadlineMs: number): Buffer {
  // Without waiting for a writer: opening a FIFO would otherwise never return.
  const descriptor = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  try {
    const isFile = fstatSync(descriptor).isFile();
    const endsAt = performance.now() + deadlineMs;
    const chunks: Buffer[] = [];
    let length = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(64 * 1024);
      const count = readSome(descriptor, chunk);
      if (count !== null && count > 0) {
        chunks.push(chunk.subarray(0, count));
        length += count;
        if (length > maxBytes) throw failure('EFBIG');
      } else if (count === 0 && (isFile || length > 0)) return Buffer.concat(chunks);
      else {
        // Of a pipe 0 bytes before the first are no end: its writer may not have come yet.
        if (performance.now() > endsAt) throw failure('ETIMEDOUT');
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pollMs);
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Null: nothing is there yet. */
function readSome(descriptor: number, chunk: Buffer): number | null {
  try {
    return readSync(descriptor, chunk);
  } catch (error) {
    if (systemCode(error) === 'EAGAIN') return null;
    throw error;
  }
}

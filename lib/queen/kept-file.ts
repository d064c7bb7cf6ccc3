import { mkdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { readUntrusted } from '../io/untrusted.js';
import { sweepTemporaryFiles, writeAtomically } from '../util/atomic-file.js';
import { settledWithin } from '../util/deadline.js';
import { HivepulseError, systemCode } from '../util/errors.js';

/** After a write that failed, ms. */
const retryMs = 2000;
/** A write that takes longer is logged once it is done, and a queen that ends does not wait longer for it, ms. */
const slowMs = 2000;

/** No state is longer: each has a bound of its own in characters, of which one may take three bytes. */
const maxFileBytes = 192 * 1024 * 1024;
/** A disk that wakes up may take long to read the file, ms. */
const openMs = 60_000;

const fullCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);

export interface KeptFile {
  /** Resolves when all that was marked so far is on the disk. @throws HivepulseError STATE_UNWRITABLE */
  saved(): Promise<void>;
  /** Writes what is left, unless the disk says nothing for two seconds. May be called twice. */
  close(): Promise<void>;
}

export interface KeptState<T> {
  readonly path: string;
  /** What the text of the file holds, or why it is not one of this kind. */
  readonly parse: (text: string) => { readonly state: T } | { readonly reason: string };
  readonly adopt: (state: T) => void;
  /** The text to write now. In pieces where it may be long: they are made while it is written. */
  readonly text: () => string | Iterable<string>;
  /** Has `mark` called at each change; null ends that. */
  readonly onChange: (mark: (() => void) | null) => void;
  /** What is lost with a file that is left out, in a sentence. */
  readonly loss: string;
  readonly warn: (message: string) => void;
  readonly write?: WriteFile;
  readonly slow?: number;
}

/**
 * Keeps a state in a file over restarts: reads it, then writes the file after each change, one write at a time, the newest
 * state always. The file is replaced whole (written beside, synced, renamed), so a crash leaves the former one. A file that
 * can't be understood is set aside under another name, with a line to `warn`. A disk that is full is written once it has room.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export async function keepFile<T>(kept: KeptState<T>): Promise<KeptFile> {
  const { path, warn, onChange, write, slow = slowMs } = kept;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await sweepTemporaryFiles(dirname(path));
    const state = await read(kept);
    if (state !== null) kept.adopt(state);
  } catch (error) {
    throw unwritable(path, error);
  }
  const warnOf = (message: string) => warn(`${path}: ${message}`);
  const writer = new Writer(path, kept.text, warnOf, write === undefined ? replaceDurably : replaceBy(write), slow);
  onChange(() => writer.mark());
  // The first write finds out now, and not at the first change, whether the directory can be written.
  writer.mark();
  await writer.settled().catch((error: HivepulseError) => {
    // A disk may have room again; a directory that nobody may write stays as it is.
    if (fullCodes.has(systemCode(error.cause) ?? ''))
      return warnOf(`${error.message} Tried again until there is room.`);
    writer.close();
    throw error;
  });
  return {
    saved: () => writer.settled(),
    async close() {
      onChange(null);
      try {
        let hangs = true;
        const settled = writer.settled().finally(() => {
          hangs = false;
        });
        await settledWithin(settled, slow);
        if (!hangs) await settled;
        else warnOf('the disk does not answer; what changed last may not be kept');
      } finally {
        writer.close();
      }
    },
  };
}

/** As `keepFile`, of what changes all the time: it is written where it is marked, and once more when it is closed. */
export async function keepMarked<T>(kept: Omit<KeptState<T>, 'onChange'>): Promise<KeptFile & { mark(): void }> {
  let marker: (() => void) | null = null;
  const file = await keepFile({
    ...kept,
    onChange: (mark) => {
      marker = mark;
    },
  });
  const mark = () => marker?.();
  return {
    saved: file.saved,
    mark,
    close() {
      mark();
      return file.close();
    },
  };
}

async function read<T>({ path, parse, loss, warn }: KeptState<T>): Promise<T | null> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(await readUntrusted(path, { maxBytes: maxFileBytes, deadlineMs: openMs }));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    // It is no file of ours, which are shorter; a queen that does not start for it would be worse than one without it.
    if (systemCode(error) !== 'EFBIG') throw error;
    parsed = { reason: 'it is too long' };
  }
  if ('state' in parsed) return parsed.state;
  const aside = `${path}.unreadable-${new Date().toISOString().replaceAll(':', '')}`;
  await rename(path, aside);
  warn(`${path} is left out, since ${parsed.reason}; it is kept as ${aside}. ${loss}`);
  return null;
}

/** A file's text as JSON, or why it is none. */
function parseJson(text: string): { readonly value: unknown } | { readonly reason: string } {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { reason: text.trim() === '' ? 'it is empty' : 'it is not whole JSON' };
  }
}

/** How the list in a file `{"kind": ..., "version": 1, "<name>": [...]}` is read; `what` names it where a file is no such. Pure. */
export function listParser<Item extends TSchema>(kind: string, name: string, item: Item, what: string) {
  const saved = Compile(Type.Object({ kind: Type.Literal(kind), version: Type.Literal(1), [name]: Type.Array(item) }));
  return (text: string): { readonly state: readonly Static<Item>[] } | { readonly reason: string } => {
    const parsed = parseJson(text);
    if ('reason' in parsed) return parsed;
    if (!saved.Check(parsed.value)) return { reason: `it is not a file of ${what} of this version` };
    return { state: (parsed.value as Readonly<Record<string, readonly Static<Item>[]>>)[name] ?? [] };
  };
}

/** The text of such a file in pieces; `items` are JSON. */
export function* listPieces(kind: string, name: string, items: Iterable<string>): Generator<string, void> {
  yield `{"kind":"${kind}","version":1,"${name}":[`;
  let separator = '';
  for (const item of items) {
    yield `${separator}${item}`;
    separator = ',';
  }
  yield ']}';
}

export type WriteFile = (path: string, text: string) => Promise<void>;
type Replace = (path: string, text: string | Iterable<string>) => Promise<void>;
const replaceDurably: Replace = (path, text) => writeAtomically(path, text, { durable: true });
const replaceBy =
  (write: WriteFile): Replace =>
  (path, text) =>
    write(path, typeof text === 'string' ? text : [...text].join(''));

/** Writes the newest state, one write at a time; changes during a write make one more. */
class Writer {
  readonly #path: string;
  readonly #text: KeptState<unknown>['text'];
  readonly #warn: (message: string) => void;
  readonly #replace: Replace;
  readonly #slowMs: number;
  #dirty = false;
  #writing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | null = null;
  #failed = false;
  #closed = false;

  constructor(
    path: string,
    text: KeptState<unknown>['text'],
    warn: (message: string) => void,
    replace: Replace,
    slowMs: number,
  ) {
    this.#path = path;
    this.#text = text;
    this.#warn = warn;
    this.#replace = replace;
    this.#slowMs = slowMs;
  }

  mark(): void {
    this.#dirty = true;
    // A failure is reported to whoever waits for it, and tried again.
    if (!this.#writing) this.#start().catch(() => {});
  }

  /** No more tries after this. */
  close(): void {
    this.#closed = true;
    if (this.#retry) clearTimeout(this.#retry);
  }

  async settled(): Promise<void> {
    if (this.#writing) await this.#writing;
    else if (this.#dirty) await this.#start();
  }

  /** A disk that was full may have room again long before the next grant: what was granted must not wait for that. */
  #tryLater(): void {
    this.#failed = true;
    if (this.#closed) return;
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.mark(), retryMs).unref();
  }

  #start(): Promise<void> {
    this.#writing = this.#write().finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #write(): Promise<void> {
    // One turn later: what is granted in the same turn goes into the same write.
    await Promise.resolve();
    while (this.#dirty) {
      this.#dirty = false;
      const startedMs = performance.now();
      try {
        await this.#replace(this.#path, this.#text());
      } catch (error) {
        this.#dirty = true;
        this.#tryLater();
        throw unwritable(this.#path, error);
      }
      if (this.#retry) clearTimeout(this.#retry);
      if (this.#failed || performance.now() - startedMs >= this.#slowMs) this.#warn('the state is kept again');
      this.#failed = false;
    }
  }
}

const unwritable = (path: string, cause: unknown): HivepulseError =>
  cause instanceof HivepulseError
    ? cause
    : new HivepulseError(
        'STATE_UNWRITABLE',
        path,
        `${path} can't be kept: ${cause instanceof Error ? cause.message : String(cause)}. Give --state a directory that this user may write.`,
        { cause },
      );

/**
 * Reads one answer of HTTP/1.0 or 1.1 as it comes, without header fields that nobody asks for: what a probe needs, at less than
 * half the cost of a general client. Pure: bytes in, an answer out.
 */

/** One answer; `body` is null where it is longer than asked for. */
export interface HttpAnswer {
  readonly status: number;
  /** Where the answer came in one piece, a part of that. */
  readonly body: Buffer | null;
  /** The connection can be used again. */
  readonly reusable: boolean;
}

/** What came is no HTTP, or not all of an answer. */
export class NotHttp extends Error {
  readonly code = 'NOT_HTTP';
}

const maxHeadBytes = 16 * 1024;
/** A chunk's size, with room for extensions that nobody uses. */
const maxChunkLineBytes = 256;
const headEnd = Buffer.from('\r\n\r\n');
const httpStart = Buffer.from('HTTP/1.');
const nothing = Buffer.alloc(0);
const [cr, lf, colon] = [0x0d, 0x0a, 0x3a];

interface Head {
  readonly status: number;
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  readonly length: number;
  readonly keepsAlive: boolean;
}

export class HttpAnswerReader {
  readonly #maxBodyBytes: number;
  #head: Head | null = null;
  /** Bytes that no part has used yet. */
  #rest: Buffer = nothing;
  readonly #body: Buffer[] = [];
  /** Parts of the body that are no part of a piece that came. */
  #ownParts = 0;
  #bodyBytes = 0;
  /** Of the chunk at hand; null: its size is still to come. */
  #chunkLeft: number | null = null;
  #trailer = false;

  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
  }

  /** Takes what came, of which it keeps nothing; the answer once it is whole, or longer than is wanted. Throws `NotHttp`. */
  push(chunk: Buffer): HttpAnswer | null {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const answer = this.#read();
    if (answer === null) this.#copyViews();
    return answer;
  }

  /** The bytes of a piece may be used anew before the next one comes. */
  #copyViews(): void {
    this.#rest = this.#rest.length === 0 ? nothing : Buffer.from(this.#rest);
    for (; this.#ownParts < this.#body.length; this.#ownParts += 1)
      this.#body[this.#ownParts] = Buffer.from(this.#body[this.#ownParts] as Buffer);
  }

  #read(): HttpAnswer | null {
    while (this.#head === null) if (!this.#readHead()) return null;
    const { framing } = this.#head;
    if (framing === 'none') return this.#done();
    if (framing === 'chunked') return this.#readChunks();
    const taken = framing === 'length' ? this.#head.length - this.#bodyBytes : this.#rest.length;
    if (!this.#take(taken)) return this.#tooLong();
    return framing === 'length' && this.#bodyBytes === this.#head.length ? this.#done() : null;
  }

  /** The other side ended. */
  end(): HttpAnswer {
    if (this.#head?.framing === 'close') return this.#done();
    throw new NotHttp('the connection ended within an answer');
  }

  /** Whether there is a whole head. */
  #readHead(): boolean {
    const common = Math.min(httpStart.length, this.#rest.length);
    if (this.#rest.compare(httpStart, 0, common, 0, common) !== 0) throw new NotHttp('the answer is no HTTP');
    const at = this.#rest.indexOf(headEnd);
    if (at < 0 ? this.#rest.length > maxHeadBytes : at > maxHeadBytes) throw new NotHttp('the head is too long');
    if (at < 0) return false;
    const head = headOf(this.#rest, at);
    this.#rest = this.#rest.subarray(at + headEnd.length);
    // Informational answers come before the one that counts.
    if (head.status >= 200) this.#head = head;
    return true;
  }

  /** Moves up to so many bytes to the body; false where it becomes longer than is wanted. */
  #take(bytes: number): boolean {
    const part = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(part.length);
    this.#bodyBytes += part.length;
    if (this.#bodyBytes > this.#maxBodyBytes) return false;
    if (part.length > 0) this.#body.push(part);
    return true;
  }

  #readChunks(): HttpAnswer | null {
    for (;;) {
      if (this.#chunkLeft !== null && this.#chunkLeft > 0) {
        const before = this.#bodyBytes;
        if (!this.#take(this.#chunkLeft)) return this.#tooLong();
        this.#chunkLeft -= this.#bodyBytes - before;
        if (this.#chunkLeft > 0) return null;
      }
      const line = this.#line();
      if (line === null) return null;
      if (!this.#trailer) this.#nextChunk(line);
      else if (line === '') return this.#done();
    }
  }

  /** A chunk is followed by an empty line, and that by the size of the next. */
  #nextChunk(line: string): void {
    if (this.#chunkLeft === 0) {
      if (line !== '') throw new NotHttp('a chunk is longer than its size');
      this.#chunkLeft = null;
      return;
    }
    const size = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;|$)/.exec(line)?.[1];
    if (size === undefined) throw new NotHttp('a chunk has no size');
    this.#chunkLeft = Number.parseInt(size, 16);
    this.#trailer = this.#chunkLeft === 0;
  }

  /** The next line without its end; null where it is not whole yet. */
  #line(): string | null {
    const at = this.#rest.indexOf('\r\n');
    if (at < 0 ? this.#rest.length > maxChunkLineBytes : at > maxChunkLineBytes)
      throw new NotHttp('a line between chunks is too long');
    if (at < 0) return null;
    const line = this.#rest.toString('latin1', 0, at);
    this.#rest = this.#rest.subarray(at + 2);
    return line;
  }

  #done(): HttpAnswer {
    const { status, framing, keepsAlive } = this.#head as Head;
    const reusable = keepsAlive && framing !== 'close' && this.#rest.length === 0;
    return { status, body: this.#body.length === 1 ? (this.#body[0] as Buffer) : Buffer.concat(this.#body), reusable };
  }

  #tooLong(): HttpAnswer {
    return { status: (this.#head as Head).status, body: null, reusable: false };
  }
}

/** Where the line at `from` ends. */
function endOfLine(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && (bytes[at] !== cr || bytes[at + 1] !== lf)) at += 1;
  return at;
}

const statusLine = /^([01]) ([1-9]\d\d)(?: |$)/;

/** The fields that are looked at have names of other lengths than most; no text is made of those that are not. */
const lengthsOfNames: ReadonlySet<number> = new Set(
  ['connection', 'content-length', 'transfer-encoding'].map(({ length }) => length),
);

const textOf = (bytes: Buffer, from: number, end: number): string => bytes.toString('latin1', from, end).toLowerCase();

/** What its bytes up to `end` say. */
function headOf(bytes: Buffer, end: number): Head {
  const first = endOfLine(bytes, 0, end);
  // Only the beginning of `1.1 200 OK` is looked at; what stands before has been compared.
  const start = statusLine.exec(bytes.toString('latin1', httpStart.length, Math.min(first, httpStart.length + 6)));
  if (start === null) throw new NotHttp('the first line is no status');
  const status = Number(start[2]);
  let keepsAlive = start[1] === '1';
  let length: number | null = null;
  let chunked = false;
  for (let from = first + 2, last = first; from <= end; from = last + 2) {
    last = endOfLine(bytes, from, end);
    let behind = from;
    while (behind < last && bytes[behind] !== colon) behind += 1;
    if (behind === from || behind === last) throw new NotHttp('a header field has no name');
    if (!lengthsOfNames.has(behind - from)) continue;
    const value = textOf(bytes, behind + 1, last).trim();
    switch (textOf(bytes, from, behind)) {
      case 'connection':
        keepsAlive = value === 'keep-alive' || (keepsAlive && !value.includes('close'));
        break;
      case 'transfer-encoding':
        chunked = isChunked(value) || chunked;
        break;
      case 'content-length':
        length = lengthOf(value, length);
    }
  }
  return { status, framing: framingOf(status, chunked, length), length: length ?? 0, keepsAlive };
}

function isChunked(coding: string): boolean {
  if (coding !== 'chunked' && coding !== 'identity') throw new NotHttp('its transfer encoding is not known');
  return coding === 'chunked';
}

function lengthOf(text: string, before: number | null): number {
  const length = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(length) || (before !== null && before !== length)) throw new NotHttp('its length is no number');
  return length;
}

function framingOf(status: number, chunked: boolean, length: number | null): Head['framing'] {
  if (status === 204 || status === 304) return 'none';
  if (chunked) return 'chunked';
  if (length === null) return 'close';
  return length === 0 ? 'none' : 'length';
}

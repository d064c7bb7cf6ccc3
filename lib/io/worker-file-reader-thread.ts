// The thread of WorkerFileReader: one batch at a time, in order.
import { closeSync, lstatSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { bytesOfPath, pathFromBytes } from '../util/byte-path.js';
import { type DirectoryEntry, type KeptResult, type PidInodes, sleeps, splitDevice } from './file-reader.js';
import { KeptFiles } from './kept-files.js';
import type { FilesRequest, FilesResponse } from './open-file-reader.js';
import { openRegularFileSync } from './untrusted.js';

const port = parentPort as MessagePort;
/** As WorkerFileReader has it. */
const running = new BigInt64Array(workerData as SharedArrayBuffer);
const kept = new KeptFiles();
// Files that are missing are asked for all the time, and where in this file is of no use.
Error.stackTraceLimit = 0;
const chunk = 64 * 1024;
const { ENOTSUP } = constants.errno;

function orErrno<T>(work: () => T): T | number {
  try {
    return work();
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).errno;
    if (typeof errno === 'number') return -errno;
    throw error;
  }
}

function readWhole(path: string, maxBytes: number): Uint8Array {
  const descriptor = openRegularFileSync(bytesOfPath(path));
  try {
    const parts: Buffer[] = [];
    let length = 0;
    while (length < maxBytes) {
      const part = Buffer.allocUnsafeSlow(Math.min(chunk, maxBytes - length));
      const got = readSync(descriptor, part, 0, part.length, null);
      if (got === 0) break;
      parts.push(part.subarray(0, got));
      length += got;
    }
    return Buffer.concat(parts, length);
  } finally {
    closeSync(descriptor);
  }
}

function list(path: string): readonly DirectoryEntry[] {
  return readdirSync(bytesOfPath(path), { withFileTypes: true, encoding: 'buffer' }).map((entry) => ({
    name: pathFromBytes(entry.name),
    isDirectory: entry.isDirectory(),
  }));
}

/** A link that goes away meanwhile is none. */
function links(path: string, prefix: string): readonly { readonly name: string; readonly target: string }[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isSymbolicLink())
    .map(({ name }) => ({ name, target: orErrno(() => readlinkSync(join(path, name))) }))
    .filter((link): link is { name: string; target: string } => String(link.target).startsWith(prefix));
}

function pids(path: string): PidInodes {
  const names = readdirSync(path).filter((name) => /^[1-9]\d*$/.test(name));
  return new Map(names.map((name) => [Number(name), orErrno(() => lstatSync(join(path, name)).ino)]));
}

/** As `FileReader.readAwake`. */
function readAwake(device: string, maxBytes: number): readonly KeptResult[] {
  const results: KeptResult[] = [];
  for (const [at, path] of splitDevice(device).entries()) {
    Atomics.store(running, 1, BigInt(at));
    const result = orErrno(() => kept.read(path, maxBytes));
    results.push(result);
    if (at === 0 && typeof result === 'string' && sleeps(result)) break;
  }
  Atomics.store(running, 1, 0n);
  return results;
}

function workOn(path: string, { work, argument }: FilesRequest) {
  switch (work) {
    case 'read':
      return readWhole(path, Number(argument));
    case 'readKept':
      return kept.read(path, Number(argument));
    case 'readAwake':
      return readAwake(path, Number(argument));
    case 'list':
      return list(path);
    case 'pids':
      return pids(path);
    case 'links':
      return links(path, String(argument)).map(({ target }) => target);
    case 'linkNames':
      return links(path, String(argument)).map(({ name }) => name);
    default:
      return ENOTSUP;
  }
}

port.on('message', (request: FilesRequest) => {
  const { id, paths } = request;
  Atomics.store(running, 0, process.hrtime.bigint());
  const results = paths.map((path) => orErrno(() => workOn(path, request)));
  if (request.work === 'readKept' || request.work === 'readAwake') kept.endBatch();
  Atomics.store(running, 0, 0n);
  port.postMessage({ id, results } satisfies FilesResponse);
});

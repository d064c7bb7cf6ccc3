// A read-only FUSE file system that mirrors a directory (/proc), some of whose files never answer: what a /proc entry
// behind a lock of the kernel looks like. Run as a process of its own: `node fuse-proc.js SOURCE MOUNTPOINT`.
// Lines on stdin: `wedge PATH` (relative), `release`. Prints `mounted`, then `blocked PATH` for each read that it holds up.
import { spawnSync } from 'node:child_process';
import { lstatSync, openSync, read, readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [source, mountPoint] = process.argv.slice(2);
const fd = openSync('/dev/fuse', 'r+');
const options = `fd=3,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`;
const mounted = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'hivepulse-test', mountPoint], {
  stdio: ['ignore', 'inherit', 'inherit', fd],
});
if (mounted.status !== 0) process.exit(1);

/** Node ids are given per path and never reused; the root is 1. */
const paths = ['', ''];
const ids = new Map([['', 1]]);
const wedged = new Set();
let held = [];

const idOf = (path) => {
  if (!ids.has(path)) {
    ids.set(path, paths.length);
    paths.push(path);
  }
  return ids.get(path);
};

/** struct fuse_attr. Regular files claim no size: they are read with direct I/O to their end, as /proc's are. */
function attributes(path) {
  const stat = lstatSync(join(source, path));
  const out = Buffer.alloc(88);
  out.writeBigUInt64LE(BigInt(idOf(path)), 0);
  out.writeUInt32LE(stat.mode, 60);
  out.writeUInt32LE(stat.nlink, 64);
  out.writeUInt32LE(stat.uid, 68);
  out.writeUInt32LE(stat.gid, 72);
  out.writeUInt32LE(4096, 80);
  return out;
}

function directory(path) {
  const entries = readdirSync(join(source, path), { withFileTypes: true });
  const types = (entry) => (entry.isDirectory() ? 4 : entry.isSymbolicLink() ? 10 : 8);
  return entries.map((entry, i) => {
    const name = Buffer.from(entry.name);
    const out = Buffer.alloc(24 + Math.ceil(name.length / 8) * 8);
    out.writeBigUInt64LE(BigInt(i + 2), 0);
    out.writeBigUInt64LE(BigInt(i + 1), 8);
    out.writeUInt32LE(name.length, 16);
    out.writeUInt32LE(types(entry), 20);
    name.copy(out, 24);
    return out;
  });
}

/** What is open: the content of a file when it was opened, or the entries of a directory. */
const handles = new Map();
let nextHandle = 1;
function opened(content) {
  const out = Buffer.alloc(16);
  out.writeBigUInt64LE(BigInt(nextHandle), 0);
  out.writeUInt32LE(1, 8); // FOPEN_DIRECT_IO
  handles.set(nextHandle, content);
  nextHandle += 1;
  return out;
}

function closed(_path, body) {
  handles.delete(Number(body.readBigUInt64LE(0)));
  return Buffer.alloc(0);
}

/** Answers by opcode (linux/fuse.h); undefined: no answer is due, null: none yet. */
const operations = {
  26: (_path, body) => {
    const out = Buffer.alloc(64);
    out.writeUInt32LE(7, 0);
    out.writeUInt32LE(Math.min(31, body.readUInt32LE(4)), 4);
    out.writeUInt16LE(64, 16); // max_background
    out.writeUInt16LE(48, 18);
    out.writeUInt32LE(65_536, 20);
    return out;
  },
  1: (path, body) => {
    const name = body.subarray(0, body.indexOf(0)).toString();
    const child = path === '' ? name : `${path}/${name}`;
    const attr = attributes(child);
    const out = Buffer.alloc(40);
    out.writeBigUInt64LE(BigInt(idOf(child)), 0);
    return Buffer.concat([out, attr]);
  },
  3: (path) => Buffer.concat([Buffer.alloc(16), attributes(path)]),
  5: (path) => Buffer.from(readlinkSync(join(source, path))),
  14: (path) => opened(wedged.has(path) ? null : readFileSync(join(source, path))),
  27: (path) => opened(directory(path)),
  15: (path, body) => {
    const content = handles.get(Number(body.readBigUInt64LE(0)));
    if (content === null) {
      console.log(`blocked ${path}`);
      return null;
    }
    const offset = Number(body.readBigUInt64LE(8));
    return content.subarray(offset, offset + body.readUInt32LE(16));
  },
  28: (_path, body) => {
    const entries = handles.get(Number(body.readBigUInt64LE(0)));
    const most = body.readUInt32LE(16);
    const out = [];
    let size = 0;
    for (let i = Number(body.readBigUInt64LE(8)); i < entries.length && size + entries[i].length <= most; i += 1) {
      out.push(entries[i]);
      size += entries[i].length;
    }
    return Buffer.concat(out);
  },
  18: closed,
  29: closed,
  25: () => Buffer.alloc(0),
  17: () => Buffer.alloc(80),
  2: () => undefined,
  36: () => undefined,
  42: () => undefined,
};

function answer(unique, error, body) {
  const out = Buffer.alloc(16 + body.length);
  out.writeUInt32LE(out.length, 0);
  out.writeInt32LE(error, 4);
  unique.copy(out, 8);
  body.copy(out, 16);
  try {
    writeSync(fd, out);
  } catch (error_) {
    // The reader has been killed meanwhile.
    if (error_.code !== 'ENOENT') throw error_;
  }
}

const buffer = Buffer.alloc(1 << 20);
function next() {
  read(fd, buffer, 0, buffer.length, null, (error, length) => {
    if (error?.code === 'ENODEV') process.exit(0); // unmounted
    if (error && error.code !== 'EINTR' && error.code !== 'ENOENT') throw error;
    if (!error) handle(Buffer.from(buffer.subarray(0, length)));
    next();
  });
}

function handle(request) {
  const unique = request.subarray(8, 16);
  const path = paths[Number(request.readBigUInt64LE(16))] ?? '';
  const operation = operations[request.readUInt32LE(4)];
  if (!operation) return answer(unique, -constants.errno.ENOSYS, Buffer.alloc(0));
  try {
    const body = operation(path, request.subarray(40));
    if (body === null) held.push({ unique, path });
    else if (body !== undefined) answer(unique, 0, body);
  } catch (error) {
    answer(unique, -(constants.errno[error.code] ?? constants.errno.EIO), Buffer.alloc(0));
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, path] = line.split(' ');
  if (command === 'wedge') wedged.add(path);
  if (command === 'release') {
    wedged.clear();
    for (const [handle_, content] of handles) if (content === null) handles.set(handle_, Buffer.alloc(0));
    for (const { unique } of held) answer(unique, -constants.errno.EIO, Buffer.alloc(0));
    held = [];
  }
  console.log(`ok ${line}`);
});
console.log('mounted');
next();

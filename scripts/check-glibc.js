// `npm run check:glibc [-- FILE...]`: what the shipped binaries ask of the host. Built for glibc, no symbol newer than 2.28
// (RHEL 8, Debian 10, Ubuntu 20.04) and no libstdc++; built for musl, nothing but its libc. Read by `objdump -T` and `-p`.
import { existsSync, readdirSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { isMain, read, root } from './run.js';

export const floor = '2.28';

const numeric = (version) => version.split('.').map(Number);
const newer = (a, b) => {
  const [left, right] = [numeric(a), numeric(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    if ((left[i] ?? 0) !== (right[i] ?? 0)) return (left[i] ?? 0) > (right[i] ?? 0);
  }
  return false;
};

/** What is wrong with a binary, given its name and what objdump says of it; and the newest glibc it needs, or null. */
export function judge(name, symbols, headers) {
  const versions = [...symbols.matchAll(/\bGLIBC_(\d+(?:\.\d+)+)/g)].map(([, version]) => version);
  const newest = versions.reduce((most, version) => (most === null || newer(version, most) ? version : most), null);
  const libraries = [...headers.matchAll(/^\s*NEEDED\s+(\S+)/gm)].map(([, library]) => library);
  const wrong = [];
  const foreign = libraries.filter((library) => /^lib(stdc\+\+|gcc_s|c\+\+)/.test(library));
  if (foreign.length > 0) wrong.push(`needs ${foreign.join(', ')} of the host`);
  if (newest !== null && newer(newest, floor)) wrong.push(`needs glibc ${newest}; no newer than ${floor} is promised`);
  if (/\.musl(\.node)?$/.test(name)) {
    if (newest !== null) wrong.push('is built against glibc');
    const others = libraries.filter((library) => !/^(libc\.so|libc\.musl-.*|ld-musl-.*)$/.test(library));
    if (others.length > 0) wrong.push(`needs ${others.join(', ')}`);
  } else if (/\.node$/.test(name) && newest === null) {
    wrong.push('has no glibc symbol: it is not what its name says');
  }
  return { newest, libraries, wrong };
}

/** A file that is linked statically asks for nothing: objdump says so and writes no symbols. */
const objdump = (option, file) => read('objdump', [option, file], { allowed: /not a dynamic object/ });

function shipped() {
  const prebuilds = join(root, 'prebuilds');
  if (!existsSync(prebuilds)) return [];
  const files = readdirSync(prebuilds, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => !path.endsWith('.gitkeep'))
    .sort();
}

function main(given) {
  const files = given.length > 0 ? given : shipped();
  if (files.length === 0) {
    console.error('check:glibc: nothing is prebuilt; `npm run build:prebuilds` does it');
    return 1;
  }
  let status = 0;
  for (const file of files) {
    const { newest, libraries, wrong } = judge(basename(file), objdump('-T', file), objdump('-p', file));
    const needs = newest ? `glibc ${newest}` : libraries.length > 0 ? libraries.join(', ') : 'nothing';
    console.log(`${wrong.length > 0 ? 'BAD' : 'ok '} ${relative(root, file)}: needs ${needs}`);
    for (const text of wrong) console.error(`check:glibc: ${relative(root, file)} ${text}`);
    if (wrong.length > 0) status = 1;
  }
  return status;
}

if (isMain(import.meta)) process.exit(main(process.argv.slice(2)));

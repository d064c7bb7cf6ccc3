// What a binary of ours does so that a fault in it is hard to use: a stack protector and checked copies, relocations that are
// read-only once it runs, and no fixed address. Read by `objdump -f`, `-p` and `-T`.
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { read, root } from './run.js';

/** What a binary lacks, given its name and what objdump says of its file, headers and symbols. */
export function judgeHardening(name, file, headers, symbols) {
  // The shipped launcher is linked statically, at a fixed address: it parses no input but its arguments, then becomes the command.
  const isStatic = !/^Dynamic Section:/m.test(headers);
  const wrong = [];
  if (!/^\s*RELRO\b/m.test(headers)) wrong.push('no RELRO');
  if (isStatic) return name.endsWith('hivepulse-launch') ? wrong : [...wrong, 'is linked statically'];
  if (!/\bDYNAMIC\b/.test(file) || /\bEXEC_P\b/.test(file)) wrong.push('no PIE');
  if (!/^\s*(?:BIND_NOW\b|FLAGS\s+0x0*[0-9a-f]*8\b|FLAGS_1\s+0x[0-9a-f]*[13579bdf]\b)/m.test(headers))
    wrong.push('relocations are not bound at start (-z now)');
  // What zig builds carries the function of the stack protector in itself, where stripping hides it.
  if (!/prebuilds/.test(name) && !/\b__stack_chk_fail\b/.test(symbols)) wrong.push('no stack protector');
  if (/\bGLIBC_/.test(symbols) && !/\b__\w+_chk\b/.test(symbols.replaceAll('__stack_chk_fail', '')))
    wrong.push('no checked copies (_FORTIFY_SOURCE)');
  return wrong;
}

const objdump = (option, file) => read('objdump', [option, file], { allowed: /not a dynamic object/ });

const isBinary = (name) => /^hivepulse(?:\.[\w.]*node|-gpu(?:\.\w+)?|-launch)$/.test(name);

/** The binaries that are built or prebuilt here. */
export function ownBinaries() {
  const directories = ['build/Release', 'prebuilds'].map((name) => join(root, name)).filter((path) => existsSync(path));
  return directories.flatMap((directory) =>
    readdirSync(directory, { recursive: directory.endsWith('prebuilds'), withFileTypes: true })
      .filter((entry) => entry.isFile() && isBinary(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
}

/** What each of our binaries lacks. */
export function hardeningProblems(files = ownBinaries()) {
  return files.flatMap((path) =>
    judgeHardening(path, objdump('-f', path), objdump('-p', path), objdump('-T', path)).map(
      (problem) => `${relative(root, path)}: ${problem}`,
    ),
  );
}

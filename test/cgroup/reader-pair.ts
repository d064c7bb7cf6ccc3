import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { FilesReader } from '../../lib/cgroup/files.js';
import { NativeReader } from '../../lib/cgroup/native.js';
import { readerDefaults } from '../../lib/cgroup/reader.js';
import { type Binding, loadBinding } from '../../lib/native/binding.js';
import {
  processColumns,
  type RawPass,
  type RawReader,
  type RawReaderOptions,
  type WorkerColumn,
  type WorkerFile,
  workerColumns,
  workerFiles,
} from '../../lib/native/layout.js';

/** File name (relative, may be nested) to content. */
export type Tree = Readonly<Record<string, string | Buffer>>;

export function writeTree(directory: string, tree: Tree): void {
  for (const [name, content] of Object.entries(tree)) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
}

/** The addon; where it does not load these suites have nothing to compare and must fail. */
export function binding(): Binding {
  const result = loadBinding();
  if (!result.binding) throw new Error(`these tests need the addon: ${result.reason}`);
  return result.binding;
}

export function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hivepulse-readers-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function readers(options: Partial<RawReaderOptions> = {}): { native: RawReader; files: RawReader } {
  const whole = { ...readerDefaults, ...options };
  const pair = { native: new NativeReader(binding(), whole), files: new FilesReader(whole) };
  onTestFinished(() => {
    pair.native.close();
    pair.files.close();
  });
  return pair;
}

export interface Row {
  readonly columns: Readonly<Record<WorkerColumn, number>>;
  readonly errors: Readonly<Record<WorkerFile, number>>;
  readonly processes: readonly Readonly<Record<(typeof processColumns)[number], number>>[];
}

/** A pass as objects by name, so that a difference reads well. */
export function decode(pass: RawPass): readonly Row[] {
  const count = pass.errors.length / workerFiles.length;
  expect(pass.workers.length).toBe(count * workerColumns.length);
  return Array.from({ length: count }, (_, slot) => {
    const named = <N extends string>(names: readonly N[], from: ArrayLike<number>, base: number) =>
      Object.fromEntries(names.map((name, i) => [name, from[base + i]])) as Record<N, number>;
    const columns = named(workerColumns, pass.workers, slot * workerColumns.length);
    const first = Number.isNaN(columns.processCount) ? 0 : columns.processOffset;
    const processes = Array.from({ length: columns.processCount || 0 }, (_, i) =>
      named(processColumns, pass.processes, (first + i) * processColumns.length),
    );
    return { columns, errors: named(workerFiles, pass.errors, slot * workerFiles.length), processes };
  });
}

/** Without what differs by the moment of reading. */
export const timeless = (rows: readonly Row[]): readonly Row[] =>
  rows.map((row) => ({ ...row, columns: { ...row.columns, monotonicMs: 0 } }));

/** One pass of each over the same trees: equal, and given back. */
export function passBoth(pair: { native: RawReader; files: RawReader }): readonly Row[] {
  const native = decode(pair.native.passSync());
  const files = decode(pair.files.passSync());
  expect(timeless(files)).toEqual(timeless(native));
  return native;
}

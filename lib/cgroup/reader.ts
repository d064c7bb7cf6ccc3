import { type BindingResult, loadBinding } from '../native/binding.js';
import type { RawReader, RawReaderOptions } from '../native/layout.js';
import { HivepulseError } from '../util/errors.js';
import { FailoverReader } from './failover.js';
import { FilesReader } from './files.js';
import { NativeReader } from './native.js';

/** Which reader of cgroup files: `auto` is native, else TypeScript. */
export type ReaderChoice = 'auto' | 'native' | 'files';

export const readerDefaults: RawReaderOptions = {
  procRoot: '/proc',
  processMemory: false,
  processIo: false,
  memoryStatEvery: 5,
  maxDescriptors: Number.POSITIVE_INFINITY,
};

export interface OpenedReader {
  readonly reader: RawReader;
  /** Why it is not the native one; null where it is. */
  readonly reason: string | null;
}

/**
 * Opens the reader asked for. `auto` takes the addon where it loads, else gives the reason; `native` throws
 * UNSUPPORTED_PLATFORM where it does not load.
 */
export function openReader(
  choice: ReaderChoice,
  options: Partial<RawReaderOptions> = {},
  load: () => BindingResult = loadBinding,
): OpenedReader {
  const whole = { ...readerDefaults, ...options };
  const files = () => new FailoverReader(() => new FilesReader(whole));
  if (choice === 'files') return { reader: files(), reason: 'the TypeScript reader was asked for' };
  const { binding, reason } = load();
  if (binding) {
    binding.raiseDescriptorLimit();
    return { reader: new FailoverReader(() => new NativeReader(binding, whole)), reason: null };
  }
  if (choice === 'native') {
    throw new HivepulseError('UNSUPPORTED_PLATFORM', 'reader', `The native reader was asked for, but ${reason}.`);
  }
  return { reader: files(), reason };
}

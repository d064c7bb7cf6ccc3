import { shortestIntervalMs } from '../defaults.js';
import { gpuReaders } from '../enums.js';
import type { FieldTable } from './field.js';
import { amount, integer, list, nullable, oneOf, text } from './shape.js';

export const intervalShape = integer(
  shortestIntervalMs,
  'The interval that the hive keeps to now: its own, or the longer one that it was asked for.',
  600_000,
);

/** How a heartbeat came to be. */
export const collectionFields = {
  durationMs: { shape: amount('Time that the last pass took.') },
  ageMs: { shape: amount('Age of the last pass when the heartbeat was built.') },
  cgroupReader: { shape: oneOf(['native', 'files', 'none']), least: 'none' },
  cgroupReaderReason: { shape: nullable(text({ maxLength: 512 }, 'Why it is not `native`.')) },
  gpuReader: { shape: oneOf(gpuReaders), least: 'none' },
  gpuReaders: {
    optional: true,
    shape: list(
      oneOf(gpuReaders),
      8,
      'All of them, where GPUs of several vendors are read in different ways; else left out.',
    ),
  },
  gpuReaderReason: { shape: nullable(text({ maxLength: 512 }, 'Why it is not the first choice.')) },
  gpuAgeMs: { shape: amount('Age of the last GPU reading.') },
} as const satisfies FieldTable;

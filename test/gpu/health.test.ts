import { describe, expect, it } from 'vitest';
import type { GpuProblem } from '../../lib/gpu/health.js';
import { healthOf, healthWithout, memoryProblems } from '../../lib/gpu/health.js';
import type { GpuReason } from '../../lib/gpu/reasons.js';

const reason = (name: GpuReason['name']): GpuReason => ({ name }) as GpuReason;

describe('health of a GPU to which the driver gives no access', () => {
  it.each([
    ['resetRequired', false, 'resetRequired'],
    ['suspended', false, 'suspended'],
    ['noPermission', false, 'noPermission'],
    ['blockedBySystem', false, 'noPermission'],
    ['lost', false, 'lost'],
    ['gpuNotFound', false, 'lost'],
    ['unknown', false, 'stalled'],
    ['unknown', true, 'lost'],
    ['timeout', false, 'stalled'],
    ['timeout', true, 'stalled'],
    ['noPermission', true, 'noPermission'],
    ['resetRequired', true, 'resetRequired'],
  ] as const)('%s, others answer: %s: %s', (name, othersAnswer, expected) => {
    expect(healthWithout(reason(name as GpuReason['name']), othersAnswer)).toBe(expected);
  });
});

describe('health of a GPU that answers', () => {
  const problem = (health: GpuProblem['health']): GpuProblem => ({ code: 'X', text: 'x', health });

  it.each([
    ['nothing is wrong', [], {}, 'ok'],
    ['something is', [problem('degraded')], {}, 'degraded'],
    ['a reset is needed, whatever else', [problem('degraded'), problem('resetRequired')], {}, 'resetRequired'],
    ['its memory may not be asked for', [], { memoryTotalBytes: reason('noPermission') }, 'noPermission'],
    ['something else may not', [], { powerWatts: reason('noPermission') }, 'ok'],
    ['its memory is not known for another reason', [], { memoryTotalBytes: reason('unknown') }, 'ok'],
    ['it wants service', [], { powerWatts: reason('needsService'), fanPercent: reason('unknown') }, 'degraded'],
    [
      'a reset is needed before rights',
      [problem('resetRequired')],
      { memoryTotalBytes: reason('noPermission') },
      'resetRequired',
    ],
  ] as const)('%s', (_, problems, reasons, expected) => {
    expect(healthOf(problems, reasons as Record<string, GpuReason>)).toBe(expected);
  });
});

describe('what memory errors say', () => {
  const codes = (values: Parameters<typeof memoryProblems>[0]) => memoryProblems(values).map(({ code }) => code);

  it.each([
    [{}, []],
    [{ remappedRows: null, eccUncorrected: null }, []],
    [{ remappedRows: { pending: false, failed: false }, eccUncorrected: 0 }, []],
    [{ remappedRows: { pending: true, failed: false } }, ['GPU_REMAP_PENDING']],
    [{ remappedRows: { pending: false, failed: true } }, ['GPU_REMAP_FAILED']],
    [{ eccUncorrected: 1 }, ['GPU_ECC_UNCORRECTED']],
    [
      { remappedRows: { pending: true, failed: true }, eccUncorrected: 2 },
      ['GPU_REMAP_FAILED', 'GPU_REMAP_PENDING', 'GPU_ECC_UNCORRECTED'],
    ],
  ] as const)('%j: %j', (values, expected) => {
    expect(codes(values as Parameters<typeof memoryProblems>[0])).toEqual(expected);
    expect(
      memoryProblems(values as Parameters<typeof memoryProblems>[0]).every(({ health }) => health === 'degraded'),
    ).toBe(true);
  });

  it('are counted in words', () => {
    expect(memoryProblems({ eccUncorrected: 1 })[0]?.text).toMatch(/^1 uncorrected ECC error since/);
    expect(memoryProblems({ eccUncorrected: 3 })[0]?.text).toMatch(/^3 uncorrected ECC errors since/);
  });
});

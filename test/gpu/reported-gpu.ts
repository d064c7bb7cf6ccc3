import type { ReportedGpu } from '../../lib/gpu/report.js';

/** A card as a vendor reports it, of which nothing is measured. */
export const reportedGpu = (index: number, changes: Partial<ReportedGpu> = {}): ReportedGpu => ({
  index,
  uuid: `GPU-${index}`,
  parentUuid: '',
  name: 'card',
  busId: `0000:0${index}:00.0`,
  computeCapability: '',
  unifiedMemory: false,
  unreachable: null,
  values: {},
  reasons: {},
  problems: [],
  processesKnown: true,
  ...changes,
});

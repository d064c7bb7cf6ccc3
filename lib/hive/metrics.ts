import type { SmallRoute } from '../http/small-server.js';
import { contentTypes, Exposition, negotiate } from '../metrics/exposition.js';
import { processProbe } from '../metrics/process.js';
import { familiesOfHive, type HiveReport, type HiveScrape, hiveScrape } from './metric-families.js';

/** A hive does nearly all of its work once a second: more often would wake it more than the work does. */
const lagEveryMs = 1000;

/** GET /metrics of a hive: its own host, gathered when it is asked. `close` ends its probe. */
export function hiveMetrics(report: () => HiveReport): { readonly route: SmallRoute; close(): void } {
  const probe = processProbe(lagEveryMs);
  const exposition = new Exposition<HiveScrape>([...familiesOfHive, ...probe.families]);
  return {
    async route({ raw }) {
      const format = negotiate(raw.headers.accept);
      const body = await exposition.text(format, hiveScrape(report()));
      return { type: contentTypes[format], headers: { vary: 'accept' }, body };
    },
    close: () => probe.close(),
  };
}

// `npm run docs:metrics` writes docs/metrics.md from the families of metrics; a test fails where the two differ.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { familiesOfQueen } from '../lib/api/metric-families.js';
import { familiesOfHive } from '../lib/hive/metric-families.js';
import type { Family } from '../lib/metrics/exposition.js';
import { processProbe } from '../lib/metrics/process.js';

const introduction = `# Metrics

<!-- Written by \`npm run docs:metrics\` from the metric families of lib/hive and lib/api; change it there. -->

\`GET /metrics\` of a queen has the fleet, that of a hive its own host, both in the Prometheus text format or, where the
\`Accept\` header asks for it, in OpenMetrics 1.0. Values are gathered when they are asked for; nothing is kept between two
scrapes.

- The names of a queen begin with \`hivepulse_fleet_\` and are gauges, as of the last heartbeat. Those of a hive are the
  kernel's own counters in base units. They never have the same name, so that a sum over both counts nothing twice.
- What is not known has no sample, and is never 0. An offline hive has its liveness and no values; a worker that is gone
  has no series.
- States (\`_state\`, \`_health\`, \`_liveness\`) have a sample for each value at a hive, 1 for the one that holds; at a
  queen, which may have thousands of each, only the one that holds. \`_info\` is always 1 and carries what would cost too
  many series elsewhere: join it with \`* on (hive, worker) group_left (model)\`.
- A queen gives series of their own to the first \`metricsWorkers\` workers and \`metricsGpus\` GPUs
  ([configuration](configuration.md#metricsworkers)), and to as many GPUs beyond that are not \`ok\`;
  \`hivepulse_queen_workers_without_series\` and \`hivepulse_queen_gpus_without_series\` count the others.
- Where a queen asks for tokens, scrape it with one of role \`read\`; a hive that listens beyond loopback, with its own.

[deploy/prometheus](../deploy/prometheus/prometheus.yml) holds a scrape configuration and alerts (hive offline, GPU lost or
stalled, OOM kills, throttled over 25 %, VRAM over 95 %), [deploy/grafana](../deploy/grafana/hivepulse.json) a dashboard.
`;

function table(families: readonly Family<never>[]): string {
  const rows = families.map(({ name, type, labels, help }) => {
    const list = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${list} | ${help} |`;
  });
  return ['| name | type | labels | |', '|---|---|---|---|', ...rows].join('\n');
}

/** The whole document. */
export function metricsDocument(): string {
  const probe = processProbe();
  probe.close();
  return [
    introduction,
    '## Of a queen\n',
    `${table(familiesOfQueen)}\n`,
    '## Of a hive\n',
    `${table(familiesOfHive)}\n`,
    '## Of both: their own process\n',
    `${table(probe.families)}\n`,
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(fileURLToPath(new URL('../docs/metrics.md', import.meta.url)), metricsDocument());
}

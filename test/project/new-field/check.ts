// Run in a copy of the tree to which a file of cgroup v2 and a field of workers were added: reads it, sends it to a queen, and
// fails where some output does not have it. argv: name of the file, name of the field.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { familiesOfQueen } from '../../../lib/api/metric-families.js';
import { openReader } from '../../../lib/cgroup/reader.js';
import { workerColumns } from '../../../lib/cli/columns.js';
import { printTable } from '../../../lib/cli/table.js';
import { noPast } from '../../../lib/cli/top/history.js';
import { workerDetail } from '../../../lib/cli/top/worker-detail.js';
import type { Field } from '../../../lib/contract/fields/field.js';
import { workerFields } from '../../../lib/contract/fields/worker.js';
import { familiesOfHive, hiveScrape } from '../../../lib/hive/metric-families.js';
import { Exposition } from '../../../lib/metrics/exposition.js';
import { workerColumns as rawColumns } from '../../../lib/native/layout.js';
import { HeartbeatCounts } from '../../../lib/queen/intake.js';
import { unmeasuredWorker } from '../../../lib/sampling/worker.js';
import { buildTestServer } from '../../api/build-server.js';
import { fleetScrape } from '../../harness/fleet-scrape.js';
import { heartbeatOf, workerOf } from '../../harness/heartbeats.js';

const [file = '', name = ''] = process.argv.slice(2);
const field = (workerFields as Readonly<Record<string, Field>>)[name] as Field;
const gib = 2 ** 30;
const [first, second] = [3 * gib, 5.5 * gib];

const directory = mkdtempSync(join(tmpdir(), 'new-field-'));
writeFileSync(join(directory, file), `${first}\n`);
writeFileSync(join(directory, 'cgroup.events'), 'populated 1\n');
const { reader } = openReader('files', {});
const slot = reader.add(directory);
const { workers } = reader.passSync();
assert(workers.subarray(slot * rawColumns.length, (slot + 1) * rawColumns.length).includes(first), 'it is read');
reader.close();
rmSync(directory, { recursive: true });

const { app, registry } = await buildTestServer();
const get = async (url: string) => (await app.inject({ url, headers: { host: 'localhost' } })).json();
const heartbeat = (seq: number, value: number | null) =>
  heartbeatOf('h', seq, { workers: [workerOf('llm/0', { [name]: value }), workerOf('llm/1', { [name]: gib })] });
registry.heartbeat(heartbeat(1, first));
registry.heartbeat(heartbeat(2, second));
const sample = (await get('/v1/workers')).items[0];
assert.equal(sample[name], second, 'the second value is served');
const sorted = await get(`/v1/workers?sort=${name}`);
assert.deepEqual(
  sorted.items.map(({ id }: { id: string }) => id),
  ['llm/1', 'llm/0'],
);
const openapi = await get('/openapi.json');
assert(openapi.components.schemas.WorkerSample.properties[name].anyOf, 'openapi.json describes it');
assert.equal((unmeasuredWorker(sample) as unknown as Record<string, unknown>)[name], null, 'unknown where it stalls');

const scrape = fleetScrape({
  ...{ registry, maxWorkers: 10, heartbeats: new HeartbeatCounts(), streams: 0, streamsParted: 0 },
  ...{ version: '', bus: 'memory', shared: null },
} as Parameters<typeof fleetScrape>[0]);
const fleetText = await new Exposition(familiesOfQueen).text('prometheus', scrape);
const report = { sinceSnapshotMs: 0, counters: new Map(), sends: { taken: 0, failed: 0 }, oomKills: 0 };
const hive = hiveScrape({ heartbeat: heartbeat(3, second), ...report } as Parameters<typeof hiveScrape>[0]);
const hiveText = await new Exposition(familiesOfHive).text('prometheus', hive);
for (const [text, metric] of [
  [fleetText, field.fleet],
  [hiveText, field.hive],
] as const)
  for (const { name: family } of [metric ?? []].flat())
    assert.match(text, new RegExp(`^${family}\\{.*\\} ${second}$`, 'm'));

const table = printTable(workerColumns, [sample], Number.POSITIVE_INFINITY, false).join('\n');
assert(table.includes(field.column?.title ?? '?') && table.includes('5.5 GiB'), 'it has a column');
const detail = workerDetail(sample, null, noPast, 100).map((line) => line.map(({ text }) => text).join(''));
assert(
  detail.some((line) => line.includes(`${field.detail?.label} 5.5 GiB`)),
  'the detail of top has it',
);

// What the address of the page holds is asked for when the module is loaded.
Object.assign(globalThis, { window: { location: new URL('http://queen/'), addEventListener: () => undefined } });
const { fieldRows } = await import('../../../lib/dashboard/views/panel-parts.js');
assert.deepEqual(
  fieldRows(workerFields, field.panel?.section ?? '', sample).find(([label]) => label === field.panel?.label),
  [field.panel?.label, '5.5 GiB'],
);
await app.close();
process.stdout.write('every output has it\n');

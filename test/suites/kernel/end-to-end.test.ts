import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { WorkerList } from '../../../lib/contract/api.js';
import { getJson, useHarness } from '../../harness/harness.js';
import { waitFor } from '../../harness/wait.js';
import { useWorkerBench } from '../../harness/worker-suite.js';

const harness = useHarness();
const bench = useWorkerBench();

it('a worker under `run --cpu 50% --memory 256M` shows 50% at the queen, its OOM kill as an event, and stop leaves nothing', async () => {
  const places = ['--root', bench().tree.root, '--runtime-dir', bench().runtimeDir];
  // Not `harness().up`: an emulated CPU takes longer to start it than that waits.
  const up = harness().cli(['up', '--port', '0', '--hive-port', '0', '--gpu', 'none', ...places]);
  const url = (await up.line(/"role":"queen".*"url":"([^"]+)".*"msg":"listening"/, 200_000))[1] as string;
  const events = harness().stream(`${url}/v1/events`);
  const file = join(bench().runtimeDir, 'grow');
  // A child does the growing, so that the worker outlives the kill.
  const hog = `const { existsSync } = require('node:fs'); const { spawn } = require('node:child_process');
    let grown = false;
    for (;;) if (!grown && existsSync(${JSON.stringify(file)})) { grown = true; spawn('tail', ['/dev/zero']); }`;
  const worker = harness().worker('llm', '8080', [process.execPath, '-e', hog], {
    args: [...places, '--cpu', '50%', '--memory', '256M', '--swap', '0', '--label', 'team=search'],
  });
  const seen = async () => (await getJson<WorkerList>(`${url}/v1/workers?group=llm`)).items[0];
  const running = await waitFor(
    async () => {
      const found = await seen();
      return found?.cpuPercent != null && found.cpuPercent > 40 && found.cpuPercent < 55 ? found : null;
    },
    { timeoutMs: 100_000, everyMs: 200, what: 'about 50 % CPU at the queen' },
  );
  expect(running).toMatchObject({
    id: 'llm/8080',
    cpuLimitPercent: 50,
    memoryLimitBytes: 256 * 2 ** 20,
    memorySource: 'cgroup',
    labels: { team: 'search' },
    origin: 'launched',
  });
  writeFileSync(file, '');
  const event = await waitFor(
    () => events.messages.find(({ event, data }) => event === 'event' && (data as { kind: string }).kind === 'oomKill'),
    { timeoutMs: 100_000, what: 'the oomKill event' },
  );
  expect(event.data).toMatchObject({ workerId: 'llm/8080' });
  await worker.line(/out of memory/, 60_000);
  expect(worker.running).toBe(true);

  const stop = harness().cli(['stop', 'llm/8080', ...places, '--grace', '2']);
  expect(await stop.ended(60_000)).toBe(0);
  await worker.ended(60_000);
  expect(await bench().leftovers()).toEqual([]);
  await waitFor(async () => (await seen()) === undefined, {
    timeoutMs: 60_000,
    everyMs: 200,
    what: 'the worker to leave the queen',
  });
}, 900_000);

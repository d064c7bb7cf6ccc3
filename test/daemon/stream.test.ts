import { expect, it, onTestFinished } from 'vitest';
import { startQueen } from '../../lib/daemon/queen.js';
import { waitFor } from '../harness/wait.js';
import { FakeHost } from '../sampling/fake-host.js';

it('a hive with `stream` is heard over one connection, and its queen ends in good time', async () => {
  const queen = await startQueen({ port: 0 });
  onTestFinished(() => queen.close());
  const host = new FakeHost();
  host.worker('/hivepulse.slice/g/1', { pid: 100, argv: ['node', 'x.js'] });
  const hive = await host.startHive({ queens: [queen.url], id: 'a', stream: true });
  await waitFor(() => queen.registry.hive('a')?.workerCount === 1);
  await waitFor(() => queen.registry.hive('a')?.state === 'ready');
  expect(hive.sendFailure()).toBeNull();
  await hive.close();
  expect(queen.registry.hive('a')?.state).toBe('stopping');
});

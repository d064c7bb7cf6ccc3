import { describe, expect, it, onTestFinished } from 'vitest';
import { HivepulseClient } from '../../lib/client/client.js';
import { startQueen } from '../../lib/daemon/queen.js';
import { useHarness } from '../harness/harness.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { startPrometheus } from '../harness/prometheus.js';
import { waitFor } from '../harness/wait.js';
import { hasPrometheus, withoutPrometheus } from '../metrics/tools.js';

describe('metrics of a queen', () => {
  const harness = useHarness();

  it.skipIf(!hasPrometheus)(
    `a real Prometheus scrapes a queen and answers queries${withoutPrometheus}`,
    async () => {
      const queen = await startQueen({ port: 0, warmingMs: 0 });
      onTestFinished(() => queen.close());
      await new HivepulseClient({ url: queen.url }).sendHeartbeat(
        heartbeatOf('a', 1, { workers: [workerOf('llm/0', { model: 'say "hi"\\n' })] }),
      );
      const { query, log } = await startPrometheus(harness(), queen.url);
      const [up] = await waitFor(
        async () => {
          const result = await query('up{job="hivepulse-queen"} == 1');
          return result.length > 0 && result;
        },
        { timeoutMs: 30_000, what: `a scrape\n${log()}` },
      );
      expect(up?.metric.instance).toBe(new URL(queen.url).host);
      const [info] = await query('hivepulse_fleet_worker_info');
      expect(info?.metric).toMatchObject({ worker: 'llm/0', model: 'say "hi"\\n' });
      expect((await query('sum(hivepulse_fleet_gpu_memory_used_bytes)'))[0]?.value[1]).toBe(String(8 * 1024 ** 3));
      const counted = await waitFor(async () => {
        const result = await query('hivepulse_queen_heartbeats_accepted_total');
        return result.length > 0 && result;
      });
      expect(counted[0]?.value[1]).toBe('1');
    },
    90_000,
  );
});

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HivepulseClient } from '../../lib/client/client.js';
import { startQueen } from '../../lib/daemon/queen.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { waitFor } from '../harness/wait.js';
import { hasPrometheus, withoutPrometheus } from '../metrics/tools.js';

describe('metrics of a queen', () => {
  it.skipIf(!hasPrometheus)(
    `a real Prometheus scrapes a queen and answers queries${withoutPrometheus}`,
    async () => {
      const queen = await startQueen({ port: 0, warmingMs: 0 });
      onTestFinished(() => queen.close());
      await new HivepulseClient({ url: queen.url }).sendHeartbeat(
        heartbeatOf('a', 1, { workers: [workerOf('llm/0', { model: 'say "hi"\\n' })] }),
      );
      const directory = mkdtempSync(join(tmpdir(), 'hivepulse-prometheus-'));
      onTestFinished(() => void rmSync(directory, { recursive: true, force: true }));
      // The configuration that is shipped, pointed at this queen and hurried.
      const shipped = readFileSync(
        fileURLToPath(new URL('../../deploy/prometheus/prometheus.yml', import.meta.url)),
        'utf8',
      );
      const config = shipped
        .replace(/scrape_interval: \w+/, 'scrape_interval: 500ms')
        .replace(/scrape_timeout: \w+/, 'scrape_timeout: 400ms')
        .replace('queen.example:7833', new URL(queen.url).host)
        .replace(/^ *- job_name: hivepulse-hive\n[\s\S]*/m, '')
        .replace(/^ *authorization:\n.*credentials_file.*\n/gm, '')
        .replace(/^rule_files:\n(?: +- .*\n)+/m, '');
      const file = join(directory, 'prometheus.yml');
      writeFileSync(file, config);
      const child = spawn(
        'prometheus',
        [`--config.file=${file}`, `--storage.tsdb.path=${join(directory, 'data')}`, '--web.listen-address=127.0.0.1:0'],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      const ended = new Promise((resolve) => child.once('close', resolve));
      onTestFinished(async () => {
        child.kill('SIGKILL');
        await ended;
      });
      let log = '';
      child.stderr.on('data', (chunk: Buffer) => {
        log += chunk;
      });
      const address = await waitFor(() => /msg="Listening on" address=(\S+)/.exec(log)?.[1], {
        timeoutMs: 30_000,
        what: 'Prometheus to listen',
      });
      const query = async (expression: string) => {
        const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(expression)}`);
        const { data } = (await response.json()) as {
          data: { result: { metric: Record<string, string>; value: [number, string] }[] };
        };
        return data.result;
      };
      const [up] = await waitFor(
        async () => {
          const result = await query('up{job="hivepulse-queen"} == 1');
          return result.length > 0 && result;
        },
        { timeoutMs: 30_000, what: `a scrape\n${log}` },
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

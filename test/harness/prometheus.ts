import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Harness } from './harness.js';
import { waitFor } from './wait.js';

export interface QueryResult {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [atSeconds: number, value: string];
}

export interface Prometheus {
  readonly url: string;
  query(expression: string): Promise<readonly QueryResult[]>;
  /** What it has printed. */
  log(): string;
}

/** A real Prometheus with the configuration that is shipped, pointed at this queen and hurried. */
export async function startPrometheus(
  harness: Pick<Harness, 'directory' | 'defer'>,
  queenUrl: string,
): Promise<Prometheus> {
  const directory = harness.directory();
  const shipped = readFileSync(
    fileURLToPath(new URL('../../deploy/prometheus/prometheus.yml', import.meta.url)),
    'utf8',
  );
  const config = shipped
    .replace(/scrape_interval: \w+/, 'scrape_interval: 500ms')
    .replace(/scrape_timeout: \w+/, 'scrape_timeout: 400ms')
    .replace('queen.example:7833', new URL(queenUrl).host)
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
  harness.defer(async () => {
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
  return {
    url: `http://${address}`,
    log: () => log,
    query: async (expression) => {
      const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(expression)}`);
      const { data } = (await response.json()) as { data: { result: readonly QueryResult[] } };
      return data.result;
    },
  };
}

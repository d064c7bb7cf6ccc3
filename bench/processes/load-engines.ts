// Servers that answer as vLLM does, with a page of metrics of its usual size. argv: their number. First it says their ports.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { quiet, vllmV1 } from '../../test/fakes/engines/pages.js';

/** Where they listen. */
export type EnginePorts = readonly number[];

/** Of a vLLM that has served for a while. */
const pageBytes = 58_000;

/** Histograms behind the figures, as most of a page is. */
function filler(bytes: number): string {
  let text = '';
  for (let i = 0; text.length < bytes; i += 1) {
    const name = `vllm:request_stage_${i}_seconds`;
    const labels = `engine="0",model_name="${quiet.model}"`;
    text += `# HELP ${name} Histogram of a stage.\n# TYPE ${name} histogram\n`;
    for (const le of ['0.001', '0.01', '0.1', '1.0', '10.0', '100.0', '+Inf'])
      text += `${name}_bucket{${labels},le="${le}"} ${i}.0\n`;
    text += `${name}_count{${labels}} ${i}.0\n${name}_sum{${labels}} ${i}.5\n`;
  }
  return text;
}

const figures = vllmV1({ ...quiet, running: 12, waiting: 3, kv: 0.4 });
const page = Buffer.from(figures + filler(pageBytes - figures.length));
const models = JSON.stringify({ data: [{ id: quiet.model, max_model_len: 32_768 }] });

const ports: EnginePorts = await Promise.all(
  Array.from({ length: Number(process.argv[2]) }, async () => {
    const server = createServer({ keepAliveTimeout: 60_000 }, ({ url }, response) => {
      if (url === '/metrics') response.writeHead(200, { 'content-length': page.length }).end(page);
      else response.end(url === '/version' ? '{"version":"0.29.0"}' : models);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }),
);
process.once('disconnect', () => process.exit());
process.send?.(ports);

/** `npm run demo [-- --port N]`: the demo fleet until Ctrl-C. */
import { parseArgs } from 'node:util';
import { defaults } from '../../lib/contract/defaults.js';
import { demoHives, startDemo } from './demo-fleet.js';

const { values } = parseArgs({ options: { port: { type: 'string', default: String(defaults.queenPort) } } });
const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  console.error(`demo: --port ${values.port} is not a port`);
  process.exit(2);
}

const demo = await startDemo({ port });
const gpus = demoHives.reduce((sum, hive) => sum + hive.gpus.length, 0);
console.log(`A fleet of ${demoHives.length} simulated hives and ${gpus} GPUs is at ${demo.url}  (Ctrl-C ends it)`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void demo.close().then(() => process.exit(0)));
}

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Control } from '../../harness/control.js';
import { type Daemon, Harness, useHarness } from '../../harness/harness.js';
import type { Managed } from '../../harness/processes.js';
import { NatsServer } from '../nats/nats-server.js';
import { type Attack, boundHive, honestHive, type Target, tokens } from './attack.js';
import type { Done, Order } from './attacker.js';
import { attacks } from './attacks/all.js';
import { Honest } from './honest.js';

/** How long each attack lasts, s. */
const attackSeconds = Number(process.env.HIVEPULSE_ATTACK_SECONDS ?? 1.5);
/** Of the queen's heap, MiB: a quarter of what the shipped limit gives it, so that it is full within seconds. */
const heapMiB = 512;

const tokensFile = [
  `hive ${tokens.honestHive} ${honestHive}`,
  `read ${tokens.honestReader}`,
  `hive ${tokens.anyHive}`,
  `hive ${tokens.boundHive} ${boundHive}`,
  `read ${tokens.read}`,
  `schedule ${tokens.schedule}`,
].join('\n');

const suite = new Harness();
const harness = useHarness();
let attacker: Managed;
let control: Control;
let nats: NatsServer | null = null;

beforeAll(async () => {
  const main = fileURLToPath(new URL('attacker.ts', import.meta.url));
  const tsx = fileURLToPath(new URL('../../../node_modules/tsx/dist/cli.mjs', import.meta.url));
  attacker = suite.start('attacker', process.execPath, [tsx, main], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  await new Promise((resolve) => attacker.child.once('message', resolve));
  control = await Control.start(suite);
});
afterAll(async () => {
  await nats?.close();
  await suite.cleanup();
});

/** Has the attack carried out; ends when its time is over and it has let go of everything. */
function carryOut(order: Order): Promise<Done> {
  return new Promise((resolve, reject) => {
    attacker.child.once('message', (done: Done) => resolve(done));
    attacker.child.send(order, (error) => error && reject(error));
  });
}

async function startQueen(attack: Attack): Promise<Daemon> {
  const file = join(harness().directory(), 'tokens');
  writeFileSync(file, tokensFile, { mode: 0o600 });
  if (attack.nats) nats ??= await NatsServer.start();
  const args = ['--tokens-file', file, '--warming', '0', ...(attack.args ?? [])];
  const queen = await harness().queen({
    args: attack.nats && nats !== null ? [...args, '--nats', nats.url] : args,
    env: { NODE_OPTIONS: `--max-old-space-size=${heapMiB}` },
    ...(attack.descriptors === undefined ? {} : { under: ['prlimit', `--nofile=${attack.descriptors}`] }),
  });
  return queen;
}

describe.each(attacks)('$kind: $name', (attack) => {
  const isLost = attack.lostBecause !== undefined;
  (isLost ? test.fails : test)(isLost ? `is lost: ${attack.lostBecause}` : 'the honest are served', async () => {
    const queen = await startQueen(attack);
    const honest = new Honest(queen, control);
    harness().defer(() => honest.close());
    await honest.start();
    const natsUrl = attack.nats && nats !== null ? nats.url : null;
    const target: Target = { url: queen.url, natsUrl, incarnation: honest.hive.incarnation, gpu: honest.gpu };
    const { answers, error } = await carryOut({ name: attack.name, seconds: attackSeconds, target });
    const broken = await honest.verdict();
    console.log(
      `${broken.length === 0 ? 'held' : 'LOST'}: ${attack.name}: ${broken.join('; ')} ${JSON.stringify({ ...honest.longest, ...answers })}`,
    );
    expect(error).toBeNull();
    expect(broken).toEqual([]);
  });
});

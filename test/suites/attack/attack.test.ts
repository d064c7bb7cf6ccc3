import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { Control } from '../../harness/control.js';
import { type Daemon, Harness } from '../../harness/harness.js';
import type { Managed } from '../../harness/processes.js';
import { NatsServer } from '../nats/nats-server.js';
import { type Attack, type Target, tokensFile, turnsOfQueen } from './attack.js';
import type { Done, Order } from './attacker.js';
import { attacks } from './attacks/all.js';
import { Honest } from './honest.js';

/** How long each attack lasts, s. */
const attackSeconds = Number(process.env.HIVEPULSE_ATTACK_SECONDS ?? 1.2);
/** What fills memory takes a little longer. */
const secondsOf = ({ kind }: Attack): number => attackSeconds * (kind === 'memory' ? 1.25 : 1);
/** Of the queen's heap, MiB: a quarter of what the shipped limit gives it, so that it is full within seconds. */
const heapMiB = 512;

const suite = new Harness();
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
  await queen?.harness.cleanup();
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

interface Queen extends Daemon {
  readonly harness: Harness;
  /** What it was started for. */
  readonly shape: string;
  /** Times that it was attacked. */
  turns: number;
}

/** Attacks of one shape may follow each other on one queen. */
const shapeOf = (attack: Attack): string => {
  if (attack.kind === 'memory' || attack.isAlone || attack.args !== undefined || attack.descriptors !== undefined)
    return attack.name;
  return attack.nats ? 'with NATS' : 'alone';
};

async function startQueen(attack: Attack): Promise<Queen> {
  const own = new Harness();
  const file = join(own.directory(), 'tokens');
  writeFileSync(file, tokensFile(), { mode: 0o600 });
  if (attack.nats) nats ??= await NatsServer.start();
  const args = ['--tokens-file', file, '--warming', '0', ...(attack.args ?? [])];
  const daemon = await own.queen({
    args: attack.nats && nats !== null ? [...args, '--nats', nats.url] : args,
    env: { NODE_OPTIONS: `--max-old-space-size=${heapMiB}` },
    ...(attack.descriptors === undefined ? {} : { under: ['prlimit', `--nofile=${attack.descriptors}`] }),
  });
  return { ...daemon, harness: own, shape: shapeOf(attack), turns: 0 };
}

let queen: Queen | null = null;

/** The queen of the attack before where that held and was of the same shape, else a new one. */
async function queenFor(attack: Attack): Promise<Queen> {
  const isFit = queen?.process.running && queen.shape === shapeOf(attack) && queen.turns < turnsOfQueen;
  if (isFit && queen !== null) return queen;
  await queen?.harness.cleanup();
  queen = null;
  queen = await startQueen(attack);
  return queen;
}

const byShape = attacks.toSorted((a, b) => (shapeOf(a) < shapeOf(b) ? -1 : shapeOf(a) > shapeOf(b) ? 1 : 0));

describe.each(byShape)('$kind: $name', (attack) => {
  test('the honest are served', async () => {
    const under = await queenFor(attack);
    onTestFailed(() => console.error(under.harness.report()));
    const turn = under.turns++;
    const honest = new Honest(under, control, turn);
    // Until it has held nobody else is to be judged by this queen.
    queen = null;
    try {
      await honest.start();
      const natsUrl = attack.nats && nats !== null ? nats.url : null;
      const target: Target = { turn, url: under.url, natsUrl, incarnation: honest.hive.incarnation, gpu: honest.gpu };
      const { answers, error } = await carryOut({ name: attack.name, seconds: secondsOf(attack), target });
      const broken = await honest.verdict();
      console.log(
        `${broken.length === 0 ? 'held' : 'LOST'}: ${attack.name}: ${broken.join('; ')} ${JSON.stringify({ ...honest.longest, ...answers })}`,
      );
      expect(error).toBeNull();
      expect(broken).toEqual([]);
      queen = under;
    } finally {
      await honest.close();
      if (queen === null) await under.harness.cleanup();
    }
  });
});

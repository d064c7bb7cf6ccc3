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
const attackSeconds = Number(process.env.HIVEPULSE_ATTACK_SECONDS ?? 1);
/** What fills memory takes a little longer. */
const secondsOf = ({ kind }: Attack): number => attackSeconds * (kind === 'memory' ? 1.5 : 1);
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
  const left = await Promise.allSettled(queens.values());
  for (const each of left) if (each.status === 'fulfilled') giveBack(each.value, false);
  await Promise.allSettled(ending);
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

const hasOwnQueen = ({ kind, isAlone, args, descriptors }: Attack): boolean =>
  kind === 'memory' || isAlone === true || args !== undefined || descriptors !== undefined;

/** Attacks of one shape may follow each other on one queen. */
const shapeOf = (attack: Attack): string => (hasOwnQueen(attack) ? attack.name : attack.nats ? 'with NATS' : 'alone');

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

/** Queens by shape, of the attacks that are next; those that come to their end. */
const queens = new Map<string, Promise<Queen>>();
const ending = new Set<Promise<void>>();

function prepareQueen(attack: Attack): void {
  const shape = shapeOf(attack);
  if (queens.has(shape)) return;
  const started = startQueen(attack);
  // Whoever takes it hears of it.
  started.catch(() => {});
  queens.set(shape, started);
}

/** For whom it was taken it is the only one of its shape: until that has held, nobody else is to be judged by it. */
function takeQueen(attack: Attack): Promise<Queen> {
  prepareQueen(attack);
  const shape = shapeOf(attack);
  const queen = queens.get(shape) as Promise<Queen>;
  queens.delete(shape);
  return queen;
}

function giveBack(queen: Queen, held: boolean): void {
  const { shape, harness, turns } = queen;
  const isFit = held && queen.process.running && turns < turnsOfQueen && ['alone', 'with NATS'].includes(shape);
  if (isFit) return void queens.set(shape, Promise.resolve(queen));
  const ended: Promise<void> = harness.cleanup().finally(() => ending.delete(ended));
  ended.catch(() => {});
  ending.add(ended);
}

/** Those that wait come by turns with those that need a queen of their own, which is started meanwhile. */
function inOrder(): readonly Attack[] {
  const own = attacks.filter(hasOwnQueen);
  const others = attacks.filter((attack) => !hasOwnQueen(attack));
  const waiting = others.filter(({ waits }) => waits);
  const pairs = Array.from({ length: Math.max(own.length, waiting.length) }, (_, i) => [waiting[i], own[i]]);
  return [...pairs.flat(), ...others.filter(({ waits }) => !waits)].filter((attack) => attack !== undefined);
}
const ordered = inOrder();

describe.each(ordered)('$kind: $name', (attack) => {
  test('the honest are served', async () => {
    const under = await takeQueen(attack);
    onTestFailed(() => console.error(under.harness.report()));
    const at = ordered.indexOf(attack);
    if (attack.waits)
      for (const next of ordered.slice(at + 1, at + 3)) if (shapeOf(next) !== under.shape) prepareQueen(next);
    const turn = under.turns++;
    const honest = new Honest(under, control, turn);
    let held = false;
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
      held = true;
    } finally {
      await honest.close();
      giveBack(under, held);
    }
  });
});

/** Attacks, as a process of its own, so that what they cost here does not delay the honest. It gets its orders over IPC. */
import { Attacker, type Target } from './attack.js';
import { attacks } from './attacks/all.js';

export interface Order {
  readonly name: string;
  readonly seconds: number;
  readonly target: Target;
}

export interface Done {
  readonly answers: Readonly<Record<string, number>>;
  readonly error: string | null;
}

async function obey({ name, seconds, target }: Order): Promise<Done> {
  const attack = attacks.find((each) => each.name === name);
  if (attack === undefined) return { answers: {}, error: `no attack is called ${name}` };
  const attacker = new Attacker(target, attack);
  await attack.prepare?.(attacker);
  attacker.limit(seconds);
  const ran = attack.run(attacker).then(
    () => null,
    (thrown: Error) => String(thrown.stack),
  );
  const error = await Promise.race([ran, attacker.end().then(() => null)]);
  await attacker.close();
  return { answers: attacker.answers, error };
}

process.on('message', (order: Order) => void obey(order).then((done) => process.send?.(done)));
process.on('disconnect', () => process.exit());
process.send?.('ready');

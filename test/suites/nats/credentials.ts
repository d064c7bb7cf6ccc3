import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function base32(bytes: Buffer): string {
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  return (bits.match(/.{1,5}/g) ?? []).map((five) => alphabet[Number.parseInt(five.padEnd(5, '0'), 2)]).join('');
}

/** CRC-16 of XMODEM, with which NATS closes its keys. */
function crc16(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let i = 0; i < 8; i++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}

function encoded(...parts: Buffer[]): string {
  const raw = Buffer.concat(parts);
  const sum = Buffer.alloc(2);
  sum.writeUInt16LE(crc16(raw));
  return base32(Buffer.concat([raw, sum]));
}

const kinds = { operator: 14 << 3, account: 0, user: 20 << 3 } as const;

/** A key as NATS writes it: Ed25519, in base32 with a letter for what it is of. */
class Identity {
  readonly publicKey: string;
  readonly seed: string;
  readonly #key: KeyObject;

  constructor(kind: keyof typeof kinds) {
    const { privateKey } = generateKeyPairSync('ed25519');
    this.#key = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const raw = (key: KeyObject, type: 'spki' | 'pkcs8') =>
      (key.export({ type, format: 'der' } as never) as Buffer).subarray(-32);
    const prefix = kinds[kind];
    this.publicKey = encoded(Buffer.from([prefix]), raw(createPublicKey(this.#key), 'spki'));
    // `S`, then what it is of, over two bytes.
    const seedPrefix = Buffer.from([(18 << 3) | (prefix >> 5), (prefix & 31) << 3]);
    this.seed = encoded(seedPrefix, raw(this.#key, 'pkcs8'));
  }

  /** Claims that this key vouches for. */
  token(subject: string, name: string, nats: object): string {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const iat = Math.floor(Date.now() / 1000);
    const body = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part({ jti: `${name}${iat}`, iat, iss: this.publicKey, name, sub: subject, nats })}`;
    return `${body}.${sign(null, Buffer.from(body), this.#key).toString('base64url')}`;
  }
}

/** The key of a user, and its seed. */
export const userKey = (): { readonly publicKey: string; readonly seed: string } => new Identity('user');

export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** An operator with one account that has JetStream: what a server has to be told, and credentials for its users. */
export class Authority {
  readonly #operator = new Identity('operator');
  readonly #account = new Identity('account');
  /** JetStream wants one; nobody of ours is in it. */
  readonly #system = new Identity('account');

  /** Lines for the server's configuration. */
  get config(): readonly string[] {
    const operator = this.#operator.token(this.#operator.publicKey, 'operator', { type: 'operator', version: 2 });
    const unlimited = -1;
    const plain = {
      ...{ subs: unlimited, data: unlimited, payload: unlimited, imports: unlimited, exports: unlimited },
      ...{ conn: unlimited, leaf: unlimited, wildcards: true },
    };
    const limits = {
      ...plain,
      ...{ mem_storage: unlimited, disk_storage: unlimited, streams: unlimited, consumer: unlimited },
    };
    const system = this.#operator.token(this.#system.publicKey, 'system', {
      type: 'account',
      version: 2,
      limits: plain,
    });
    const account = this.#operator.token(this.#account.publicKey, 'fleet', { type: 'account', version: 2, limits });
    return [
      `operator: ${operator}`,
      'resolver: MEMORY',
      `system_account: ${this.#system.publicKey}`,
      `resolver_preload: { ${this.#account.publicKey}: ${account}, ${this.#system.publicKey}: ${system} }`,
    ];
  }

  /** A credentials file, as `nsc` writes it. */
  credentials(name: string, { publish, subscribe }: Permissions): string {
    const user = new Identity('user');
    const unlimited = -1;
    const token = this.#account.token(user.publicKey, name, {
      type: 'user',
      version: 2,
      ...{ subs: unlimited, data: unlimited, payload: unlimited },
      pub: { allow: publish },
      sub: { allow: subscribe },
    });
    return [
      `-----BEGIN NATS USER JWT-----\n${token}\n------END NATS USER JWT------\n`,
      `-----BEGIN USER NKEY SEED-----\n${user.seed}\n------END USER NKEY SEED------\n`,
    ].join('\n');
  }
}

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { statSync } from 'node:fs';
import type { Role, TokenGrant } from '../config/options.js';
import { idPattern } from '../contract/limits.js';
import { HivepulseError } from '../util/errors.js';
import { isLoopbackAddress } from '../util/host-address.js';
import { type NamedFileOptions, readNamedText } from '../util/named-file.js';

/** What a route asks of its caller. `open`: anyone. */
export type Need = 'open' | 'heartbeat' | 'read' | 'schedule' | 'admin';

const needs: Readonly<Record<Role, readonly Need[]>> = {
  hive: ['open', 'heartbeat'],
  read: ['open', 'read'],
  schedule: ['open', 'read', 'schedule'],
  admin: ['open', 'heartbeat', 'read', 'schedule', 'admin'],
};

/** Who asks: a role, the hive it is bound to, and a key under which its requests are counted. */
export interface Caller {
  readonly role: Role;
  readonly hive: string | null;
  readonly key: string;
}

export const mayDo = (role: Role, need: Need): boolean => needs[role].includes(need);

export const roles = ['hive', 'read', 'schedule', 'admin'] as const satisfies readonly Role[];

const minTokenLength = 16;
const maxTokenLength = 512;
const id = new RegExp(idPattern);

/**
 * Lines of `role token [hive]`; blank lines and `#` comments are skipped. Errors name the line, never what stands in it.
 */
export function parseTokens(text: string, path: string): TokenGrant[] {
  const grants: TokenGrant[] = [];
  const lines = new Map<string, number>();
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === '' || words[0]?.startsWith('#')) continue;
    const [role, token, hive, ...rest] = words;
    const wrong = (why: string) => new HivepulseError('CONFIG_UNREADABLE', path, `${path}, line ${index + 1}: ${why}.`);
    if (!roles.includes(role as Role)) throw wrong(`the role is not one of ${roles.join(', ')}`);
    if (token === undefined) throw wrong('there is no token after the role');
    if (rest.length > 0) throw wrong('there is more than `role token [hive]`');
    if (hive !== undefined && role !== 'hive') throw wrong('only a hive token can be bound to a hive');
    if (hive !== undefined && !id.test(hive)) throw wrong('what stands after the token is not a hive id');
    const before = lines.get(token);
    if (before !== undefined) throw wrong(`the token stands on line ${before} too, and only one role could hold`);
    lines.set(token, index + 1);
    grants.push({ token, role: role as Role, ...(hive === undefined ? {} : { hive }) });
  }
  return grants;
}

export const readTokens = (path: string, options?: Pick<NamedFileOptions, 'deadlineMs'>): TokenGrant[] =>
  parseTokens(readNamedText(path, { fix: 'It was named as tokensFile', ...options }), path);

/** Whether every user of the machine can read the tokens; null where the system does not tell. */
export function readableByAll(path: string): boolean | null {
  try {
    return (statSync(path).mode & 0o004) !== 0;
  } catch {
    return null;
  }
}

interface Entry {
  readonly digest: Buffer;
  readonly caller: Caller;
}

/**
 * Tokens by keyed digest. The key is drawn per process, so the time that a lookup takes says nothing about a token,
 * and no token stays in memory longer than the options that brought it.
 */
export class TokenTable {
  readonly #key = randomBytes(32);
  #entries = new Map<string, Entry>();
  #callers: ReadonlySet<string> = new Set();

  constructor(grants: readonly TokenGrant[]) {
    this.replace(grants);
  }

  /** False: nobody is asked for a token. */
  get required(): boolean {
    return this.#entries.size > 0;
  }

  /** All or nothing: a grant that is wrong leaves the table as it was. */
  replace(grants: readonly TokenGrant[]): void {
    const entries = new Map<string, Entry>();
    for (const [index, { token, role, hive }] of grants.entries()) {
      if (token.length < minTokenLength || token.length > maxTokenLength || !/^[\x21-\x7e]+$/.test(token))
        throw new HivepulseError(
          'INVALID_OPTION',
          `tokens.${index}`,
          `Token ${index + 1} (${role}) must be ${minTokenLength} to ${maxTokenLength} printable characters without spaces.`,
        );
      const digest = this.#digest(token);
      const name = digest.toString('base64');
      if (entries.has(name))
        throw new HivepulseError(
          'INVALID_OPTION',
          `tokens.${index}`,
          `Token ${index + 1} (${role}) is given twice, and only one role could hold.`,
        );
      // With other rights it is another caller: what was opened under the former ones ends with them.
      const key = [name, role, hive ?? ''].join(' ');
      entries.set(name, { digest, caller: { role, hive: hive ?? null, key } });
    }
    this.#entries = entries;
    this.#callers = new Set(Array.from(entries.values(), ({ caller }) => caller.key));
  }

  /** A caller key that `find` gave is still one of a token in force, with the rights that it had. */
  knows(key: string): boolean {
    return this.#callers.has(key);
  }

  find(token: string): Caller | null {
    if (token.length > maxTokenLength) return null;
    const digest = this.#digest(token);
    const entry = this.#entries.get(digest.toString('base64'));
    return entry !== undefined && timingSafeEqual(entry.digest, digest) ? entry.caller : null;
  }

  #digest(token: string): Buffer {
    return createHmac('sha256', this.#key).update(token).digest();
  }
}

/** The token of `Authorization: Bearer`, or null. */
export function bearerOf(header: string | undefined): string | null {
  const match = header === undefined ? null : /^Bearer +(\S+) *$/i.exec(header);
  return match?.[1] ?? null;
}

/** The name in a Host header or an origin, without port and final dot, in lower case; null where it is malformed. */
export function hostName(authority: string): string | null {
  const match = /^(\[[0-9a-f:.]+\]|[^\s:/@?#[\]]+)(:\d{1,5})?$/i.exec(authority);
  return match?.[1]?.toLowerCase().replace(/\.$/, '') ?? null;
}

/**
 * A page that rebinds its own name to 127.0.0.1 reaches a queen on loopback as "same origin", but it can't choose the
 * Host header: it says the page's name. So only loopback's own names, and those allowed, are served there.
 */
export function isLocalName(name: string, allowed: ReadonlySet<string>): boolean {
  return isLoopbackAddress(name) || name.endsWith('.localhost') || allowed.has(name);
}

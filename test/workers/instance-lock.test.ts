import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { claimLock, lockPath, releaseDeadLock, sweepRights } from '../../lib/workers/instance-lock.js';
import { portion } from '../harness/draws.js';
import { temporaryDirectory } from '../harness/leftovers.js';

let dir = '';
let path = '';
let remove = (): void => {};
beforeEach(() => {
  const temporary = temporaryDirectory();
  remove = () => temporary.remove();
  dir = temporary.path;
  path = lockPath(dir, '8080');
});
afterEach(() => {
  vi.restoreAllMocks();
  remove();
});
const prepare = async () => void mkdirSync(dir, { recursive: true });
const failing = (code: string) => Object.assign(new Error(code), { code });

describe('the lock of an instance', () => {
  it('names its process, its start and a number of its own, only its owner may read it, and nothing else is left', async () => {
    expect(path).toBe(join(dir, '8080.lock'));
    expect(await claimLock(path, 0, prepare)).toBe(true);
    const [pid, ticks, number] = readFileSync(path, 'utf8').split(' ');
    expect(pid).toBe(String(process.pid));
    expect(Number(ticks)).toBeGreaterThan(0);
    expect(number).toMatch(/^[0-9a-f]{8}$/);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['8080.lock']);
  });

  it('that another holds is waited for as long as is said, and then not taken', async () => {
    await claimLock(path, 0, prepare);
    const held = readFileSync(path, 'utf8');
    let asked = 0;
    const counting = async () => {
      asked += 1;
      await prepare();
    };
    expect(await claimLock(path, 0, counting)).toBe(false);
    expect(asked).toBe(1);
    const began = performance.now();
    expect(await claimLock(path, 60, counting)).toBe(false);
    expect(performance.now() - began).toBeGreaterThanOrEqual(60);
    expect(asked).toBeGreaterThan(1);
    // It is freed while somebody waits.
    const freeing = async () => {
      asked += 1;
      if (asked > 10) rmSync(path, { force: true });
    };
    asked = 8;
    expect(await claimLock(path, 60_000, freeing)).toBe(true);
    expect(readFileSync(path, 'utf8')).not.toBe(held);
    expect(readdirSync(dir)).toEqual(['8080.lock']);
  });

  it('is tried again where its directory goes while it is made', async () => {
    let made = 0;
    const gone = async () => {
      made += 1;
      if (made < 3) rmSync(dir, { recursive: true, force: true });
      else await prepare();
    };
    expect(await claimLock(path, 60_000, gone)).toBe(true);
    expect(made).toBe(3);
  });

  it('cannot be made where its directory goes twenty times, nor where something else is wrong', async () => {
    let tries = 0;
    const vanishing = (times: number) => async () => {
      tries += 1;
      if (tries <= times) throw failing('ENOENT');
    };
    expect(await claimLock(path, 0, vanishing(20))).toBe(true);
    rmSync(path);
    tries = 0;
    await expect(claimLock(path, 60_000, vanishing(21))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(tries).toBe(21);
    const refused = vi.fn(() => Promise.reject(failing('EACCES')));
    await expect(claimLock(path, 60_000, refused)).rejects.toMatchObject({ code: 'EACCES' });
    expect(refused).toHaveBeenCalledOnce();
    // Where nobody makes files, whoever asks.
    await expect(claimLock('/sys/8080.lock', 0, async () => {})).rejects.toThrow(/EACCES|EROFS|EPERM/);
    writeFileSync(join(dir, 'file'), '');
    await expect(claimLock(join(dir, 'file/8080.lock'), 60_000, async () => {})).rejects.toMatchObject({
      code: 'ENOTDIR',
    });
  });
});

describe('a lock that is left behind', () => {
  /** Whether it is still there, as it was. */
  const outlives = async (text: string): Promise<boolean> => {
    writeFileSync(path, text);
    await releaseDeadLock(path);
    const left = readdirSync(dir);
    expect(left.every((name) => name === '8080.lock')).toBe(true);
    return left.length === 1 && readFileSync(path, 'utf8') === text;
  };

  it.each([
    ['of this process, whose start it does not know', () => `${process.pid}  ab`, true],
    ['of this process, by its number alone', () => `${process.pid}`, true],
    ['of pid 1', () => '1  ab', true],
    ['of another start of this pid', () => `${process.pid} 1 ab`, false],
    ['of a process that is gone', () => '4194304 1 ab', false],
    ['of half a process', () => `${process.pid}.5 1 ab`, false],
    ['of nobody', () => '0', false],
    ['of a group of processes', () => `-${process.pid}`, false],
    ['of no number', () => 'ab 1', false],
    ['of nothing', () => '', false],
  ])('%s outlives a sweep: %#', async (_what, text, isHeld) => {
    expect(await outlives(text())).toBe(isHeld);
  });

  it('that is none, or too long to be one, is left alone', async () => {
    await expect(releaseDeadLock(path)).resolves.toBeUndefined();
    expect(await outlives('0'.repeat(1024))).toBe(false);
    expect(await outlives('0'.repeat(1025))).toBe(true);
    rmSync(path);
    mkdirSync(path);
    await releaseDeadLock(path);
    expect(statSync(path).isDirectory()).toBe(true);
  });
});

describe('the right to remove a lock that is left behind', () => {
  const dead = '4194304 1 ab';
  const digest = createHash('sha256').update(dead).digest('hex').slice(0, 16);
  const right = (number: number, holder: string) => writeFileSync(`${path}.${digest}.${number}`, holder);

  it('is of one process at a time, and is no more once the lock is none', async () => {
    writeFileSync(path, dead);
    right(1, `${process.pid}  ab`);
    await releaseDeadLock(path);
    expect(await claimLock(path, 30, prepare)).toBe(false);
    expect(readFileSync(path, 'utf8')).toBe(dead);
    rmSync(`${path}.${digest}.1`);
    expect(await claimLock(path, 0, prepare)).toBe(false);
    expect(await claimLock(path, 60_000, prepare)).toBe(true);
    expect(readdirSync(dir)).toEqual(['8080.lock']);
  });

  it('passes on from processes that are gone', async () => {
    writeFileSync(path, dead);
    for (const number of [1, 2, 3]) right(number, dead);
    await releaseDeadLock(path);
    expect(readdirSync(dir)).toEqual([]);
    // The fourth has it.
    writeFileSync(path, dead);
    for (const number of [1, 2, 3]) right(number, dead);
    right(4, `${process.pid}  ab`);
    await releaseDeadLock(path);
    expect(readdirSync(dir)).toHaveLength(5);
  });

  it('does not reach the lock of another', async () => {
    expect(await claimLock(path, 0, prepare)).toBe(true);
    const held = readFileSync(path, 'utf8');
    right(1, dead);
    await releaseDeadLock(path);
    expect(readFileSync(path, 'utf8')).toBe(held);
  });

  /** While it is looked whether a process of this number, whose start is not known, lives: it does not. */
  const meanwhile = (act: () => void) =>
    vi.spyOn(process, 'kill').mockImplementationOnce(() => {
      act();
      throw failing('ESRCH');
    });

  it('ends where another has made its own lock meanwhile, or removed what it finds', async () => {
    const [live, gone] = [`${process.pid} 1 cd`, '4194304  ab'];
    writeFileSync(path, gone);
    meanwhile(() => writeFileSync(path, live));
    await releaseDeadLock(path);
    expect(readFileSync(path, 'utf8')).toBe(live);
    expect(readdirSync(dir)).toEqual(['8080.lock']);
    writeFileSync(path, dead);
    right(1, gone);
    meanwhile(() => rmSync(`${path}.${digest}.1`));
    await releaseDeadLock(path);
    expect(readdirSync(dir)).toEqual([]);
    writeFileSync(path, dead);
    mkdirSync(`${path}.${digest}.1`);
    await releaseDeadLock(path);
    expect(readFileSync(path, 'utf8')).toBe(dead);
  });

  it('is swept where its process and the lock are gone, and nowhere else', async () => {
    right(1, dead);
    right(2, `${process.pid}  ab`);
    writeFileSync(join(dir, '8080.lock.note'), '');
    await sweepRights(dir);
    expect(readdirSync(dir)).toEqual([`8080.lock.${digest}.2`, '8080.lock.note']);
    right(1, dead);
    writeFileSync(path, dead);
    await sweepRights(dir);
    expect(readdirSync(dir)).toContain(`8080.lock.${digest}.1`);
    writeFileSync(path, `${dead}c`);
    await sweepRights(dir);
    expect(readdirSync(dir)).toEqual(['8080.lock', `8080.lock.${digest}.2`, '8080.lock.note']);
    await sweepRights(join(dir, 'none'));
  });

  it('is kept beside a lock that cannot be read', async () => {
    right(1, dead);
    mkdirSync(path);
    await sweepRights(dir);
    expect(readdirSync(dir)).toHaveLength(2);
    // Of no holder that can be read.
    rmSync(path, { recursive: true });
    right(1, '0'.repeat(2000));
    await sweepRights(dir);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('lets one at a time hold what all find left behind, and leaves nothing, however they meet', async () => {
    for (let round = 0; round < portion(100); round++) {
      writeFileSync(path, dead);
      let holders = 0;
      let most = 0;
      const launch = async () => {
        expect(await claimLock(path, 60_000, prepare)).toBe(true);
        holders += 1;
        most = Math.max(most, holders);
        await new Promise((resolve) => setImmediate(resolve));
        holders -= 1;
        rmSync(path);
      };
      await Promise.all(Array.from({ length: 20 }, launch));
      expect(most).toBe(1);
      expect(readdirSync(dir)).toEqual([]);
    }
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { idPattern } from '../../lib/contract/primitives.js';
import { escapeUnitPart, findManager, scopeArguments, unitNames } from '../../lib/launch/systemd.js';
import { checkWorkerId, parseWorkerId } from '../../lib/workers/worker-id.js';

/** What systemd reads in an escaped name. */
const unescapeUnitPart = (text: string) =>
  text.replace(/(?:\\x[0-9a-f]{2})+/g, (hex) => Buffer.from(hex.replaceAll('\\x', ''), 'hex').toString());

describe('escaping', () => {
  // What `systemd-escape` of systemd 252 prints for these.
  it.each([
    ['llm', 'llm'],
    ['my-model', 'my\\x2dmodel'],
    ['a@b+c', 'a\\x40b\\x2bc'],
    ['v1.2', 'v1.2'],
    ['.hidden', '\\x2ehidden'],
    ['a:b_c', 'a:b_c'],
    ['é', '\\xc3\\xa9'],
    ['back\\slash', 'back\\x5cslash'],
  ])('%s becomes %s', (text, escaped) => {
    expect(escapeUnitPart(text)).toBe(escaped);
    expect(unescapeUnitPart(escaped)).toBe(text);
  });

  it('comes back whole for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        expect(escapeUnitPart(text)).toMatch(/^[A-Za-z0-9:_.\\]+$/);
        expect(unescapeUnitPart(escapeUnitPart(text))).toBe(Buffer.from(text).toString());
      }),
    );
  });
});

describe('unit names', () => {
  const id = fc.stringMatching(new RegExp(idPattern)).filter((text) => text.length <= 20);

  it('two workers never share a scope, and a scope tells its worker', () => {
    fc.assert(
      fc.property(id, id, (group, instance) => {
        const { slice, scope, path } = unitNames(group, instance);
        const parts = /^hivepulse-([^-]+)-([^-]+)\.scope$/.exec(scope)?.slice(1);
        expect(parts?.map(unescapeUnitPart)).toEqual([group, instance]);
        // One dash alone: systemd nests a slice at each.
        expect(slice.split('-')).toHaveLength(2);
        expect(path).toBe(`hivepulse.slice/${slice}/${scope}`);
      }),
    );
  });

  it('a name too long for systemd is refused before anything is made', () => {
    expect(() => unitNames('g'.repeat(128), 'i'.repeat(128))).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
    expect(() => unitNames('g'.repeat(100), 'i'.repeat(100))).not.toThrow();
    expect(() => unitNames('g'.repeat(100), '-'.repeat(100))).toThrow(/Shorten/);
  });

  it('scope arguments end before the command, and % in a description is doubled', () => {
    const args = scopeArguments('user', unitNames('g', 'i'), '100%', [{ name: 'cpu', setting: 'CPUQuota=50%' }]);
    expect(args).toContain('--user');
    expect(args).toContain('--description=100%%');
    expect(args).toContain('--property=CPUQuota=50%');
    expect(args.at(-1)).toBe('--');
  });
});

describe('worker ids', () => {
  it.each(['', '.a', 'a/b', '..', 'a..b', 'a\0b', '-a', 'a b', 'x'.repeat(129), 'cgroup.procs', 'memory.max', 'cpu.x'])(
    '%j is refused as group and as instance',
    (text) => {
      expect(() => checkWorkerId(text, 'ok')).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION', subject: '--group' }),
      );
      expect(() => checkWorkerId('ok', text)).toThrow(expect.objectContaining({ subject: '--instance' }));
    },
  );
  it('group/instance is taken apart', () => {
    expect(parseWorkerId('llm/8080')).toEqual({ group: 'llm', instance: '8080' });
    for (const text of ['llm', 'llm/', '/8080', 'a/b/c', ''])
      expect(() => parseWorkerId(text)).toThrow(/group\/instance/);
  });
});

describe('which manager', () => {
  const host =
    (...paths: string[]) =>
    async (path: string) =>
      paths.includes(path);
  it('none where systemd is not the init, even with its tools installed', async () => {
    expect(await findManager(0, {}, host('/usr/bin/systemd-run'))).toMatchObject({ manager: null, booted: false });
  });
  it("root asks the system's, a user with a session the user's", async () => {
    expect(await findManager(0, {}, host('/run/systemd/system'))).toMatchObject({ manager: 'system' });
    const user = host('/run/systemd/system', '/run/user/1000/systemd/private');
    expect(await findManager(1000, { XDG_RUNTIME_DIR: '/run/user/1000' }, user)).toMatchObject({ manager: 'user' });
  });
  it('a user without a session has none, and the reason says so', async () => {
    const found = await findManager(1000, {}, host('/run/systemd/system'));
    expect(found).toMatchObject({ manager: null, booted: true });
    expect(found.reason).toContain('XDG_RUNTIME_DIR');
  });
});

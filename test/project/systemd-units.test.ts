import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const deploy = fileURLToPath(new URL('../../deploy', import.meta.url));
const read = (unit: string) => readFileSync(join(deploy, `hivepulse-${unit}.service`), 'utf8');
/** Every value that a unit gives a key; a second line would add to the first. */
const linesOf = (unit: string, key: string): string[] =>
  [...read(unit).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);
const missing = spawnSync('systemd-analyze', ['--version']).error !== undefined;

describe('units', () => {
  it('the hive keeps what it needs: the records over a restart, the GPUs, other users’ /proc', () => {
    const hive = read('hive');
    expect(hive).toMatch(/^RuntimeDirectory=hivepulse$/m);
    expect(hive).toMatch(/^RuntimeDirectoryPreserve=yes$/m);
    expect(hive).toMatch(/^DeviceAllow=char-nvidia\* rw$/m);
    // CAP_SYS_ADMIN is nearly all of root: only whoever asks for it has it (docs/systemd.md).
    expect(linesOf('hive', 'CapabilityBoundingSet')).toEqual(['CAP_SYS_PTRACE CAP_DAC_READ_SEARCH']);
    expect(linesOf('hive', 'AmbientCapabilities')).toEqual([]);
    expect(linesOf('hive', 'User')).toEqual([]);
    expect(linesOf('hive', 'ProtectSystem')).toEqual(['strict']);
    expect(linesOf('hive', 'ReadWritePaths')).toEqual([]);
    expect(hive).toMatch(/^RestrictNamespaces=yes$/m);
    // Node compiles at run time.
    for (const unit of ['hive', 'queen']) expect(read(unit)).not.toMatch(/^MemoryDenyWriteExecute=/m);
  });

  it('the queen has no right at all, and is a user of its own that owns only its state', () => {
    expect(linesOf('queen', 'CapabilityBoundingSet')).toEqual(['']);
    expect(linesOf('queen', 'AmbientCapabilities')).toEqual(['']);
    expect(linesOf('queen', 'NoNewPrivileges')).toEqual(['yes']);
    expect(linesOf('queen', 'DynamicUser')).toEqual(['yes']);
    expect(linesOf('queen', 'User')).toEqual([]);
    expect(linesOf('queen', 'ProtectSystem')).toEqual(['strict']);
    expect(linesOf('queen', 'StateDirectory')).toEqual(['hivepulse-queen']);
    for (const other of ['ReadWritePaths', 'RuntimeDirectory', 'CacheDirectory', 'LogsDirectory', 'DeviceAllow'])
      expect(linesOf('queen', other), other).toEqual([]);
  });

  it.skipIf(missing).each([
    ['hive', 4],
    ['queen', 2],
  ])(
    `%s: systemd-analyze finds nothing wrong, and exposure at most %d${missing ? ' (skipped: no systemd-analyze)' : ''}`,
    (unit, most) => {
      const dir = mkdtempSync(join(tmpdir(), 'hivepulse-units-'));
      try {
        const file = join(dir, `hivepulse-${unit}.service`);
        writeFileSync(file, read(unit).replace('ExecStart=hivepulse', 'ExecStart=/bin/true'));
        const verified = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
        expect(verified.stderr.split('\n').filter((line) => line.includes(`hivepulse-${unit}`))).toEqual([]);
        expect(verified.status).toBe(0);
        const security = spawnSync('systemd-analyze', ['security', '--offline=yes', '--no-pager', file], {
          encoding: 'utf8',
        });
        const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(security.stdout)?.[1]);
        expect(exposure, security.stdout).toBeLessThanOrEqual(most);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    },
  );
});

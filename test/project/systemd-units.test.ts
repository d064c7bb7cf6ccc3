import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const deploy = fileURLToPath(new URL('../../deploy', import.meta.url));
const read = (unit: string) => readFileSync(join(deploy, `hivepulse-${unit}.service`), 'utf8');
const missing = spawnSync('systemd-analyze', ['--version']).error !== undefined;

describe('units', () => {
  it('the hive keeps what it needs: the records over a restart, the GPUs, other users’ /proc', () => {
    const hive = read('hive');
    expect(hive).toMatch(/^RuntimeDirectory=hivepulse$/m);
    expect(hive).toMatch(/^RuntimeDirectoryPreserve=yes$/m);
    expect(hive).toMatch(/^DeviceAllow=char-nvidia\* rw$/m);
    expect(hive).toMatch(/^CapabilityBoundingSet=.*CAP_SYS_PTRACE/m);
    // Nearly all of root: only whoever asks for it has it (docs/systemd.md).
    expect(hive).not.toMatch(/^CapabilityBoundingSet=.*CAP_SYS_ADMIN/m);
    expect(hive).toMatch(/^RestrictNamespaces=yes$/m);
    // Node compiles at run time.
    for (const unit of ['hive', 'queen']) expect(read(unit)).not.toMatch(/^MemoryDenyWriteExecute=/m);
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

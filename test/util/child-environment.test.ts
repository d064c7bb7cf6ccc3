import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { start } from '../../lib/launch/launcher.js';
import { toolEnvironment, workerEnvironment } from '../../lib/util/child-environment.js';
import { isSecretName } from '../../lib/workers/redact.js';
import { textOf } from '../harness/worker-suite.js';

const lib = fileURLToPath(new URL('../../lib', import.meta.url));

describe('what processes that we start inherit', () => {
  it('a worker has the keys of its user, and no token of ours', async () => {
    const environment = { PATH: '/bin', HF_TOKEN: 'hf', HIVEPULSE_TOKEN: 'ours', HIVEPULSE_QUEEN: 'http://q' };
    expect(workerEnvironment(environment)).toEqual({ PATH: '/bin', HF_TOKEN: 'hf', HIVEPULSE_QUEEN: 'http://q' });
    process.env.HIVEPULSE_TOKEN = 'planted-token-0123456789';
    try {
      const plan = { wrapper: [], command: ['/usr/bin/env'], cgroup: null, launcher: null, nofile: null };
      const started = await start(plan, { stdio: 'pipe' });
      if ('step' in started) throw new Error(started.reason);
      const shown = await textOf(started.stdout);
      expect(shown).toContain('PATH=');
      expect(shown).not.toContain('planted');
    } finally {
      delete process.env.HIVEPULSE_TOKEN;
    }
  });

  it('a tool of ours has nothing whose name says secret, and all that a driver needs', () => {
    const needed = [
      'PATH',
      'HOME',
      'PWD',
      'OLDPWD',
      'LANG',
      'LD_LIBRARY_PATH',
      'NVIDIA_VISIBLE_DEVICES',
      'XDG_RUNTIME_DIR',
    ];
    const known = ['HIVEPULSE_TOKEN', 'HF_TOKEN', 'AWS_SECRET_ACCESS_KEY', 'DB_PASSWORD', 'OPENAI_API_KEY', 'apikey'];
    const all = Object.fromEntries([...needed, ...known].map((name) => [name, 'x']));
    expect(Object.keys(toolEnvironment(all))).toEqual(needed);
    const word = fc.constantFrom('API', 'HF', 'DB', 'MY', 'A', 'SSH', 'ADMIN');
    const secret = fc.constantFrom(
      'TOKEN',
      'SECRET',
      'PASSWORD',
      'PASSWD',
      'API_KEY',
      'CREDENTIALS',
      'ACCESS_KEY',
      'DSN',
    );
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 3 }), secret, (words, last) => {
        const name = [...words, last].join('_');
        expect(isSecretName(name)).toBe(true);
        expect(toolEnvironment({ [name]: 'x', [name.toLowerCase()]: 'x' })).toEqual({});
      }),
    );
  });

  it('every file that starts a process says what it inherits', () => {
    const sources = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
    for (const path of sources) {
      const text = readFileSync(join(lib, path), 'utf8');
      if (!/^import \{[^}]*\bspawn\b[^}]*\} from 'node:child_process'/m.test(text)) continue;
      expect(text, path).toMatch(/toolEnvironment|workerEnvironment/);
    }
  });
});

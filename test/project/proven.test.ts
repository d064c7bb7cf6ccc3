import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const at = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const scripts = Object.keys((JSON.parse(at('package.json')) as { scripts: Record<string, string> }).scripts);
const ci = at('.ci/run');
const workflows = ['telemetry-tests', 'sanitize', 'release', 'bench', 'nightly'].map((name) =>
  at(`.github/workflows/${name}.yml`),
);

const rows = [
  ...at('docs/proven.md').matchAll(/^\| ([^|]+?) +\| `(\w+)` +\| `npm (?:run )?([\w:]+)[^`]*` +\| ([^|]+?) +\|$/gm),
].map(([, what = '', kind = '', script = '', runs = '']) => ({ what, kind, script, runs }));

/** Whether a suite is a step of .ci/run, which runs with each change. */
const isStep = (script: string) => new RegExp(`^ *(?:suite|step) ${script}(?: |$)`, 'm').test(ci);

describe('docs/proven.md', () => {
  test('has every suite of package.json', () => {
    const suites = scripts.filter((name) => /^(?:test(?::|$)|soak$|verify:)/.test(name));
    expect(suites.filter((name) => rows.every(({ script }) => script !== name))).toEqual([]);
  });

  test('each row names a suite that there is, and says of what kind it is', () => {
    expect(rows.length).toBeGreaterThan(15);
    expect(rows).toHaveLength(at('docs/proven.md').match(/^\| [^-w]/gm)?.length ?? 0);
    for (const { what, kind, script } of rows) {
      expect(scripts, what).toContain(script);
      expect(['real', 'machine', 'fake', 'fixtures', 'emulated'], what).toContain(kind);
    }
  });

  test.each(rows)('$what: $runs', ({ script, runs }) => {
    if (runs === 'each change') expect(isStep(script)).toBe(true);
    else if (runs === 'weekly') expect(workflows[1]).toContain(`npm run ${script}`);
    else if (runs === 'workflow only') {
      expect(isStep(script)).toBe(false);
      expect(workflows.join('\n')).toContain(`npm run ${script}`);
    } else expect(['by hand', 'never yet']).toContain(runs);
  });

  test('the README leads to it, and to what has been run on real cards', () => {
    for (const document of ['docs/proven.md', 'docs/gpu-verification.md'])
      expect(at('README.md'), document).toContain(`](${document})`);
  });

  test('what no card has proven is said where GPUs are claimed, and is no longer once one has', () => {
    const onCard = rows.find(({ script }) => script === 'verify:gpu');
    for (const [document, sentence] of [
      ['README.md', 'on no real card'],
      ['docs/gpu-verification.md', 'They have not yet been run on a real GPU'],
    ] as const)
      expect(at(document).includes(sentence), document).toBe(onCard?.runs === 'never yet');
    const made = rows.find(({ what }) => what.startsWith('GPUs of AMD'));
    expect(at('docs/platforms.md').includes('Proven on fixtures only')).toBe(made?.kind === 'fixtures');
  });
});

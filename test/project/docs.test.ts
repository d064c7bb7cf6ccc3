import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../lib/cli/program.js';
import { settingKeys, variableOf } from '../../lib/config/settings.js';
import { problems } from '../../lib/http/problem.js';
import { eventStream, leaseBucket, reservationBucket } from '../../lib/nats/subjects.js';
import { errorCodes } from '../../lib/util/errors.js';
import { apiDocument } from '../../scripts/docs-api.js';
import { metricsDocument } from '../../scripts/docs-metrics.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const documents = ['README.md', ...readdirSync(join(root, 'docs')).map((file) => `docs/${file}`)].filter((file) =>
  file.endsWith('.md'),
);
/** Of development and tests, where a document names them; no settings. */
const otherVariables = ['HIVEPULSE_CONFIG', 'HIVEPULSE_NO_NATIVE', 'HIVEPULSE_NVML_HEADER', 'HIVEPULSE_BENCH_ROOT'];

/** Headings as GitHub names them in links. */
const anchorsOf = (text: string) =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

/** Lines of shell in fences, with continuations joined. */
function shellLines(text: string): string[] {
  return [...text.matchAll(/```(?:sh|ini)\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
    block.replaceAll(/\\\n\s*/g, ' ').split('\n'),
  );
}

describe('docs', () => {
  it('docs/metrics.md is what the code says (npm run docs:metrics)', () => {
    expect(read('docs/metrics.md')).toBe(metricsDocument());
  });

  it('docs/api.md is what a queen says and does (npm run docs:api)', async () => {
    expect(read('docs/api.md')).toBe(await apiDocument());
  });

  it.each(documents)('%s: links lead somewhere', (file) => {
    const text = read(file);
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const full = path === '' ? join(root, file) : join(root, dirname(file), path);
      expect(existsSync(full), target).toBe(true);
      if (anchor !== undefined && full.endsWith('.md'))
        expect(anchorsOf(readFileSync(full, 'utf8')), target).toContain(anchor);
    }
  });

  it.each(documents)('%s: commands, flags and variables exist', (file) => {
    const commands = new Map(createProgram().commands.map((command) => [command.name(), command]));
    const variables = [...settingKeys.map(variableOf), ...otherVariables];
    const text = read(file);
    for (const line of shellLines(text)) {
      for (const [, name = '', rest = ''] of line.matchAll(/(?:^|[\s=(])hivepulse ([a-z][a-z-]*)([^|#&;]*)/g)) {
        // `docker run ... hivepulse queen` and the like are commands as well; names of images and files are none.
        if (!commands.has(name) && /\b(?:docker|kubectl|-t)\b/.test(line)) continue;
        expect([...commands.keys()], line).toContain(name);
        const flags = commands.get(name)?.options.map(({ long }) => long) ?? [];
        for (const [flag] of (rest.split(' -- ')[0] ?? '').matchAll(/--[a-z][a-z-]*/g))
          expect(flags, line).toContain(flag);
      }
    }
    const onNats = [eventStream, leaseBucket, reservationBucket];
    for (const [variable] of text.matchAll(/\bHIVEPULSE_[A-Z_]+\b/g))
      if (!onNats.includes(variable) && !/^HIVEPULSE_(?:TEST|VM|FAULT|FAKE)_/.test(variable))
        expect(variables, variable).toContain(variable);
  });

  it('troubleshooting: every fault that a hive can tell of is explained, and no other', () => {
    const text = read('docs/troubleshooting.md');
    const explained = [...text.matchAll(/^\| `([A-Z_]+)`/gm)].map(([, code = '']) => code);
    const sources = [
      ...[
        'worker',
        'worker-faults',
        'shown-workers',
        'sampler',
        'start-clock',
        'worker-gpus',
        'unobserved-gpus',
        'endpoints',
      ].map((name) => `lib/sampling/${name}.ts`),
      ...['assemble', 'health', 'vendor-gpus'].map((name) => `lib/gpu/${name}.ts`),
      ...['codes', 'nvidia-smi', 'nvml', 'vendor'].map((name) => `lib/gpu/nvidia/${name}.ts`),
      ...['process-table', 'discovery', 'selection', 'container-names', 'listening', 'namespace-addresses'].map(
        (name) => `lib/workers/${name}.ts`,
      ),
      'lib/io/namespace-connect.ts',
      'lib/procfs/host.ts',
      'lib/procfs/container.ts',
      'lib/cgroup/block-devices.ts',
      'lib/daemon/hive.ts',
    ];
    const literal = /'([A-Z]+(?:_[A-Z]+)+)'/g;
    const own = new Set(sources.flatMap((file) => [...read(file).matchAll(literal)].map(([, code = '']) => code)));
    for (const code of errorCodes) if (code !== 'CGROUP_UNAVAILABLE') own.delete(code);
    expect(own.size).toBeGreaterThan(20);
    for (const code of own) expect(explained, code).toContain(code);
    const known = new Set([...own, ...[...read('lib/gpu/reasons.ts').matchAll(literal)].map(([, code = '']) => code)]);
    for (const code of explained) expect([...known], code).toContain(code);
    // What else it names in passing is some code of ours.
    for (const [, code = ''] of text.matchAll(/`(?:REFUSED_)?([A-Z]+(?:_[A-Z]+)+)`/g)) {
      const all: readonly string[] = [...known, ...errorCodes, ...Object.keys(problems)];
      expect([...all, 'CAP_DAC_READ_SEARCH', 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'], code).toContain(code);
    }
  });
});

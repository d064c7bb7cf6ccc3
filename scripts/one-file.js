// The schema library as one file: its 700 modules took a third of the CPU time of a queen's start. What tsc wrote into dist/
// imports that file instead; the declarations name the library, which is a dependency.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import { root } from './run.js';

const dist = join(root, 'dist');
const file = join(dist, 'vendor/typebox.js');
const modules = ['typebox', 'typebox/compile', '@fastify/type-provider-typebox'];
const contents = `
  export { Type } from 'typebox';
  export { Compile } from 'typebox/compile';
  export { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';`;

/** All are under the MIT licence, which goes with every copy. */
const licences = [
  ...['typebox/license', '@fastify/type-provider-typebox/LICENSE', 'ajv-formats/LICENSE', 'ajv/LICENSE'],
  ...['fast-deep-equal/LICENSE', 'json-schema-traverse/LICENSE'],
]
  .map((path) => readFileSync(join(root, 'node_modules', path), 'utf8').trim())
  .join('\n\n');

await build({
  stdin: { contents, resolveDir: root },
  ...{ bundle: true, minify: true, platform: 'node', format: 'esm', target: 'node20', logLevel: 'warning' },
  banner: { js: `/*\n${licences}\n*/` },
  outfile: file,
});

const imported = new RegExp(` from '(?:${modules.join('|')})';`, 'g');
for (const name of readdirSync(dist, { recursive: true })) {
  if (!name.endsWith('.js') || /^(dashboard|vendor)\//.test(name)) continue;
  const path = join(dist, name);
  const text = readFileSync(path, 'utf8');
  const here = relative(dirname(path), file);
  const changed = text.replace(imported, ` from '${here.startsWith('.') ? here : `./${here}`}';`);
  if (changed !== text) writeFileSync(path, changed);
}

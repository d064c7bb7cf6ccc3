// What the rules read: the files that git knows, and the imports and names of a TypeScript file, types included.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseSync, Visitor } from 'oxc-parser';

/** Path -> text of the files below `root` that match `pathspecs`, tracked or new. */
export function readSources(root, pathspecs) {
  const args = ['ls-files', '-co', '--exclude-standard', '--', ...pathspecs];
  const paths = execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 64e6 }).split('\n');
  const present = paths.filter((path) => path !== '' && existsSync(join(root, path)));
  return new Map(present.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

export const isTypeScript = (path) => /\.tsx?$/.test(path);

export const lineOf = (text, offset) => text.slice(0, offset).split('\n').length;

const parsed = new Map();

/**
 * Every module that a file names (import, type import, export from, import(), typeof import), every identifier in it, and what its
 * template literals insert as it is: the last name of each `${a.b.c}`.
 */
export function parse(path, text) {
  const known = parsed.get(path);
  if (known?.text === text) return known;
  const imports = [];
  const names = [];
  const inserted = [];
  const add = ({ source }) => {
    if (source?.type === 'Literal') imports.push({ module: source.value, line: lineOf(text, source.start) });
  };
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`);
  new Visitor({
    ImportDeclaration: add,
    ExportNamedDeclaration: add,
    ExportAllDeclaration: add,
    ImportExpression: add,
    TSImportType: add,
    CallExpression: ({ callee, arguments: [module] }) => {
      if (callee.name === 'require' && module?.type === 'Literal') add({ source: module });
    },
    TemplateLiteral: ({ expressions }) => {
      for (const { type, name, property, start } of expressions)
        if (type === 'Identifier') inserted.push({ name, start });
        else if (type === 'MemberExpression' && property.type === 'Identifier')
          inserted.push({ name: property.name, start });
    },
    Identifier: ({ name, start }) => names.push({ name, start }),
  }).visit(program);
  const result = { text, imports, names, inserted };
  parsed.set(path, result);
  return result;
}

/** The file that a relative import means, among `files`; undefined for packages, styles and what does not exist. */
export function resolve(from, module, files) {
  if (!module.startsWith('.')) return undefined;
  const path = join(dirname(from), module);
  return [path.replace(/\.js$/, '.ts'), path.replace(/\.js$/, '.tsx'), path].find((each) => files.has(each));
}

// Every code that an error or an error reply of the project can carry is asked for by some test and raised by some source.
const declared = [
  { file: 'lib/util/errors.ts', list: /export const errorCodes = \[([\s\S]*?)\] as const/, code: /^\s*'([A-Z_]+)',/gm },
  { file: 'lib/http/problem.ts', list: /export const problems = \{([\s\S]*?)\} as const/, code: /^\s*([A-Z_]+): \[/gm },
];

const withoutComments = (text) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');

/** What is wrong with the codes, given path -> text. */
export function checkErrorCodes(files) {
  const textOf = (pattern) =>
    [...files]
      .filter(([path]) => pattern.test(path))
      .map(([, text]) => withoutComments(text))
      .join('\n');
  const tests = textOf(/^test\/.*\.test\.ts$/);
  return declared.flatMap(({ file, list, code }) => {
    const text = files.get(file) ?? '';
    const codes = [...(list.exec(text)?.[1] ?? '').matchAll(code)].map(([, name]) => name);
    if (codes.length === 0) return [`${file}: no code was found; has its list another shape?`];
    const sources = textOf(/^lib\/.*\.tsx?$/).replace(list, '');
    return codes.flatMap((name) => [
      ...(new RegExp(`['"\`/:]${name}\\b`).test(tests) ? [] : [`${file}: ${name} is asked for by no test`]),
      ...(new RegExp(`['"]${name}['"]`).test(sources) ? [] : [`${file}: ${name} is raised by nothing in lib/`]),
    ]);
  });
}

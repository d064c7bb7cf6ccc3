// How large files and functions may be, and how complex. What was larger when the rule came stands in allowed.json with its
// size as a ceiling: it may shrink, not grow, and leaves the list once it is within the limit.
import { execFileSync } from 'node:child_process';

/** functionLines and complexity as biome.json has them. */
export const limits = { fileLines: 450, functionLines: 60, complexity: 25, words: 0 };
/** A test tells a story, and `describe` holds many. */
const testLines = 100;

/** Path -> lines, of the files that are above the limit. */
export function longFiles(files) {
  const code = [...files].filter(([path]) => /^(lib|test|bench|scripts|native)\/.*\.(tsx?|js|cc|c|h)$/.test(path));
  const lines = code.map(([path, text]) => [path, [text.split('\n').length - 1]]);
  return Object.fromEntries(lines.filter(([, [count]]) => count > limits.fileLines));
}

/** Path -> lines or complexity of each function above its limit, largest first. */
export function largeFunctions(root, files) {
  const rules = { functionLines: 'noExcessiveLinesPerFunction', complexity: 'noExcessiveCognitiveComplexity' };
  const only = Object.values(rules).map((rule) => `--only=complexity/${rule}`);
  const args = ['lint', ...only, '--max-diagnostics=none', '--reporter=json', 'lib', 'bench', 'scripts', 'test'];
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 64e6, stdio: ['ignore', 'pipe', 'ignore'] };
  const { diagnostics } = JSON.parse(execFileSync('node_modules/.bin/biome', args, options));
  return Object.fromEntries(
    Object.entries(rules).map(([kind, rule]) => {
      const found = {};
      for (const { category, message, location } of diagnostics) {
        const [path, size] = [location.path, Number(/\d+/.exec(message)[0])];
        if (!category.endsWith(rule)) continue;
        if (kind === 'functionLines' && path.startsWith('test/')) {
          const begin = files.get(path)?.split('\n')[location.start.line - 1] ?? '';
          if (size <= testLines || /\bdescribe\b/.test(begin)) continue;
        }
        found[path] = [...(found[path] ?? []), size].toSorted((a, b) => b - a);
      }
      return [kind, found];
    }),
  );
}

const what = {
  fileLines: 'lines',
  functionLines: 'lines in a function',
  complexity: 'cognitive complexity of a function',
  words: 'retired words (scripts/lint/words.js)',
};

/** What in `found` is above its limit and above what `allowed` has, and what of `allowed` is no longer needed. */
export function checkSizes(found, allowed) {
  return Object.keys(limits).flatMap((kind) => {
    const [sizesOf, ceilingsOf] = [found[kind] ?? {}, allowed[kind] ?? {}];
    return [...new Set([...Object.keys(sizesOf), ...Object.keys(ceilingsOf)])].flatMap((path) => {
      const [sizes, ceilings] = [sizesOf[path] ?? [], ceilingsOf[path] ?? []];
      const grown = sizes.filter((size, i) => size > (ceilings[i] ?? 0));
      const most = ceilings.length === 0 ? limits[kind] : `${ceilings.join(', ')} (scripts/lint/allowed.json)`;
      if (grown.length > 0) return grown.map((size) => `${path}: ${size} ${what[kind]}; at most ${most}`);
      // Of words, the sum of a directory is exact: else one that goes would make room for another.
      const fewer = sizes.length < ceilings.length || (kind === 'words' && sizes[0] < ceilings[0]);
      return fewer ? [`${path}: less than allowed.json has (${what[kind]}); run npm run lint -- --lower`] : [];
    });
  });
}

/** `allowed` with every ceiling that can be lower lowered; nothing is added or raised. */
export function lowerCeilings(found, allowed) {
  const kinds = Object.entries(allowed).map(([kind, paths]) => {
    const kept = Object.entries(paths).flatMap(([path, ceilings]) => {
      const sizes = found[kind][path]?.slice(0, ceilings.length).map((size, i) => Math.min(size, ceilings[i])) ?? [];
      return sizes.length === 0 ? [] : [[path, sizes]];
    });
    return [kind, Object.fromEntries(kept.toSorted(([a], [b]) => (a < b ? -1 : 1)))];
  });
  return Object.fromEntries(kinds);
}

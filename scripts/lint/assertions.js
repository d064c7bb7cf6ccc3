// Assertions that cannot fail, and tests that are skipped without saying what they need.
import { lineOf } from './sources.js';

/** Tests of rules like these hold such texts. */
const isTest = (path) => /^test\/(?!project\/(?:promises\/|lint\.)).*\.test\.tsx?$/.test(path);

/** `word` over the text of a test file, with line breaks; `why` completes "this". */
const rules = [
  {
    word: /\.(?:length|size)\)\s*\.(?:toBeGreaterThanOrEqual\(0\)|toBeGreaterThan\(-\d+\))/g,
    why: 'holds for every list: say how many there are',
  },
  {
    word: /expect\((true|false|null|undefined|\d+)\)\s*\.(?:toBe|toEqual)\(\1\)/g,
    why: 'asks nothing of the product',
  },
  {
    word: /\b(?:it|test|describe)\.(?:skip|todo|only)\b/g,
    why: 'leaves a test out for good: use skipIf with a title that says what it needs',
  },
];

const skip = /\b(?:it|test|describe)\.(?:skipIf|runIf)\(/g;
/** What a title must hold, in itself or by what it inserts: why the test may be skipped. */
const reason = /\$\{|needs|skipped|without|where|needs\(|title/;

/** The text in the parentheses that begin at `open`, and where they end. */
function inParentheses(text, open) {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === '(') depth++;
    else if (text[i] === ')' && --depth === 0) return { inner: text.slice(open + 1, i), end: i + 1 };
  }
  return { inner: '', end: text.length };
}

/** The title of the test whose condition begins at `open`: the first argument behind it, and behind a table of `each`. */
function titleBehind(text, open) {
  let { end } = inParentheses(text, open);
  const each = /^\s*\.each\(/.exec(text.slice(end));
  if (each) ({ end } = inParentheses(text, end + each[0].length - 1));
  return inParentheses(text, text.indexOf('(', end)).inner.slice(0, 300);
}

/** What is wrong with the tests in path -> text. */
export function checkAssertions(files) {
  return [...files]
    .filter(([path]) => isTest(path))
    .flatMap(([path, text]) => [
      ...rules.flatMap(({ word, why }) =>
        [...text.matchAll(word)].map((found) => `${path}:${lineOf(text, found.index)}: '${found[0]}' ${why}`),
      ),
      ...[...text.matchAll(skip)]
        .filter(
          (found) => !reason.test(titleBehind(text, found.index + found[0].length - 1).split(/=>|\bfunction\b/)[0]),
        )
        .map(
          (found) =>
            `${path}:${lineOf(text, found.index)}: the title of a test that may be skipped must say what it needs`,
        ),
    ]);
}

// No regular expression of the product costs more than linear time, whatever the text: an address, a command line, a name or a
// file of another user must not hold up a daemon. Checked by recheck (automata, and a search for texts that show it).
import { availableParallelism } from 'node:os';
import { runInNewContext } from 'node:vm';
import { parseSync, Visitor } from 'oxc-parser';
import { check } from 'recheck';
import { isMain, root } from '../run.js';
import { isTypeScript, lineOf, readSources } from './sources.js';

/** Those that see only short text, or text of the kernel or of who asks, with the reason. */
const accepted = {
  'lib/cli/program.ts': 'the command line of who calls it',
  'lib/procfs/parse.ts': 'text of the kernel',
  'lib/workers/classify.ts': 'a name of a directory, at most 255 bytes',
};

/** Regular expressions in a file: literals, and strings that are named as patterns. */
export function regexpsOf(path, text) {
  const found = [];
  const { program } = parseSync(path, text);
  new Visitor({
    Literal: ({ regex, start }) => {
      if (regex) found.push({ source: regex.pattern, flags: regex.flags, line: lineOf(text, start) });
    },
    VariableDeclarator: ({ id, init }) => {
      if (/[Pp]attern$/.test(id.name ?? '') && typeof init?.value === 'string')
        found.push({ source: init.value, flags: 'u', line: lineOf(text, init.start) });
    },
  }).visit(program);
  return found;
}

/** Characters of a text that shows whether time grows with its square, which is then seconds, and linear some hundred µs. */
const longText = 100_000;
const tries = 3;

/** Whether a text takes more than linear time: also where the machine does other things, one of three runs is then short. */
export function isSlow({ source, flags }, { pumps, suffix }, slowMs = 1000) {
  const each = longText / Math.max(1, pumps.length);
  const text = pumps.map(({ prefix, pump }) => prefix + pump.repeat(Math.ceil(each / pump.length))).join('') + suffix;
  for (let run = 0; run < tries; run++)
    try {
      runInNewContext('new RegExp(source, flags).test(text)', { source, flags, text }, { timeout: slowMs });
      return false;
    } catch (error) {
      if (error.code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    }
  return true;
}

/** Why a regular expression is refused, or null. */
export async function problemOf({ source, flags }) {
  // `y` and `d` change what is matched, not its cost.
  const checked = { source, flags: flags.replace(/[yd]/g, '') };
  const { status, complexity, checker, attack } = await check(source, checked.flags, { timeout: 100_000 });
  if (status === 'safe') return null;
  if (status !== 'vulnerable') return 'could not be checked';
  // Automata are sure. A search takes steps for time, and its own time for that of the text, which is longer on a busy machine.
  const isGuess = checker === 'fuzz' && complexity.type === 'polynomial';
  return isGuess && !isSlow(checked, attack) ? null : complexity.summary;
}

if (isMain(import.meta)) {
  const files = [...readSources(root, ['lib'])].filter(([path]) => isTypeScript(path) && !(path in accepted));
  const all = files.flatMap(([path, text]) => regexpsOf(path, text).map((each) => ({ ...each, path })));
  // What two places have is checked once.
  const queue = [...new Map(all.map((each) => [`/${each.source}/${each.flags}`, each])).values()];
  let problems = 0;
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const problem = await problemOf(next);
      if (problem === null) continue;
      problems += 1;
      console.error(`${next.path}:${next.line}: /${next.source}/${next.flags}: ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  console.log(`regular expressions: ${all.length}, ${problems} problems`);
  process.exitCode = problems === 0 ? 0 : 1;
}

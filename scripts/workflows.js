// What the steps of .github/workflows run, and whether that can be run by hand. Pure: scripts/lint-workflows.js reads.

/** Commands besides `npm run SCRIPT`, `npm test` and `.ci/run` that a step may run. */
const plain = [
  /^npm ci( --ignore-scripts)?$/,
  /^(sudo )?apt-get update$/,
  /^(sudo )?apt-get install -y --no-install-recommends [\w .+-]+$/,
  // Publishing is for the workflow alone: it is the identity that npm trusts.
  /^npm publish \S+\.tgz --provenance --access public$/,
  /^gh release create "\$GITHUB_REF_NAME" --verify-tag --notes-file [\w./-]+( [\w./-]+)+$/,
];

/** The steps of .ci/run by name. */
export function ciSteps(text) {
  return new Set([
    'packages',
    ...[...text.matchAll(/^ *(?:step|suite) ([a-z][\w:-]*) \d/gm)].map(([, name]) => name),
  ]);
}

/** The lines of a step, once for each value of the matrix that it names. */
export function commandsOf(run, matrix = {}) {
  const lines = run
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  return lines.flatMap((line) => {
    const key = /\$\{\{ matrix\.(\w+) \}\}/.exec(line)?.[1];
    if (key === undefined) return [line];
    return (matrix[key] ?? ['']).map((value) => line.replaceAll(`\${{ matrix.${key} }}`, String(value)));
  });
}

/** Why a command cannot be run by hand, or null. `scripts` are those of package.json, `steps` those of .ci/run. */
export function strayCommand(command, scripts, steps) {
  const npm =
    /^npm (?:run ([\w:-]+)|(test))(?: -- (?:[\w ./:=,-]|\$\{\{ github\.event\.pull_request\.base\.sha \}\})+)?$/.exec(
      command,
    );
  if (npm) {
    const name = npm[1] ?? npm[2];
    return scripts.has(name) ? null : `${name} is no script of package.json`;
  }
  const ci = /^\.ci\/run((?: [\w:-]+)*)$/.exec(command);
  if (ci) {
    const unknown = ci[1].split(' ').find((name) => name !== '' && !steps.has(name));
    return unknown === undefined ? null : `${unknown} is no step of .ci/run`;
  }
  return plain.some((pattern) => pattern.test(command)) ? null : 'it is no script of package.json';
}

/** What is wrong with the steps of a workflow (as parsed YAML). */
export function strayCommands(workflow, scripts, steps) {
  return Object.entries(workflow.jobs ?? {}).flatMap(([job, { steps: list = [], strategy }]) =>
    list
      .filter(({ run }) => typeof run === 'string')
      .flatMap(({ run }) => commandsOf(run, strategy?.matrix))
      .map((command) => ({ command, why: strayCommand(command, scripts, steps) }))
      .filter(({ why }) => why !== null)
      .map(({ command, why }) => `job ${job} runs \`${command}\`: ${why}`),
  );
}

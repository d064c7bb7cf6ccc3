// Stryker's runner for Vitest, with two changes: a test of a mutant that waits for ever ends by itself, since to end its process and
// start another costs ten times as much; and of a sample only its mutants are run.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { commonTokens, tokens } from '@stryker-mutator/api/plugin';
import { MutantRunStatus } from '@stryker-mutator/api/test-runner';
import { strykerPlugins } from '@stryker-mutator/vitest-runner';

export const notSampled = 'not in the sample';

/** `--sample` of a run; null: all. */
export const sample = JSON.parse(process.env.HIVEPULSE_MUTATION_SAMPLE ?? 'null');

/** How long each test took without a mutant, for the processes that begin later. */
const timesFile = `${process.env.HIVEPULSE_MUTATION_LINES}.times`;

/** Longer than a test takes on the code as it is, on a machine that has more to do by then. */
const limitOf = (usualMs) => 2000 + 5 * usualMs;

/** Whether a mutant is of a sample of so many percent: of one tree and seed always the same, and a larger sample has those of a smaller one. */
export function isSampled({ id }, { percent, seed }) {
  const [draw] = new Uint32Array(createHash('sha256').update(`${seed} ${id}`).digest().buffer.slice(0, 4));
  return draw < (percent / 100) * 2 ** 32;
}

class MutationRunner {
  #vitest;
  #usualMs;

  constructor(vitest) {
    this.#vitest = vitest;
  }

  capabilities() {
    return this.#vitest.capabilities();
  }

  init() {
    return this.#vitest.init();
  }

  async dryRun(options) {
    const result = await this.#vitest.dryRun(options);
    const times = (result.tests ?? []).map(({ id, timeSpentMs }) => [id, timeSpentMs]);
    writeFileSync(timesFile, JSON.stringify(times));
    return result;
  }

  mutantRun(options) {
    const { activeMutant, testFilter = [] } = options;
    if (sample !== null && !isSampled(activeMutant, sample))
      return { status: MutantRunStatus.Error, errorMessage: notSampled };
    this.#usualMs ??= new Map(existsSync(timesFile) ? JSON.parse(readFileSync(timesFile, 'utf8')) : []);
    const limit = limitOf(Math.max(0, ...testFilter.map((id) => this.#usualMs.get(id) ?? 0)));
    for (const { config } of this.#vitest.ctx.projects) config.testTimeout = config.hookTimeout = limit;
    return this.#vitest.mutantRun(options);
  }

  dispose() {
    return this.#vitest.dispose();
  }
}

const [{ factory }] = strykerPlugins;

export function mutationRunner(injector) {
  return new MutationRunner(injector.injectFunction(factory));
}
mutationRunner.inject = tokens(commonTokens.injector);

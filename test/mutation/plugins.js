// What `npm run test:mutation` adds to Stryker: a line for each mutant as soon as its tests have run, so that a run that is
// ended by its time is still worth what it did; and no mutants of texts that people read.
import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import { declareClassPlugin, declareFactoryPlugin, declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin';
import { isSampled, mutationRunner, sample } from './runner.js';

class LinesReporter {
  #write(entry) {
    appendFileSync(process.env.HIVEPULSE_MUTATION_LINES, `${JSON.stringify(entry)}\n`);
  }

  onMutationTestingPlanReady({ mutantPlans }) {
    const planned = {};
    let mutants = 0;
    for (const { plan, mutant } of mutantPlans) {
      if (mutant.status !== 'Ignored' || mutant.static) mutants++;
      if (plan !== 'Run') continue;
      const file = relative(process.cwd(), mutant.fileName);
      planned[file] = (planned[file] ?? 0) + 1;
    }
    this.#write({ planned, mutants });
  }

  onMutantTested(mutant) {
    if (sample !== null && !isSampled(mutant, sample)) return;
    const { fileName, location, mutatorName, replacement, status, statusReason, static: isStatic } = mutant;
    const file = relative(process.cwd(), fileName);
    this.#write({ file, location, mutator: mutatorName, replacement, status, statusReason, static: isStatic === true });
  }

  onMutationTestReportReady() {
    this.#write({ isComplete: true });
  }
}

const hasSpace = (text) => text.includes(' ');

/** A text with a space in it is a message; which words it has is not for tests to hold. */
const messages = {
  shouldIgnore({ node }) {
    if (node.type === 'StringLiteral' && hasSpace(node.value)) return 'a text for people';
    if (node.type === 'TemplateLiteral' && node.quasis.some(({ value }) => hasSpace(value.raw)))
      return 'a text for people';
    return undefined;
  },
};

export const strykerPlugins = [
  declareClassPlugin(PluginKind.Reporter, 'lines', LinesReporter),
  declareFactoryPlugin(PluginKind.TestRunner, 'mutation', mutationRunner),
  declareValuePlugin(PluginKind.Ignore, 'messages', messages),
];

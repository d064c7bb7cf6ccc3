import type { Reporter, TestCase } from 'vitest/node';

/** Names a test that failed and then passed: no green run hides one, and `.ci/run` repeats these lines last. */
class FlakyReporter implements Reporter {
  readonly #flaky: string[] = [];

  onTestCaseResult(test: TestCase): void {
    if (!test.diagnostic()?.flaky) return;
    const [error] = test.result().errors ?? [];
    const reason = error?.message.split('\n', 1)[0];
    this.#flaky.push(`flaky: ${test.module.relativeModuleId} > ${test.fullName}${reason ? `: ${reason}` : ''}`);
  }

  onTestRunEnd(): void {
    for (const line of this.#flaky) console.log(line);
  }
}

/**
 * `HIVEPULSE_TEST_RETRY=1`, as `.ci/run` sets it: a test of real processes that failed is tried once more, since a machine
 * that others share may stop one for seconds. By hand there is no second try.
 */
export const secondTry = { retry: process.env.HIVEPULSE_TEST_RETRY === '1' ? 1 : 0, reporter: new FlakyReporter() };

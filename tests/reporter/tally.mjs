/**
 * A jest reporter that counts. It ends a run with the line `N passed, N failed`, alone; when LAZYDISK_TALLY names a file it
 * appends its two numbers there instead, for the driver that sums several runs (tests/tools/run-tests.sh).
 *
 * A suite that could not run at all counts as one failure: nothing that went wrong is left out of the sum. Skipped tests
 * are not passed tests; they are named, so that a run without a server or without root does not look like a full one.
 */
import { appendFileSync } from 'node:fs';

export class TallyReporter {
  onRunComplete(_contexts, results) {
    const passed = results.numPassedTests;
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    if (skipped > 0) process.stdout.write(`${skipped} skipped\n`);
    const tally = process.env.LAZYDISK_TALLY;
    if (tally) appendFileSync(tally, `${passed} ${failed}\n`);
    else process.stdout.write(`${passed} passed, ${failed} failed\n`);
  }
}

export { TallyReporter as default };

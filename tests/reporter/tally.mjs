/**
 * A jest reporter that counts. It ends a run with the line `N passed, N failed`, alone; when LAZYDISK_TALLY names a file it
 * appends its two numbers there instead, for the driver that sums several runs (tests/tools/run-tests.sh).
 *
 * A suite that could not run at all counts as one failure: nothing that went wrong is left out of the sum. Skipped tests
 * are not passed tests; they are named, so that a run without a server or without root does not look like a full one.
 */
import { appendFileSync, writeSync } from 'node:fs';

export class TallyReporter {
  onRunComplete(_contexts, results) {
    const passed = results.numPassedTests;
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    const tally = process.env.LAZYDISK_TALLY;
    if (tally) appendFileSync(tally, `${passed} ${failed}\n`);
    // jest appends its own summary after all reporters: to be last is to wait for the end.
    process.once('exit', () => {
      if (skipped > 0) writeSync(1, `${skipped} skipped\n`);
      if (!tally) writeSync(1, `${passed} passed, ${failed} failed\n`);
    });
  }
}

export { TallyReporter as default };

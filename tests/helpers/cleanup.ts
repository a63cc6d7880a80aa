/**
 * What a test made, undone in reverse order, whatever happened to the test.
 *
 * A test file says once when: `cleanUpAfter('each')` or `cleanUpAfter('all')`. Helpers that make something lasting (a
 * folder, a process, a mount) call `undoLater`. Every undo is tried; the first failure is the one that is reported, since
 * something left behind is a defect of the test or of the program.
 */
import { afterAll, afterEach } from '@jest/globals';

type Undo = () => Promise<void> | void;

const undos: Undo[] = [];

/** Runs `undo` at the next clean-up of this test file. */
export function undoLater(undo: Undo): void {
  undos.push(undo);
}

/** Runs every undo now, last first. */
export async function undoAll(): Promise<void> {
  const failures: unknown[] = [];
  for (let undo = undos.pop(); undo !== undefined; undo = undos.pop()) {
    try {
      await undo();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Registers the clean-up of this test file: after each test, or once after all of them. */
export function cleanUpAfter(when: 'each' | 'all'): void {
  (when === 'each' ? afterEach : afterAll)(undoAll);
}

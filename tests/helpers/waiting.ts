/** Waiting for facts instead of sleeping. */

/**
 * Resolves to the first value of `probe` that is neither undefined nor false. A probe that throws counts as "not yet"; its
 * last error is the cause when the time is over. The limit is for what hangs, never a promise about time.
 */
export async function waitFor<T>(
  fact: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<T> {
  const { timeoutMs = 60_000, intervalMs = 50 } = options;
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= deadline) throw new Error(`waited ${String(timeoutMs)} ms in vain: ${fact}`, { cause });
    await passed(intervalMs);
  }
}

/** Resolves once `milliseconds` have passed: for tests whose fact is that nothing happens meanwhile. */
export function passed(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

/** What a page keeps from those who use it without eyes or without a mouse, as far as a program can tell (axe-core). */
import axe from 'axe-core';
import type { Page } from 'playwright-core';

export interface Accessibility {
  /** Rules that the page was held against and keeps. */
  readonly keptRules: number;
  /** Rule and place of each offence. */
  readonly faults: readonly string[];
}

/** Of the page as it stands. All rules of axe-core, its advice beyond WCAG included. */
export async function accessibilityOf(page: Page): Promise<Accessibility> {
  await page.evaluate(axe.source);
  return page.evaluate(`axe.run(document).then(({ passes, violations }) => ({
    keptRules: passes.length,
    faults: violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => id + ': ' + target.join(' '))),
  }))`);
}

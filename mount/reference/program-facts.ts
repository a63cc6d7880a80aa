/** The facts of this very program. */
import { COMMON_OPTIONS } from '../cli/common-options.js';
import { VERBS } from '../cli/verbs.js';
import { factsOf, optionOf, type Option, type VerbFacts } from '../cli/verb-facts.js';

export const VERB_FACTS: readonly VerbFacts[] = factsOf(VERBS);

/** Options of every verb. A verb may declare one of them again, with another meaning. */
export const COMMON: readonly Option[] = Object.entries(COMMON_OPTIONS).map(([name, declared]) =>
  optionOf(name, declared),
);

/** One line: `lazydisk clone WHERE IMAGE NEW-IMAGE [OPTION…]`. */
export function usageOf({ name, positionals, options }: VerbFacts): string {
  const places = positionals.map((place) => {
    const word = `${place.name.toUpperCase()}${place.repeated ? '…' : ''}`;
    return place.optional ? `[${word}]` : word;
  });
  return ['lazydisk', name, ...places, ...(options.length === 0 ? [] : ['[OPTION…]'])].join(' ');
}

/** The options of a verb that are not among the common ones, then those, as they hold for it. */
export function allOptionsOf(verb: VerbFacts): Option[] {
  const own = new Set(verb.options.map(({ name }) => name));
  return [...verb.options, ...COMMON.filter(({ name }) => !own.has(name))];
}

/** The word that somebody meant who typed another one: the one with the fewest wrong, missing, extra or swapped letters. */

/** Undefined when none is near: more than a third of the letters would be wrong. A word that was only begun is near. */
export function nearestWord(typed: string, words: readonly string[]): string | undefined {
  const begun = typed.length >= 3 ? words.filter((word) => word.startsWith(typed)) : [];
  if (begun.length === 1) return begun[0];
  const most = Math.max(1, Math.floor(typed.length / 3));
  const [nearest] = words
    .map((word) => ({ word, distance: editDistance(typed, word) }))
    .filter(({ distance }) => distance <= most)
    .sort((one, other) => one.distance - other.distance);
  return nearest?.word;
}

/** Damerau and Levenshtein's, with neighbours swapped at most once. */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let row = 1; row <= from.length; row += 1) {
    const next = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      next[column] = Math.min(
        (last[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
        swapped ? (beforeLast[column - 2] ?? 0) + 1 : Infinity,
      );
    }
    beforeLast = last;
    last = next;
  }
  return last[to.length] ?? 0;
}

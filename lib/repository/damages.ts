/** What verify has found: each thing once, in the order of finding. */
import { hasCode } from '../util/errors.js';

export interface Damage {
  /** Key of the object. */
  readonly object: string;
  /** What is wrong with it, a sentence. */
  readonly what: string;
}

export class Damages {
  readonly #found = new Map<string, Damage>();

  get list(): Damage[] {
    return [...this.#found.values()];
  }

  add(object: string, what: string): void {
    this.#found.set(`${object} ${what}`, { object, what });
  }

  /** Does it; what is damaged, newer or missing is noted and gives undefined. Trouble of the store is not. */
  async noting<Value>(object: string, read: () => Promise<Value>): Promise<Value | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!hasCode(error, 'DAMAGED', 'UNSUPPORTED', 'NOT_FOUND') || error.facts['bucket'] !== undefined) throw error;
      const { object: named, what } = error.facts;
      if (error.code === 'NOT_FOUND') this.add(object, 'it is missing');
      else this.add(typeof named === 'string' ? named : object, typeof what === 'string' ? what : error.message);
      return undefined;
    }
  }
}

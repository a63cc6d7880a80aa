/** What the archive of a layer holds, as far as it is remembered: bounded, whatever the archive names. */
import type { Bytes } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import type { BytePath } from './byte-paths.js';
import type { LooseLink } from './tar-words.js';
import type { Told } from './untar.js';

/** Three million names of usual length; the largest images have some hundred thousand in a layer. */
const MOST_REMEMBERED: Bytes = 512 * 1024 * 1024;
/** What a name takes beside its bytes. */
const NAME_BYTES = 64;

export class Members implements Told {
  readonly #paths = new Set<BytePath>();
  readonly #looseLinks: LooseLink[] = [];
  #remembered: Bytes = 0;

  /** `title`: of the layer, for messages. */
  constructor(
    private readonly title: string,
    private readonly most: Bytes = MOST_REMEMBERED,
  ) {}

  /** Each once. */
  get paths(): ReadonlySet<BytePath> {
    return this.#paths;
  }

  /** In the order of the archive. */
  get looseLinks(): readonly LooseLink[] {
    return this.#looseLinks;
  }

  /** TOO_LARGE. */
  readonly onMember = (path: BytePath): void => {
    if (this.#paths.has(path)) return;
    this.#remember(path.length);
    this.#paths.add(path);
  };

  /** TOO_LARGE. */
  readonly onLooseLink = (link: LooseLink): void => {
    this.#remember(link.path.length + link.target.length);
    this.#looseLinks.push(link);
  };

  #remember(length: number): void {
    this.#remembered += length + NAME_BYTES;
    if (this.#remembered <= this.most) return;
    throw new LazydiskError('TOO_LARGE', `${this.title} has more names than an import can hold in memory.`);
  }
}

/**
 * Bytes that come once are counted, hashed, unpacked and looked at on the way. A raw disk is taken in as it comes. A container can't be read
 * in the order in which it comes, so it is kept meanwhile in a file without a name: the container as it was made, never the disk in it.
 */
import type { Bytes } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import { ContainerSource } from './container-source.js';
import { openArchive } from './archive-source.js';
import type { ImageSource } from './image-source.js';
import { hashed, peek, taken, type Input } from './input.js';
import { assertIsDisk, type OpenOptions } from './open-options.js';
import { readContainer } from './qemu.js';
import { recogniseEnd, recogniseStart, SIGNATURE_BYTES, type Container, type Recognised } from './signatures.js';
import { spool } from './spool.js';
import { StreamSource } from './stream-source.js';
import { unpacked } from './unpacking.js';

/** `sizeBytes`: how many will come, null when nobody knows. The input is closed with the source, and by every error. */
export async function openInput(
  bytes: Input,
  name: string,
  sizeBytes: Bytes | null,
  options: OpenOptions,
): Promise<ImageSource> {
  const { format, checksum } = options;
  const counted = taken(bytes, sizeBytes, options);
  let input = checksum === undefined ? counted : hashed(counted, name, checksum);
  try {
    if (format === 'raw') return new StreamSource(input, name, { checkEnd: () => undefined, endBytes: 0 });
    let found: Recognised;
    let isEmpty: boolean;
    ({ input, found, isEmpty } = await look(input));
    if (isEmpty) throw nothingCame(name);
    if (found.kind === 'packed') {
      ({ input, found } = await look(await unpacked(input, name, found)));
      if (found.kind === 'packed') {
        throw new LazydiskError('USAGE', `${name} is packed twice, by ${found.name} inside; unpack it once before.`);
      }
    }
    if (found.kind === 'tar') return await openArchive(input, name, options);
    assertIsDisk(options, name);
    if (found.kind === 'container') return await spooled(input, name, found, options);
    return new StreamSource(input, name, { checkEnd: refuseEnd(name), endBytes: SIGNATURE_BYTES });
  } catch (error) {
    await input.close();
    throw error;
  }
}

async function look(input: Input): Promise<{ input: Input; found: Recognised; isEmpty: boolean }> {
  const { input: whole, start } = await peek(input, SIGNATURE_BYTES);
  return { input: whole, found: recogniseStart(start), isEmpty: start.length === 0 };
}

/** The program that should have written into a pipe has failed, as a rule; an image of nothing would hide that. */
function nothingCame(name: string): LazydiskError {
  return new LazydiskError(
    'USAGE',
    `Nothing came from ${name}: did what should send the disk fail? With --format raw it becomes an image of no bytes.`,
  );
}

async function spooled(input: Input, name: string, container: Container, options: OpenOptions): Promise<ImageSource> {
  const file = await spool(input);
  try {
    const at = { descriptor: file.descriptor };
    const disk = await readContainer({ name, at, driver: container.driver }, options.follow ?? false);
    return new ContainerSource(disk, name, {
      assertUnchanged: () => Promise.resolve(),
      async close() {
        file.close();
        await input.close();
      },
    });
  } catch (error) {
    file.close();
    throw error;
  }
}

/** What has its only signature at its end has been taken in as raw by then; nothing of it is published. */
function refuseEnd(name: string): (end: Buffer) => void {
  return (end) => {
    const found = recogniseEnd(end);
    if (found.kind !== 'container') return;
    throw new LazydiskError(
      'USAGE',
      `${name} is not a raw disk but ${found.name}; import it from a file, not a stream.`,
    );
  };
}

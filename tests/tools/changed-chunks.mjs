/**
 * changed-chunks.mjs BEFORE AFTER CHUNK_BYTES: prints how many chunks of AFTER are not zero and differ from BEFORE: the most
 * that a commit between the two has to upload.
 */
import { fstatSync, openSync, readSync } from 'node:fs';

const [before, after, chunkText] = process.argv.slice(2);
const chunkBytes = Number(chunkText);
const [old, young] = [before, after].map((path) => openSync(path, 'r'));
const sizeBytes = fstatSync(young).size;
const zeros = Buffer.alloc(chunkBytes);
let changed = 0;
for (let offset = 0; offset < sizeBytes; offset += chunkBytes) {
  const now = readChunk(young, offset);
  if (!now.equals(zeros) && !now.equals(readChunk(old, offset))) changed++;
}
process.stdout.write(`${changed}\n`);

/** One chunk, padded with zeros at the end of the file. */
function readChunk(descriptor, offset) {
  const bytes = Buffer.alloc(chunkBytes);
  for (let done = 0; done < chunkBytes;) {
    const read = readSync(descriptor, bytes, done, chunkBytes - done, offset + done);
    if (read === 0) break;
    done += read;
  }
  return bytes;
}

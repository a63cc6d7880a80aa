/**
 * What a zstd frame says of itself (RFC 8878), read before any decoder sees it: pure.
 *
 * Frames come from a repository and are untrusted. This answers the two questions that bound a decoder: how many bytes come
 * out, and whether the input is one frame and nothing else (decoders differ in what they do with more).
 */

const MAGIC = 0xfd2fb528;
/** Bytes of the dictionary's id and of the content size, by their flags. */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const BLOCK_HEADER_BYTES = 3;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;
const CHECKSUM_BYTES = 4;

/**
 * The number of bytes that a frame decodes to, as its header says. undefined when `bytes` are not exactly one whole frame
 * without a dictionary, or when its header does not say the size.
 */
export function frameContentSize(bytes: Uint8Array): number | undefined {
  const header = readHeader(bytes);
  if (header === undefined || lengthOfBlocks(bytes, header.lengthBytes) !== bytes.length - header.checksumBytes) {
    return undefined;
  }
  return header.contentSizeBytes;
}

interface FrameHeader {
  readonly lengthBytes: number;
  readonly contentSizeBytes: number;
  /** Bytes after the last block. */
  readonly checksumBytes: number;
}

function readHeader(bytes: Uint8Array): FrameHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 6 || view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const isReserved = (descriptor & 0x08) !== 0;
  const dictionaryBytes = DICTIONARY_ID_BYTES[descriptor & 3]!;
  const flag = descriptor >> 6;
  const sizeBytes = flag === 0 && isSingleSegment ? 1 : CONTENT_SIZE_BYTES[flag]!;
  const sizeAt = 5 + (isSingleSegment ? 0 : 1);
  if (isReserved || dictionaryBytes !== 0 || sizeBytes === 0 || bytes.length < sizeAt + sizeBytes) return undefined;
  return {
    lengthBytes: sizeAt + sizeBytes,
    contentSizeBytes: readSize(view, sizeAt, sizeBytes),
    checksumBytes: (descriptor & 0x04) !== 0 ? CHECKSUM_BYTES : 0,
  };
}

function readSize(view: DataView, at: number, lengthBytes: number): number {
  if (lengthBytes === 1) return view.getUint8(at);
  if (lengthBytes === 2) return view.getUint16(at, true) + 256; // smaller ones have the form of one byte
  if (lengthBytes === 4) return view.getUint32(at, true);
  return Number(view.getBigUint64(at, true));
}

/** Where the last block ends; undefined when the blocks go beyond the end. */
function lengthOfBlocks(bytes: Uint8Array, start: number): number | undefined {
  let at = start;
  for (;;) {
    if (at + BLOCK_HEADER_BYTES > bytes.length) return undefined;
    const header = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    const type = (header >> 1) & 3;
    if (type === RESERVED_BLOCK) return undefined;
    at += BLOCK_HEADER_BYTES + (type === RLE_BLOCK ? 1 : header >> 3);
    if (at > bytes.length) return undefined;
    if ((header & 1) !== 0) return at;
  }
}

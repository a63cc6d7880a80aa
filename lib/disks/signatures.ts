/**
 * Tells by its beginning and its end what a file is: a raw disk, which has no signature; a disk in a container of another
 * hypervisor; something packed; or an archive of files.
 *
 * A guest can write any of these to the beginning of its raw disk, so whoever reads such a disk insists on raw.
 */
import type { Bytes } from '../format/geometry.js';

/** How many bytes of the beginning, and of the end, are looked at. */
export const SIGNATURE_BYTES: Bytes = 512;

/** A container. `driver` is what QEMU calls it. */
export interface Container {
  readonly kind: 'container';
  readonly name: string;
  readonly driver: 'qcow2' | 'qcow' | 'vmdk' | 'vhdx' | 'vpc' | 'vdi';
}

/** A packed file. */
export interface Packed {
  readonly kind: 'packed';
  readonly name: 'gzip' | 'xz' | 'zstd';
}

export type Recognised = Container | Packed | { readonly kind: 'raw' } | { readonly kind: 'tar'; readonly name: 'tar' };

interface Signature {
  readonly is: Recognised;
  readonly magic: Buffer;
  readonly offset: number;
}

const container = (name: string, driver: Container['driver'], magic: string, offset = 0): Signature => ({
  is: { kind: 'container', name, driver },
  magic: Buffer.from(magic, 'latin1'),
  offset,
});
const packed = (name: Packed['name'], ...magic: number[]): Signature => ({
  is: { kind: 'packed', name },
  magic: Buffer.from(magic),
  offset: 0,
});

const AT_START: readonly Signature[] = [
  container('qcow', 'qcow', 'QFI\xfb\0\0\0\x01'),
  container('qcow2', 'qcow2', 'QFI\xfb'),
  container('VMDK', 'vmdk', 'KDMV'),
  container('VMDK', 'vmdk', 'COWD'),
  container('VMDK', 'vmdk', '# Disk DescriptorFile'),
  container('VHDX', 'vhdx', 'vhdxfile'),
  container('VHD', 'vpc', 'conectix'),
  container('VDI', 'vdi', '\x7f\x10\xda\xbe', 64),
  packed('xz', 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00),
  packed('gzip', 0x1f, 0x8b, 0x08),
  packed('zstd', 0x28, 0xb5, 0x2f, 0xfd),
  { is: { kind: 'tar', name: 'tar' }, magic: Buffer.from('ustar'), offset: 257 },
];

/** A VHD of fixed size has its only header at its end. */
const AT_END = container('VHD', 'vpc', 'conectix');

/** What begins with `start`, the first SIGNATURE_BYTES (or all). */
export function recogniseStart(start: Uint8Array): Recognised {
  return AT_START.find((signature) => matches(signature, start))?.is ?? { kind: 'raw' };
}

/** What ends with `end`, the last SIGNATURE_BYTES (or fewer: then it is raw). */
export function recogniseEnd(end: Uint8Array): Recognised {
  return end.length === SIGNATURE_BYTES && matches(AT_END, end) ? AT_END.is : { kind: 'raw' };
}

function matches({ magic, offset }: Signature, bytes: Uint8Array): boolean {
  return magic.equals(bytes.subarray(offset, offset + magic.length));
}

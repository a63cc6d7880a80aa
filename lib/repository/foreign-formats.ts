/**
 * Recognises files that are not raw disks: container formats of virtual machines and compressed files. Importing one as it
 * is would make a disk that no guest can read, so the refusal says which command to run first.
 */
import { LazydiskError } from '../util/errors.js';

/** How many bytes of the beginning, and of the end, are looked at. */
export const SIGNATURE_BYTES = 512;

interface Signature {
  readonly format: string;
  readonly magic: Buffer;
  readonly offset: number;
  readonly convert: (name: string) => string;
}

const qemuImg = (name: string) => `qemu-img convert -O raw ${name} out.raw`;
const unpack = (tool: string, suffix: string) => (name: string) =>
  `${tool} ${name.endsWith(suffix) ? name : `< ${name} > out.raw`}`;

const AT_START: readonly Signature[] = [
  { format: 'qcow2', magic: Buffer.from('QFI\xfb', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VMDK', magic: Buffer.from('KDMV', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VMDK', magic: Buffer.from('COWD', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VMDK', magic: Buffer.from('# Disk DescriptorFile', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VHDX', magic: Buffer.from('vhdxfile', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VHD', magic: Buffer.from('conectix', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VDI', magic: Buffer.from([0x7f, 0x10, 0xda, 0xbe]), offset: 64, convert: qemuImg },
  {
    format: 'xz',
    magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]),
    offset: 0,
    convert: unpack('xz -dk', '.xz'),
  },
  { format: 'gzip', magic: Buffer.from([0x1f, 0x8b, 0x08]), offset: 0, convert: unpack('gzip -dk', '.gz') },
  { format: 'zstd', magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), offset: 0, convert: unpack('zstd -d', '.zst') },
];

/** A VHD of fixed size has its only header at its end. */
const AT_END: Signature = { format: 'VHD', magic: Buffer.from('conectix', 'latin1'), offset: 0, convert: qemuImg };

/** USAGE when `start`, the first SIGNATURE_BYTES (or all), are those of a format that is not a raw disk. */
export function refuseForeignStart(start: Uint8Array, name: string): void {
  const found = AT_START.find((signature) => matches(signature, start));
  if (found !== undefined) throw foreign(found, name);
}

/** USAGE when `end`, the last SIGNATURE_BYTES, are those of a format that is not a raw disk. */
export function refuseForeignEnd(end: Uint8Array, name: string): void {
  if (end.length === SIGNATURE_BYTES && matches(AT_END, end)) throw foreign(AT_END, name);
}

function matches({ magic, offset }: Signature, bytes: Uint8Array): boolean {
  return magic.equals(bytes.subarray(offset, offset + magic.length));
}

function foreign({ format, convert }: Signature, name: string): LazydiskError {
  const command = convert(name);
  return new LazydiskError(
    'USAGE',
    `${name} is a ${format} file, not a raw disk; run \`${command}\` first and import its result, or insist with --format raw.`,
    { facts: { format, command } },
  );
}

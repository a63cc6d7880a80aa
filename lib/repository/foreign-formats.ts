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
  /** From a file, in the words of a shell. */
  readonly convert: (file: string) => string;
}

const qemuImg = (file: string) => `qemu-img convert -O raw ${file} out.raw`;
const unpack = (tool: string) => (file: string) => `${tool} -dc < ${file} > out.raw`;

const AT_START: readonly Signature[] = [
  { format: 'qcow2', magic: Buffer.from('QFI\xfb', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VMDK', magic: Buffer.from('KDMV', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VMDK', magic: Buffer.from('COWD', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VMDK', magic: Buffer.from('# Disk DescriptorFile', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VHDX', magic: Buffer.from('vhdxfile', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VHD', magic: Buffer.from('conectix', 'latin1'), offset: 0, convert: qemuImg },
  { format: 'VDI', magic: Buffer.from([0x7f, 0x10, 0xda, 0xbe]), offset: 64, convert: qemuImg },
  { format: 'xz', magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]), offset: 0, convert: unpack('xz') },
  { format: 'gzip', magic: Buffer.from([0x1f, 0x8b, 0x08]), offset: 0, convert: unpack('gzip') },
  { format: 'zstd', magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), offset: 0, convert: unpack('zstd') },
];

/** A VHD of fixed size has its only header at its end. */
const AT_END: Signature = { format: 'VHD', magic: Buffer.from('conectix', 'latin1'), offset: 0, convert: qemuImg };

/** USAGE when `start`, the first SIGNATURE_BYTES (or all), are those of a format that is not a raw disk. `path`: not a stream. */
export function refuseForeignStart(start: Uint8Array, name: string, path?: string): void {
  const found = AT_START.find((signature) => matches(signature, start));
  if (found !== undefined) throw foreign(found, name, path);
}

/** USAGE when `end`, the last SIGNATURE_BYTES, are those of a format that is not a raw disk. */
export function refuseForeignEnd(end: Uint8Array, name: string, path?: string): void {
  if (end.length === SIGNATURE_BYTES && matches(AT_END, end)) throw foreign(AT_END, name, path);
}

function matches({ magic, offset }: Signature, bytes: Uint8Array): boolean {
  return magic.equals(bytes.subarray(offset, offset + magic.length));
}

function foreign({ format, convert }: Signature, name: string, path: string | undefined): LazydiskError {
  const command = convert(path === undefined ? 'FILE' : shellWord(path));
  return new LazydiskError(
    'USAGE',
    `${name} is not a raw disk but ${format}; run \`${command}\` first and import its result, or insist with --format raw.`,
    { facts: { format, command } },
  );
}

/** As one word of a command line, whatever is in it. */
function shellWord(path: string): string {
  const word = path.startsWith('-') ? `./${path}` : path;
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * A small file system in memory behind the driver's contract, for tests of the driver alone. Files are plain buffers; it
 * knows a few special names (`slow`, `broken`, `control`) whose requests wait, fail or answer like a control file.
 */
import type {
  AllocateMode,
  AttributeChanges,
  Attributes,
  Caller,
  DirectoryEntry,
  FileSystem,
  FileSystemStatistics,
  Opened,
  OpenFlags,
  Whence,
} from '../../mount/fuse/file-system.js';
import type { ErrnoName } from '../../mount/fuse/errno.js';

const BLOCK = 4096;

interface Node {
  attributes: Attributes;
  bytes: Buffer;
  children: Map<string, number>;
  target: string;
}

export class MemoryFileSystem implements FileSystem {
  readonly nodes = new Map<number, Node>();
  /** Names of the methods that were called. */
  readonly calls: string[] = [];
  private next = 2;
  private handles = 100;
  private readonly waiters: (() => void)[] = [];

  /** `fail` makes an error of the driver under test (which may be another copy of the module than ours). */
  constructor(private readonly fail: (code: ErrnoName) => Error) {
    this.nodes.set(1, this.node(1, 'directory', 0o755));
  }

  add(parent: number, name: string, kind: Attributes['kind'], content: string | Buffer = ''): number {
    const number = this.next++;
    const node = this.node(number, kind, kind === 'directory' ? 0o755 : 0o644);
    this.get(parent).children.set(name, number);
    this.nodes.set(number, node);
    if (kind === 'symlink') node.target = String(content);
    else if (kind === 'file') this.setBytes(node, Buffer.from(content));
    return number;
  }

  bytesOf(path: string): Buffer {
    return this.get(this.get(1).children.get(path) ?? 0).bytes;
  }

  attributesOf(path: string): Attributes {
    return this.get(this.get(1).children.get(path) ?? 0).attributes;
  }

  /** Resolves when a request waits on `slow`. */
  async waiting(): Promise<void> {
    await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  async lookup(parent: number, name: string, caller: Caller): Promise<Attributes> {
    if (name === 'slow-lookup') await this.wait(caller.signal);
    return this.run('lookup', () => this.get(this.get(parent).children.get(name) ?? 0).attributes);
  }

  getAttributes(node: number): Promise<Attributes> {
    return this.run('getAttributes', () => this.get(node).attributes);
  }

  setAttributes(node: number, changes: AttributeChanges): Promise<Attributes> {
    return this.run('setAttributes', () => {
      const file = this.get(node);
      file.attributes = { ...file.attributes, ...changes };
      if (changes.sizeBytes !== undefined) {
        const bytes = Buffer.alloc(changes.sizeBytes);
        file.bytes.copy(bytes);
        this.setBytes(file, bytes);
      }
      return file.attributes;
    });
  }

  readLink(node: number): Promise<string> {
    return this.run('readLink', () => this.get(node).target);
  }

  makeDirectory(parent: number, name: string): Promise<Attributes> {
    return this.run('makeDirectory', () => {
      if (this.get(parent).children.has(name)) throw this.fail('EEXIST');
      return this.get(this.add(parent, name, 'directory')).attributes;
    });
  }

  create(parent: number, name: string, mode: number): Promise<{ attributes: Attributes; opened: Opened }> {
    return this.run('create', () => {
      const file = this.get(this.add(parent, name, 'file'));
      file.attributes = { ...file.attributes, mode };
      return { attributes: file.attributes, opened: this.opened(name) };
    });
  }

  removeDirectory(parent: number, name: string): Promise<void> {
    return this.run('removeDirectory', () => {
      if (this.get(this.get(parent).children.get(name) ?? 0).children.size > 0) throw this.fail('ENOTEMPTY');
      this.get(parent).children.delete(name);
    });
  }

  unlink(parent: number, name: string): Promise<void> {
    return this.run('unlink', () => {
      this.get(parent).children.delete(name);
    });
  }

  rename(parent: number, name: string, newParent: number, newName: string): Promise<void> {
    return this.run('rename', () => {
      const number = this.get(parent).children.get(name) ?? 0;
      this.get(parent).children.delete(name);
      this.get(newParent).children.set(newName, number);
    });
  }

  makeOther(): Promise<never> {
    return this.run('makeOther', () => {
      throw this.fail('EPERM');
    });
  }

  open(node: number, flags: OpenFlags): Promise<Opened> {
    return this.run(`open${flags.truncate ? ' truncate' : ''}`, () => this.opened(this.nameOf(node)));
  }

  async read(node: number, _handle: number, offset: number, lengthBytes: number, caller: Caller): Promise<Uint8Array> {
    this.calls.push('read');
    const name = this.nameOf(node);
    if (name === 'broken') throw new TypeError('a defect');
    if (name === 'slow' || name === 'control') await this.wait(caller.signal);
    return this.get(node).bytes.subarray(offset, offset + lengthBytes);
  }

  write(node: number, _handle: number, offset: number, bytes: Uint8Array): Promise<void> {
    return this.run('write', () => {
      const file = this.get(node);
      if (this.nameOf(node) === 'full') throw this.fail('ENOSPC');
      if (offset + bytes.length > file.bytes.length) {
        const grown = Buffer.alloc(offset + bytes.length);
        file.bytes.copy(grown);
        this.setBytes(file, grown);
      }
      file.bytes.set(bytes, offset);
    });
  }

  flush(): Promise<void> {
    return this.run('flush', () => undefined);
  }

  release(): Promise<void> {
    return this.run('release', () => undefined);
  }

  fsync(node: number): Promise<void> {
    return this.run('fsync', () => {
      if (this.nameOf(node) === 'broken') throw this.fail('EIO');
    });
  }

  allocate(node: number, mode: AllocateMode, offset: number, lengthBytes: number): Promise<void> {
    return this.run(`allocate ${mode}`, () => {
      const file = this.get(node);
      const end = offset + lengthBytes;
      if ((mode === 'allocate' || mode === 'zero-range') && end > file.bytes.length) {
        const grown = Buffer.alloc(end);
        file.bytes.copy(grown);
        this.setBytes(file, grown);
      }
      if (mode !== 'allocate' && mode !== 'allocate-keep-size') file.bytes.fill(0, offset, end);
    });
  }

  seek(node: number, offset: number, whence: Whence): Promise<number> {
    return this.run('seek', () => {
      const { bytes } = this.get(node);
      if (offset >= bytes.length) throw this.fail('ENXIO');
      for (let at = offset; at < bytes.length; at = (Math.floor(at / BLOCK) + 1) * BLOCK) {
        const start = Math.floor(at / BLOCK) * BLOCK;
        const isHole = bytes.subarray(start, start + BLOCK).every((byte) => byte === 0);
        if (isHole === (whence === 'hole')) return at;
      }
      if (whence === 'data') throw this.fail('ENXIO');
      return bytes.length;
    });
  }

  readDirectory(node: number): Promise<readonly DirectoryEntry[]> {
    return this.run('readDirectory', () =>
      [...this.get(node).children].map(([name, child]) => ({
        name,
        node: child,
        kind: this.get(child).attributes.kind,
      })),
    );
  }

  statistics(): Promise<FileSystemStatistics> {
    return this.run('statistics', () => ({
      blockSizeBytes: 4096,
      totalBytes: 100 * 2 ** 30,
      freeBytes: 40 * 2 ** 30,
      files: 12,
      freeFiles: 7,
      nameMax: 255,
    }));
  }

  private opened(name: string): Opened {
    const isControl = name === 'control';
    return {
      handle: isControl ? this.handles++ : 0,
      directIo: isControl,
      keepCache: false,
      noFlush: !isControl,
    };
  }

  private async wait(signal: AbortSignal): Promise<never> {
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else
        signal.addEventListener('abort', () => {
          resolve();
        });
    });
    for (const waiter of this.waiters.splice(0)) waiter();
    await aborted;
    this.calls.push('released');
    throw this.fail('EINTR');
  }

  private async run<T>(call: string, work: () => T): Promise<T> {
    this.calls.push(call);
    await Promise.resolve();
    return work();
  }

  private get(number: number): Node {
    const node = this.nodes.get(number);
    if (node === undefined) throw this.fail('ENOENT');
    return node;
  }

  private nameOf(node: number): string {
    for (const { children } of this.nodes.values()) {
      for (const [name, child] of children) if (child === node) return name;
    }
    return '';
  }

  private setBytes(node: Node, bytes: Buffer): void {
    node.bytes = bytes;
    node.attributes = { ...node.attributes, sizeBytes: bytes.length, allocatedBytes: bytes.length };
  }

  private node(number: number, kind: Attributes['kind'], mode: number): Node {
    const attributes: Attributes = {
      node: number,
      kind,
      mode,
      uid: 0,
      gid: 0,
      links: 1,
      sizeBytes: 0,
      allocatedBytes: 0,
      atimeMs: 1_700_000_000_000,
      mtimeMs: 1_700_000_000_000,
      ctimeMs: 1_700_000_000_000,
      blockSizeBytes: 4096,
    };
    return { attributes, bytes: Buffer.alloc(0), children: new Map(), target: '' };
  }
}

/**
 * Listings of open folders. A listing is taken at the first page and kept until the folder is closed, so that pages fit
 * together whatever happens meanwhile; reading from the start again (rewinddir) takes a new one.
 *
 * Handles carry no state that matters: a handle of an earlier daemon is not known here, and gets a fresh listing. Numbers
 * begin beyond any that such a daemon may have given.
 */
import type { Attributes, Caller, DirectoryEntry, FileSystem } from './file-system.js';
import { ROOT_NODE } from './file-system.js';
import { FsError } from './errno.js';
import { encodeDirectoryPage, encodeDirectoryPagePlus, pageOf, type NamedEntry } from './protocol/directory.js';

/** A page with attributes is kept to about a hundred entries: each asks the file system. */
const MAX_PAGE_WITH_ATTRIBUTES_BYTES = 16 * 1024;

/** No daemon opens more folders in a millisecond. */
const HANDLES_PER_MS = 1024;

export interface PageRequest {
  readonly node: number;
  readonly handle: number;
  readonly position: number;
  readonly lengthBytes: number;
  readonly withAttributes: boolean;
}

export class OpenDirectories {
  private readonly listings = new Map<number, Promise<readonly NamedEntry[]>>();
  private nextHandle: number;

  constructor(
    private readonly fileSystem: FileSystem,
    nowMs = Date.now(),
  ) {
    this.nextHandle = nowMs * HANDLES_PER_MS;
  }

  open(): number {
    return this.nextHandle++;
  }

  close(handle: number): void {
    this.listings.delete(handle);
  }

  /** The bytes of one page; empty at the end. EINVAL when the room is too small for any entry. */
  async page(request: PageRequest, caller: Caller): Promise<Uint8Array> {
    const { position, withAttributes } = request;
    const entries = await this.listing(request, caller);
    const room = withAttributes ? Math.min(request.lengthBytes, MAX_PAGE_WITH_ATTRIBUTES_BYTES) : request.lengthBytes;
    const page = pageOf(entries, position, room, withAttributes);
    if (page === undefined) throw new FsError('EINVAL', 'no room for a directory entry');
    if (!withAttributes) return encodeDirectoryPage(page, position);
    const attributes = await Promise.all(page.map((entry) => this.attributesOf(entry, caller)));
    return encodeDirectoryPagePlus(page, position, attributes);
  }

  private listing(request: PageRequest, caller: Caller): Promise<readonly NamedEntry[]> {
    const known = request.position === 0 ? undefined : this.listings.get(request.handle);
    if (known !== undefined) return known;
    const listing = this.list(request.node, caller);
    this.listings.set(request.handle, listing);
    listing.catch(() => {
      if (this.listings.get(request.handle) === listing) this.listings.delete(request.handle);
    });
    return listing;
  }

  private async list(node: number, caller: Caller): Promise<readonly NamedEntry[]> {
    const entries: DirectoryEntry[] = [
      { name: '.', node, kind: 'directory' },
      // The tree is two deep: the parent of every folder is the root. (The kernel resolves `..` by itself.)
      { name: '..', node: ROOT_NODE, kind: 'directory' },
      ...(await this.fileSystem.readDirectory(node, caller)),
    ];
    return entries.map((entry) => ({ ...entry, nameBytes: Buffer.from(entry.name, 'utf8') }));
  }

  /** undefined is right for `.` and `..`, and wherever a lookup later on may have more luck. */
  private async attributesOf(entry: NamedEntry, caller: Caller): Promise<Attributes | undefined> {
    if (entry.name === '.' || entry.name === '..') return undefined;
    try {
      return await this.fileSystem.getAttributes(entry.node, caller);
    } catch {
      return undefined;
    }
  }
}

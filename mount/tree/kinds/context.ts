/** What the kinds of nodes share, and what a node can be asked. */
import type { Catalogue } from '../../../lib/image/api.js';
import type { FlatStore } from '../../../lib/image/flat-files.js';
import type { Log } from '../../../lib/util/log.js';
import type {
  AllocateMode,
  AttributeChanges,
  Attributes,
  Caller,
  DirectoryEntry,
  OpenFlags,
  Opened,
  Whence,
} from '../../fuse/file-system.js';
import type { AttributeBuilder, OwnerSettings } from '../attributes.js';
import type { Commands } from '../commands.js';
import type { ControlSession } from '../control/session.js';
import type { Handles } from '../handles.js';
import type { HeadTimes } from '../head-times.js';
import type { NodeIds } from '../node-ids.js';
import type { OpenDisks } from '../open-disks.js';
import type { Places } from '../places.js';
import type { ReadWatch } from '../read-watch.js';
import type { ImageStatusDocument, MountStatus } from '../status-schema.js';

/** A status text as one descriptor reads it. */
export interface StatusPage {
  text: Buffer | undefined;
}

export interface TreeContext {
  readonly catalogue: Catalogue;
  readonly ids: NodeIds;
  readonly places: Places;
  readonly attributes: AttributeBuilder;
  readonly owners: OwnerSettings;
  readonly readOnly: boolean;
  readonly disks: OpenDisks;
  readonly reads: ReadWatch;
  readonly flats: FlatStore;
  readonly headTimes: HeadTimes;
  readonly commands: Commands;
  readonly sessions: Handles<ControlSession>;
  readonly statusPages: Handles<StatusPage>;
  readonly mountStatus: () => Promise<MountStatus>;
  readonly imageStatus: (name: string) => Promise<ImageStatusDocument>;
  /** When this tree was made, milliseconds since 1970: the time of what has none of its own. */
  readonly startedMs: number;
  readonly log: Log;
}

/**
 * One node, bound to what it names. Kinds have the methods that the table of operations (refusals.ts) lets through to them;
 * the file system has asked the table before it calls one.
 */
export interface TreeNode {
  attributes(caller: Caller): Promise<Attributes>;
  setAttributes?(changes: AttributeChanges, caller: Caller): Promise<void>;
  readLink?(caller: Caller): Promise<string>;

  lookup?(name: string, caller: Caller): Promise<Attributes>;
  list?(caller: Caller): Promise<DirectoryEntry[]>;
  makeDirectory?(name: string, caller: Caller): Promise<Attributes>;
  create?(name: string, flags: OpenFlags, caller: Caller): Promise<{ attributes: Attributes; opened: Opened }>;
  removeDirectory?(name: string, caller: Caller): Promise<void>;

  open?(flags: OpenFlags, caller: Caller): Promise<Opened>;
  read?(handle: number, offset: number, lengthBytes: number, caller: Caller): Promise<Uint8Array>;
  write?(handle: number, offset: number, bytes: Uint8Array, caller: Caller): Promise<void>;
  flush?(handle: number, caller: Caller): Promise<void>;
  release?(handle: number): Promise<void>;
  /** Counts opens under a daemon before this one. Never rejects. */
  adopt?(handle: number, opens: number): Promise<void>;
  fsync?(handle: number, caller: Caller): Promise<void>;
  allocate?(mode: AllocateMode, offset: number, lengthBytes: number, caller: Caller): Promise<void>;
  seek?(offset: number, whence: Whence, caller: Caller): Promise<number>;
}

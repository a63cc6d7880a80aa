/**
 * A store as a host sees it whose disk is a PowerDisk: from the moment at which the power fails, nothing of that host reaches
 * the store. What had begun before may still arrive, or not, as with any network.
 */
import type {
  CallOptions,
  GetOptions,
  Listing,
  ListOptions,
  ObjectStore,
  PutOptions,
} from '../../lib/store/object-store.js';
import { LazydiskError } from '../../lib/util/errors.js';
import type { PowerDisk } from './power-disk.js';

export class PoweredStore implements ObjectStore {
  /** Also after the disk has power again: this host's life is over. */
  private dead = false;

  constructor(
    private readonly inner: ObjectStore,
    private readonly disk: PowerDisk,
  ) {}

  get location(): string {
    return this.inner.location;
  }

  /** The end of this life. */
  cut(): void {
    this.dead = true;
  }

  async get(key: string, options?: GetOptions): Promise<Buffer> {
    await this.assertPower();
    return this.inner.get(key, options);
  }

  async put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    await this.assertPower();
    return this.inner.put(key, bytes, options);
  }

  async list(prefix: string, options?: ListOptions): Promise<Listing> {
    await this.assertPower();
    return this.inner.list(prefix, options);
  }

  async delete(key: string, options?: CallOptions): Promise<void> {
    await this.assertPower();
    return this.inner.delete(key, options);
  }

  async close(): Promise<void> {
    // The store outlives the host.
  }

  private async assertPower(): Promise<void> {
    this.dead ||= await this.disk.hasFailed();
    if (this.dead) throw new LazydiskError('UNREACHABLE', 'The host has no power.');
  }
}

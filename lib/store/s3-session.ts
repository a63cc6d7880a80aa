/**
 * Who we are to a bucket over time: credentials, a region, and what follows from the two.
 *
 * Credentials that say when they end are read again before: from the last quarter of their life on, five minutes at most, by one
 * read beside the requests, which go on with the old ones. Only when those are at their end does a request wait. When the server
 * refuses ours, they are read again too, and whether others are there decides what the refusal means.
 *
 * The source is read again at most once a second, whatever it gives. When it fails, or gives what has ended already, requests within
 * that second get the same failure, or are signed with that: the server's clock decides, not ours.
 */
import { addressOf, type S3Address } from './s3-address.js';
import type { S3Credentials } from './s3-credentials.js';
import type { S3Settings } from './s3-settings.js';
import { S3Signer } from './s3-signature.js';
import type { Exchange } from './s3-transport.js';

export interface S3Session {
  readonly address: S3Address;
  readonly signer: S3Signer;
}

/** Renewed at the latest so long before they end. */
const LONGEST_MARGIN_MS = 300_000;
/** A request that is signed so shortly before the end may come too late. */
const LAST_MOMENT_MS = 5_000;
/** A burst of refusals, or a source that fails, is not asked more often. */
const LEAST_INTERVAL_MS = 1_000;

interface Known {
  readonly credentials: S3Credentials | undefined;
  readonly readAtMs: number;
}

export class S3Sessions {
  private known: Known | undefined;
  private reading: Promise<Known> | undefined;
  /** What came of the last reading that was begun. */
  private answer: Promise<Known> | undefined;
  /** When what was known was last read again. */
  private renewedAtMs = -Infinity;
  private region: Promise<string> | undefined;
  private made: { readonly of: Known; readonly session: S3Session } | undefined;

  constructor(
    private readonly bucket: string,
    private readonly settings: S3Settings,
    private readonly nowMs: () => number = Date.now,
  ) {}

  /** REFUSED: no credentials. Amazon without a region: asks the bucket once, as a part of the call `exchange`. */
  async current(exchange: Exchange): Promise<S3Session> {
    const known = this.holding() ?? (await this.anew());
    if (this.made?.of === known) return this.made.session;
    const region = await this.regionFor(known.credentials, exchange);
    const { endpoint } = this.settings;
    const session = {
      address: addressOf(endpoint, this.bucket, region),
      signer: new S3Signer(known.credentials, region),
    };
    this.made = { of: known, session };
    return session;
  }

  /** Reads credentials if none were read yet. REFUSED. */
  async begin(): Promise<void> {
    if (this.known === undefined) await this.read();
  }

  /** After the server refused a session: reads the credentials again. Whether there are others now. */
  async hasOthersThan(session: S3Session): Promise<boolean> {
    if (this.made?.session !== session) return true;
    const before = this.made.of;
    if (!this.mayRenew() && this.reading === undefined) return false;
    const now = await this.renew().catch(() => before);
    return !same(now.credentials, before.credentials);
  }

  /** What is known, if it still holds; begins to renew it when its end is near. */
  private holding(): Known | undefined {
    const { known } = this;
    const expiresAtMs = known?.credentials?.expiresAtMs;
    if (known === undefined || expiresAtMs === undefined) return known;
    const now = this.nowMs();
    if (now >= expiresAtMs - LAST_MOMENT_MS) return undefined;
    const marginMs = Math.min(LONGEST_MARGIN_MS, (expiresAtMs - known.readAtMs) / 4);
    // A renewal that fails is tried again, and told only when the old ones have ended.
    if (now >= expiresAtMs - marginMs && this.mayRenew()) this.renew().catch(() => undefined);
    return known;
  }

  /** What the source says now, or has said within the last second. */
  private anew(): Promise<Known> {
    if (this.known === undefined) return this.read();
    return this.answer === undefined || this.mayRenew() ? this.renew() : this.answer;
  }

  private mayRenew(): boolean {
    return this.nowMs() - this.renewedAtMs >= LEAST_INTERVAL_MS;
  }

  private renew(): Promise<Known> {
    if (this.reading === undefined) this.renewedAtMs = this.nowMs();
    return this.read();
  }

  private read(): Promise<Known> {
    if (this.reading !== undefined) return this.reading;
    const reading = this.settings
      .readCredentials()
      .then((credentials) => {
        // The same ones again keep the session, and the key that it has derived.
        if (this.known === undefined || !same(credentials, this.known.credentials)) {
          this.known = { credentials, readAtMs: this.nowMs() };
        }
        return this.known;
      })
      .finally(() => {
        this.reading = undefined;
      });
    this.reading = reading;
    this.answer = reading;
    return reading;
  }

  private async regionFor(credentials: S3Credentials | undefined, exchange: Exchange): Promise<string> {
    const { region, endpoint, authorities } = this.settings;
    if (region !== undefined) return region;
    const asked = (this.region ??= import('./s3-region.js').then(({ regionOf }) =>
      regionOf(this.bucket, endpoint, { credentials, authorities }, exchange),
    ));
    try {
      return await asked;
    } catch (error) {
      if (this.region === asked) this.region = undefined;
      throw error;
    }
  }
}

function same(one: S3Credentials | undefined, other: S3Credentials | undefined): boolean {
  return (
    one?.accessKey === other?.accessKey &&
    one?.secretKey === other?.secretKey &&
    one?.sessionToken === other?.sessionToken &&
    one?.expiresAtMs === other?.expiresAtMs
  );
}

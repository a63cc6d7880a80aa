import { beforeEach, describe, expect, it } from '@jest/globals';
import type { S3Credentials } from '../../lib/store/s3-credentials.js';
import { S3Sessions } from '../../lib/store/s3-session.js';
import type { Exchange } from '../../lib/store/s3-transport.js';

const HOUR = 3_600_000;
const EXCHANGE: Exchange = { signal: undefined, status: undefined };

let nowMs: number;
let reads: number;
/** What the source of credentials gives now. */
let source: () => Promise<S3Credentials | undefined>;
let sessions: S3Sessions;

const credentials = (name: string, expiresAtMs?: number): S3Credentials => ({
  accessKey: name,
  secretKey: `secret of ${name}`,
  sessionToken: undefined,
  expiresAtMs,
});

beforeEach(() => {
  nowMs = 1_700_000_000_000;
  reads = 0;
  source = () => Promise.resolve(credentials('first', nowMs + HOUR));
  sessions = new S3Sessions(
    'bucket',
    {
      endpoint: { url: 'http://s:1', host: 's', port: 1, secure: false, isAmazon: false, addressing: 'path' },
      region: 'us-east-1',
      authorities: undefined,
      readCredentials: () => {
        reads += 1;
        return source();
      },
    },
    () => nowMs,
  );
});

/** The access key that a request would be signed with now. */
async function signsWith(): Promise<string> {
  const { signer } = await sessions.current(EXCHANGE);
  const headers = signer.sign(
    { method: 'GET', path: '/', query: '', headers: { host: 's' }, payloadHash: 'UNSIGNED-PAYLOAD' },
    nowMs,
  );
  return /Credential=([^/]+)/.exec(headers.authorization ?? '')?.[1] ?? 'nobody';
}

describe('credentials that end', () => {
  it('are read once, and are the same session until their end is near', async () => {
    const first = await sessions.current(EXCHANGE);
    nowMs += HOUR - 301_000;
    expect(await sessions.current(EXCHANGE)).toBe(first);
    expect(reads).toBe(1);
  });

  it('are renewed beside the requests five minutes before, which go on with the old ones meanwhile', async () => {
    await signsWith();
    nowMs += HOUR - 299_000;
    let give: (found: S3Credentials) => void = () => undefined;
    source = () => new Promise((resolve) => (give = resolve));
    expect(await signsWith()).toBe('first');
    expect(await signsWith()).toBe('first');
    expect(reads).toBe(2);
    give(credentials('second', nowMs + HOUR));
    await new Promise(setImmediate);
    expect(await signsWith()).toBe('second');
    expect(reads).toBe(2);
  });

  it('with a short life are renewed in its last quarter', async () => {
    source = () => Promise.resolve(credentials('short', nowMs + 100_000));
    await signsWith();
    nowMs += 74_000;
    await signsWith();
    expect(reads).toBe(1);
    nowMs += 2_000;
    await signsWith();
    expect(reads).toBe(2);
  });

  it('are renewed once a second at most when that fails, and requests go on until their end', async () => {
    await signsWith();
    nowMs += HOUR - 200_000;
    source = () => Promise.reject(new Error('away'));
    for (let n = 0; n < 5; n += 1) expect(await signsWith()).toBe('first');
    expect(reads).toBe(2);
    nowMs += 1_000;
    expect(await signsWith()).toBe('first');
    expect(reads).toBe(3);
  });

  it('are waited for once they have ended, by all requests together', async () => {
    await signsWith();
    nowMs += HOUR;
    source = () => Promise.reject(new Error('away'));
    await expect(signsWith()).rejects.toThrow('away');
    source = () => Promise.resolve(credentials('second', nowMs + HOUR));
    await expect(signsWith()).rejects.toThrow('away');
    expect(reads).toBe(2);
    nowMs += 1_000;
    expect(await Promise.all([signsWith(), signsWith(), signsWith()])).toEqual(['second', 'second', 'second']);
    expect(reads).toBe(3);
  });

  it('that had ended when they were read sign all the same, and their source is asked once a second', async () => {
    source = () => Promise.resolve(credentials('ended', nowMs - HOUR));
    await sessions.begin();
    for (let n = 0; n < 5; n += 1) expect(await signsWith()).toBe('ended');
    expect(reads).toBe(2);
    nowMs += 999;
    expect(await signsWith()).toBe('ended');
    expect(reads).toBe(2);
    source = () => Promise.resolve(credentials('second', nowMs + HOUR));
    nowMs += 1;
    expect(await signsWith()).toBe('second');
    expect(reads).toBe(3);
  });
});

describe('credentials that a server refuses', () => {
  it('are read again, and tell whether there are others', async () => {
    source = () => Promise.resolve(credentials('first'));
    const first = await sessions.current(EXCHANGE);
    expect(await sessions.hasOthersThan(first)).toBe(false);
    expect(await sessions.current(EXCHANGE)).toBe(first);

    source = () => Promise.resolve(credentials('second'));
    nowMs += 1_000;
    expect(await Promise.all([sessions.hasOthersThan(first), sessions.hasOthersThan(first)])).toEqual([true, true]);
    expect(reads).toBe(3);
    expect(await signsWith()).toBe('second');
    // a request that was on its way with the old ones
    expect(await sessions.hasOthersThan(first)).toBe(true);
    expect(reads).toBe(3);
  });

  it('stay when they can’t be read again', async () => {
    const first = await sessions.current(EXCHANGE);
    source = () => Promise.reject(new Error('away'));
    expect(await sessions.hasOthersThan(first)).toBe(false);
    expect(await signsWith()).toBe('first');
  });
});

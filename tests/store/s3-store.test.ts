import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { openStore } from '../../lib/store/open-store.js';
import { parseLocation } from '../../lib/store/location.js';
import type { ObjectStore } from '../../lib/store/object-store.js';
import { retrying } from '../../lib/store/retrying.js';
import { startCountingProxy, type CountingProxy } from '../helpers/counting-proxy.js';
import { s3IsWanted, startS3, type S3Server } from '../helpers/s3-server.js';
import { objectStoreSuite } from '../suites/object-store.suite.js';

const wanted = s3IsWanted() ? describe : describe.skip;

wanted('with a real S3 server', () => {
  let server: S3Server;
  let bucket: string;
  beforeAll(async () => {
    server = await startS3();
    bucket = await server.makeBucket();
  });
  afterAll(async () => {
    await server.stop();
  });

  const open = (url: string, changes: Record<string, string> = {}): Promise<ObjectStore> =>
    openStore(parseLocation(url), {
      environment: {
        ...server.environment,
        AWS_CONFIG_FILE: '/none',
        AWS_SHARED_CREDENTIALS_FILE: '/none',
        ...changes,
      },
    });

  objectStoreSuite('the S3 store', async () => ({
    store: await open(`s3://${bucket}/suite/deep`),
    other: await open(`s3://${bucket}/suite/deep`),
  }));

  it('a repository may be a whole bucket', async () => {
    const store = await open(`s3://${await server.makeBucket()}`);
    await store.put('lazydisk.json', Buffer.from('{}'));
    await store.put('images/a/1', Buffer.from('x'));
    expect((await store.get('images/a/1')).toString()).toBe('x');
    const { objects, prefixes } = await store.list('', { delimiter: '/' });
    expect([objects.map(({ key }) => key), prefixes]).toEqual([['lazydisk.json'], ['images/']]);
    await store.close();
  });

  describe('the S3 store', () => {
    let proxy: CountingProxy;
    let store: ObjectStore;
    beforeAll(async () => {
      proxy = await startCountingProxy(server.endpoint);
      store = await open(`s3://${bucket}/direct`, { AWS_ENDPOINT_URL_S3: proxy.url });
    });
    afterAll(async () => {
      await store.close();
      await proxy.close();
    });
    beforeEach(() => {
      proxy.setOutage(false);
      proxy.reset();
    });

    it('sends one request for each call, and asks for nothing else', async () => {
      await store.put('object', Buffer.alloc(1000, 7));
      await store.get('object');
      await store.get('object', { range: { offsetBytes: 10, lengthBytes: 20 } });
      await store.list('');
      await store.delete('object');
      expect(proxy.requests().map(({ method, path, range }) => [method, path, range])).toEqual([
        ['PUT', `/${bucket}/direct/object`, undefined],
        ['GET', `/${bucket}/direct/object`, undefined],
        ['GET', `/${bucket}/direct/object`, 'bytes=10-29'],
        ['GET', `/${bucket}`, undefined],
        ['DELETE', `/${bucket}/direct/object`, undefined],
      ]);
      expect(proxy.counts()).toMatchObject({ requests: 5, gets: 2, puts: 1, lists: 1, deletes: 1, bytesUp: 1000 });
    });

    it('uses one connection for calls that follow each other, also after failures', async () => {
      await store.put('object', Buffer.alloc(100));
      proxy.reset();
      for (let round = 0; round < 5; round += 1) {
        await store.get('object', { range: { offsetBytes: 5, lengthBytes: 5 } });
        await store.get('none').catch(() => undefined);
        await store.get('object', { range: { offsetBytes: 50, lengthBytes: 500 } }).catch(() => undefined);
        await store.put('object', Buffer.alloc(1), { ifAbsent: true }).catch(() => undefined);
      }
      // A body that is not wanted may cost its connection; nothing else may.
      expect(proxy.connections()).toBeLessThanOrEqual(5);
    });

    it('puts 32 MiB in one request', async () => {
      const bytes = Buffer.alloc(32 * 1024 * 1024, 3);
      await store.put('big', bytes, { ifAbsent: true });
      expect(proxy.counts()).toMatchObject({ requests: 1, puts: 1, bytesUp: bytes.length });
      expect((await store.get('big')).equals(bytes)).toBe(true);
    });

    it('is UNREACHABLE during an outage and works after it', async () => {
      await store.put('object', Buffer.from('x'));
      proxy.setOutage(true);
      for (const call of [
        () => store.get('object'),
        () => store.list(''),
        () => store.put('object', Buffer.from('y')),
        () => store.delete('object'),
      ]) {
        await expect(call()).rejects.toMatchObject({ code: 'UNREACHABLE', facts: { endpoint: proxy.url } });
      }
      proxy.setOutage(false);
      expect((await store.get('object')).toString()).toBe('x');
    });

    it('with the retrying decorator, lives through an outage', async () => {
      await store.put('object', Buffer.from('x'));
      const patient = retrying(store, {
        timeoutMs: 30_000,
        onRetry: ({ attempts }) => attempts === 3 && proxy.setOutage(false),
      });
      proxy.setOutage(true);
      expect((await patient.get('object')).toString()).toBe('x');
    });
  });

  describe('what goes wrong at the start is one clear sentence without credentials', () => {
    const failure = async (url: string, changes: Record<string, string>): Promise<unknown> => {
      const store = await open(url, changes);
      try {
        return await store.get('lazydisk.json').then(
          () => 'no error',
          (error: unknown) => error,
        );
      } finally {
        await store.close();
      }
    };

    it('a missing bucket is REFUSED and named', async () => {
      const error = await failure('s3://no-such-bucket-here/x', {});
      expect(error).toMatchObject({
        code: 'REFUSED',
        facts: { bucket: 'no-such-bucket-here', s3Code: 'NoSuchBucket' },
      });
      expect(String(error)).toContain(`There is no bucket no-such-bucket-here at ${server.endpoint}`);
    });

    it('a wrong secret is REFUSED, and in no part of the error', async () => {
      const secret = 'a-very-wrong-secret-key';
      const error = await failure(`s3://${bucket}/x`, { AWS_SECRET_ACCESS_KEY: secret });
      expect(error).toMatchObject({ code: 'REFUSED', facts: { s3Code: 'SignatureDoesNotMatch' } });
      expect((error as Error).cause).toBeUndefined();
      expect(String(error)).toContain('the secret access key is wrong');
      expect(allOf(error)).not.toContain(secret);
      expect(allOf(error)).not.toContain(server.accessKey);
    });

    it('an unknown access key is REFUSED, and in no part of the error', async () => {
      const error = await failure(`s3://${bucket}/x`, { AWS_ACCESS_KEY_ID: 'NOBODYKNOWSME' });
      expect(error).toMatchObject({ code: 'REFUSED' });
      expect(String(error)).toContain('does not know the access key id');
      expect(allOf(error)).not.toContain('NOBODYKNOWSME');
    });

    it('a connection that is refused is UNREACHABLE and names the endpoint', async () => {
      const error = await failure(`s3://${bucket}/x`, { AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:1' });
      expect(error).toMatchObject({ code: 'UNREACHABLE' });
      expect(String(error)).toContain('http://127.0.0.1:1 refuses connections');
    });

    it('a host that has no address is UNREACHABLE and named', async () => {
      const error = await failure(`s3://${bucket}/x`, { AWS_ENDPOINT_URL_S3: 'http://nowhere.invalid:80' });
      expect(error).toMatchObject({ code: 'UNREACHABLE' });
      expect(String(error)).toContain('nowhere.invalid');
    });
  });
});

/** All that any logger could print of an error. */
function allOf(error: unknown): string {
  const { message, stack, facts, cause } = error as Error & { facts: unknown };
  return JSON.stringify({ message, stack, facts, cause: String(cause), ...(error as object) });
}

import { describe, expect, it } from '@jest/globals';
import { EMPTY_PAYLOAD_HASH, encodePath, encodeQuery, S3Signer } from '../../lib/store/s3-signature.js';

// The examples of the Amazon S3 API Reference, "Signature Calculations for the Authorization Header".
const EXAMPLE = {
  accessKey: 'AKIAIOSFODNN7EXAMPLE',
  secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  sessionToken: undefined,
};
const HOST = 'examplebucket.s3.amazonaws.com';
const AT = Date.UTC(2013, 4, 24);

describe('a signature', () => {
  const signer = new S3Signer(EXAMPLE, 'us-east-1');

  it('of a ranged GET is that of the reference', () => {
    const headers = signer.sign(
      {
        method: 'GET',
        path: '/test.txt',
        query: '',
        headers: { host: HOST, range: 'bytes=0-9' },
        payloadHash: EMPTY_PAYLOAD_HASH,
      },
      AT,
    );
    expect(headers).toEqual({
      host: HOST,
      range: 'bytes=0-9',
      'x-amz-content-sha256': EMPTY_PAYLOAD_HASH,
      'x-amz-date': '20130524T000000Z',
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    });
  });

  it('of a PUT with a special character in its key is that of the reference', () => {
    const { authorization } = signer.sign(
      {
        method: 'PUT',
        path: encodePath('/test$file.text'),
        query: '',
        headers: {
          host: HOST,
          date: 'Fri, 24 May 2013 00:00:00 GMT',
          'x-amz-storage-class': 'REDUCED_REDUNDANCY',
        },
        payloadHash: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
      },
      AT,
    );
    expect(authorization).toContain('Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd');
  });

  it('of a listing is that of the reference', () => {
    const { authorization } = signer.sign(
      {
        method: 'GET',
        path: '/',
        query: encodeQuery({ prefix: 'J', 'max-keys': '2' }),
        headers: { host: HOST },
        payloadHash: EMPTY_PAYLOAD_HASH,
      },
      AT,
    );
    expect(authorization).toContain('Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7');
  });

  it('changes with the day, the region and the secret, and signs the session token', () => {
    const request = {
      method: 'GET',
      path: '/a',
      query: '',
      headers: { host: HOST },
      payloadHash: EMPTY_PAYLOAD_HASH,
    } as const;
    const day = 86_400_000;
    const session = new S3Signer({ ...EXAMPLE, sessionToken: 'token' }, 'us-east-1').sign(request, AT);
    expect(session['x-amz-security-token']).toBe('token');
    expect(session.authorization).toContain('SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,');
    const all = [
      signer.sign(request, AT),
      signer.sign(request, AT + day),
      new S3Signer(EXAMPLE, 'eu-central-1').sign(request, AT),
      new S3Signer({ ...EXAMPLE, secretKey: 'other' }, 'us-east-1').sign(request, AT),
      session,
    ].map(({ authorization }) => authorization);
    expect(new Set(all).size).toBe(5);
    // The kept key of another day is not used.
    expect(signer.sign(request, AT).authorization).toBe(all[0]);
  });
});

describe('a path in percent form', () => {
  it('keeps unreserved characters and slashes, and nothing else', () => {
    expect(encodePath('/bucket/AZaz09-._~/b')).toBe('/bucket/AZaz09-._~/b');
    expect(encodePath('/a b+c%20')).toBe('/a%20b%2Bc%2520');
    expect(encodePath(`!#$&'()*,:;=?@[]"<>^\`{|}`)).toBe(
      '%21%23%24%26%27%28%29%2A%2C%3A%3B%3D%3F%40%5B%5D%22%3C%3E%5E%60%7B%7C%7D',
    );
    expect(encodePath('/ü/日本')).toBe('/%C3%BC/%E6%97%A5%E6%9C%AC');
  });
});

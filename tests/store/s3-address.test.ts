import { describe, expect, it } from '@jest/globals';
import { addressOf } from '../../lib/store/s3-address.js';
import type { S3Endpoint } from '../../lib/store/s3-settings.js';

const amazon: S3Endpoint = {
  url: 'https://s3.amazonaws.com',
  host: 's3.amazonaws.com',
  port: 443,
  secure: true,
  isAmazon: true,
  addressing: 'virtual',
};
const other = (host: string, port: number, secure: boolean): S3Endpoint => ({
  url: `http${secure ? 's' : ''}://${host}:${port}`,
  host,
  port,
  secure,
  isAmazon: false,
  addressing: 'path',
});

describe('the address of a bucket', () => {
  it('with Amazon is its own host in its region', () => {
    expect(addressOf(amazon, 'images', 'eu-central-1')).toEqual({
      hostname: 'images.s3.eu-central-1.amazonaws.com',
      port: 443,
      host: 'images.s3.eu-central-1.amazonaws.com',
      pathPrefix: '/',
    });
    expect(addressOf(amazon, 'images', 'cn-north-1').hostname).toBe('images.s3.cn-north-1.amazonaws.com.cn');
  });

  it('with Amazon is in the path when its name has a dot, which the certificate does not cover', () => {
    expect(addressOf(amazon, 'images.example', 'us-east-1')).toEqual({
      hostname: 's3.us-east-1.amazonaws.com',
      port: 443,
      host: 's3.us-east-1.amazonaws.com',
      pathPrefix: '/images.example/',
    });
  });

  it('with another server stands before its name when that is asked for, but for one with a dot over TLS', () => {
    const address = (bucket: string, secure: boolean) =>
      addressOf({ ...other('storage', 9000, secure), addressing: 'virtual' }, bucket, 'us-east-1');
    expect(address('images', false)).toEqual({
      hostname: 'images.storage',
      port: 9000,
      host: 'images.storage:9000',
      pathPrefix: '/',
    });
    expect(address('images.example', false).hostname).toBe('images.example.storage');
    expect(address('images.example', true)).toMatchObject({ hostname: 'storage', pathPrefix: '/images.example/' });
  });

  it('with another server is in the path, and the host names its port unless it is the usual one', () => {
    const address = (host: string, port: number, secure: boolean) =>
      addressOf(other(host, port, secure), 'images', 'us-east-1');
    expect(address('storage', 7480, false)).toEqual({
      hostname: 'storage',
      port: 7480,
      host: 'storage:7480',
      pathPrefix: '/images/',
    });
    expect(address('storage', 80, false).host).toBe('storage');
    expect(address('storage', 443, true).host).toBe('storage');
    expect(address('storage', 80, true).host).toBe('storage:80');
    expect(address('::1', 7480, false)).toMatchObject({ hostname: '::1', host: '[::1]:7480' });
  });
});

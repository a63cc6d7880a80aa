/**
 * What lazydisk needs of a store, tried out there: credentials, an answer, and each right that a verb uses. One object of some
 * bytes is put and deleted, under a key that any repository may have (what is left of it, a collection removes).
 */
import { randomBytes } from 'node:crypto';
import { clockKey } from '../../../lib/format/keys.js';
import type { RandomId } from '../../../lib/format/references.js';
import { openRepository } from '../../../lib/repository/repository.js';
import type { ObjectStore } from '../../../lib/store/object-store.js';
import { hasCode } from '../../../lib/util/errors.js';
import { failed, fail, ok, warn, type Finding } from './finding.js';

const PROBE = Buffer.from('lazydisk doctor');
const RANGE = { offsetBytes: 4, lengthBytes: 6 };

/** Looks at a store that is open already. It stops at the first thing that makes the rest pointless. */
export async function storeFindings(store: ObjectStore): Promise<Finding[]> {
  const key = clockKey(randomBytes(16).toString('hex') as RandomId);
  const began = performance.now();
  try {
    await store.list(key);
  } catch (error) {
    return [failed('store', error)];
  }
  const answered = ok('store', `${store.location} lists, answered in ${(performance.now() - began).toFixed(0)} ms`);
  return [answered, await repositoryFinding(store), ...(await writeFindings(store, key))];
}

async function repositoryFinding(store: ObjectStore): Promise<Finding> {
  const check = 'repository';
  try {
    const { id } = await openRepository(store);
    return ok(check, `there, with the id ${id}`);
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) return failed(check, error);
    return warn(check, `there is none yet in ${store.location}`, `Make one: lazydisk init ${store.location}`);
  }
}

async function writeFindings(store: ObjectStore, key: string): Promise<Finding[]> {
  try {
    await store.put(key, PROBE, { ifAbsent: true });
  } catch (error) {
    if (!hasCode(error, 'REFUSED')) return [failed('writing', error)];
    return [
      warn(
        'writing',
        'refused',
        'Mount with --read-only, use clone --local, or have the right to put objects given to these credentials.',
      ),
    ];
  }
  const findings = [ok('writing', 'allowed'), await ifNoneMatchFinding(store, key), await rangeFinding(store, key)];
  try {
    await store.delete(key);
    findings.push(ok('deleting', 'allowed'));
  } catch (error) {
    if (!hasCode(error, 'REFUSED')) findings.push(failed('deleting', error));
    else
      findings.push(
        warn(
          'deleting',
          'refused',
          'Locks can’t be given up and gc can’t free space: have the right to delete objects given to these credentials.',
        ),
      );
  }
  return findings;
}

/** The key is there: an upload that must not replace anything has to be refused. */
async function ifNoneMatchFinding(store: ObjectStore, key: string): Promise<Finding> {
  const check = 'If-None-Match';
  try {
    await store.put(key, PROBE, { ifAbsent: true });
    return fail(
      check,
      'ignored',
      'Two writers could overwrite each other’s snapshots: use another server, or mount with --read-only.',
    );
  } catch (error) {
    return hasCode(error, 'EXISTS') ? ok(check, 'honoured') : failed(check, error);
  }
}

async function rangeFinding(store: ObjectStore, key: string): Promise<Finding> {
  const check = 'reading parts';
  try {
    const part = await store.get(key, { range: RANGE });
    const { offsetBytes, lengthBytes } = RANGE;
    if (part.equals(PROBE.subarray(offsetBytes, offsetBytes + lengthBytes))) return ok(check, 'honoured');
    return fail(
      check,
      'wrong bytes came',
      'Use another server: this one, or a proxy before it, does not serve ranges.',
    );
  } catch (error) {
    return failed(check, error);
  }
}

/**
 * The order of the queue: what takes longest first, so that no long file is left to one core at the end. A guest keeps a
 * core busy all the time that it runs, most other files wait for programs and timers: after each guest come files that take
 * about as long together, so that a guest has one of them beside it, and no other guest.
 */
import { join, relative } from 'node:path';

/** Seconds on two cores, from a log of `make test`; a wrong one costs some idling, no more. */
const SECONDS = {
  'guest/libvirt': 120,
  'guest/guest': 110,
  'image/threads': 75,
  'mounted/faults': 45,
  'mounted/mirror': 40,
  'mounted/takeover': 35,
  'mounted/rounds': 35,
  'image/killed-at-a-step': 30,
  'guest/systemd': 25,
  'mounted/service': 25,
  'mounted/fio': 20,
  'mounted/two-mounts': 20,
  'mounted/install': 20,
  'cli/repository-verbs': 20,
  'repository/tree-model': 20,
  'mounted/model': 15,
  'mounted/dashboard': 15,
  'cli/s3-errors': 15,
  'power/power-loss.mounted': 15,
};

/** Of those that are not listed. */
const OTHERS = { guest: 60, mounted: 6 };
const SHORT = 2;

/** `{ room, name, seconds }` of a test file. */
function facts({ path, context }) {
  const [, name, room] = /^((\w+)\/.+)\.test\.ts$/.exec(relative(join(context.config.rootDir, 'tests'), path));
  return { room, name, seconds: SECONDS[name] ?? OTHERS[room] ?? SHORT };
}

export class LongestFirst {
  sort(tests) {
    const sorted = tests
      .map((test) => ({ test, ...facts(test) }))
      .sort((a, b) => b.seconds - a.seconds || a.name.localeCompare(b.name));
    const guests = sorted.filter(({ room }) => room === 'guest');
    const queue = [];
    let beside = 0;
    for (const other of sorted.filter(({ room }) => room !== 'guest')) {
      if (beside <= 0 && guests.length > 0) {
        const guest = guests.shift();
        queue.push(guest);
        beside = guest.seconds;
      }
      queue.push(other);
      beside -= other.seconds;
    }
    return [...queue, ...guests].map(({ test }) => test);
  }

  allFailedTests(tests) {
    return tests;
  }

  cacheResults() {}
}

export { LongestFirst as default };

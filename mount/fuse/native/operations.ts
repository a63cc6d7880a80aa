/**
 * Each operation of libfuse 2 as calls of the file system.
 *
 * Buffers belong to libfuse: what is written is copied before anything is awaited, and what was read is copied in the step
 * that answers. Nothing is touched after the answer, when the memory is somebody else's.
 */
import type { Caller, FileSystem } from '../file-system.js';
import { ROOT_NODE, type AttributeChanges } from '../file-system.js';
import type { NativeOperations, Result } from './module.js';
import { OpenFiles } from './open-files.js';
import { attributesAt, placeOf } from './paths.js';
import type { Patience, Requests } from './requests.js';
import { toEntryStat, toOpenFlags, toOwnerChanges, toStat, toStatfs } from './values.js';

const MODE_BITS = 0o7777;
const CREATED = { write: true, truncate: false };

export interface NativeCounters {
  /** READs that are being answered. */
  waitingReads: number;
}

export function nativeOperations(
  fileSystem: FileSystem,
  requests: Requests,
  counters: NativeCounters,
): NativeOperations {
  const files = new OpenFiles();

  /** Performs, and answers with nothing but success or an errno. */
  const perform = (
    name: string,
    done: (result: Result) => void,
    work: (caller: Caller) => Promise<unknown>,
    patience: Patience = 'deadline',
  ): void => {
    void requests.perform(name, patience, work).then((outcome) => {
      done(outcome.ok ? 0 : outcome.result);
    });
  };
  /** Performs, and answers with a value or an errno. */
  const ask = <T>(
    name: string,
    done: (result: Result, value?: T) => void,
    work: (caller: Caller) => Promise<T>,
  ): void => {
    void requests.perform(name, 'deadline', work).then((outcome) => {
      if (outcome.ok) done(0, outcome.value);
      else done(outcome.result);
    });
  };
  const change = (name: string, path: string, changes: AttributeChanges, done: (result: Result) => void): void => {
    perform(name, done, async (caller) => {
      const { node } = await attributesAt(fileSystem, path, caller);
      return fileSystem.setAttributes(node, changes, caller);
    });
  };
  const refuseOther = (name: string, path: string, done: (result: Result) => void): void => {
    perform(name, done, async (caller) => {
      const place = await placeOf(fileSystem, path, caller);
      return fileSystem.makeOther(place.parent, place.name, caller);
    });
  };
  /** Requests on control files wait for their commands. */
  const patienceOf = (file: number): Patience => (isControl(files, file) ? 'as-long-as-it-takes' : 'deadline');

  return {
    getattr: (path, done) => {
      ask('getattr', done, async (caller) => toStat(await attributesAt(fileSystem, path, caller)));
    },
    readlink: (path, done) => {
      ask('readlink', done, async (caller) =>
        fileSystem.readLink((await attributesAt(fileSystem, path, caller)).node, caller),
      );
    },
    readdir: (path, done) => {
      const work = async (caller: Caller) => {
        const { node } = await attributesAt(fileSystem, path, caller);
        return { node, entries: await fileSystem.readDirectory(node, caller) };
      };
      void requests.perform('readdir', 'deadline', work).then((outcome) => {
        if (!outcome.ok) {
          done(outcome.result);
          return;
        }
        const { node, entries } = outcome.value;
        done(
          0,
          ['.', '..', ...entries.map(({ name }) => name)],
          [
            toEntryStat('directory', node),
            toEntryStat('directory', ROOT_NODE),
            ...entries.map((entry) => toEntryStat(entry.kind, entry.node)),
          ],
        );
      });
    },
    statfs: (_path, done) => {
      ask('statfs', done, async () => toStatfs(await fileSystem.statistics()));
    },
    chmod: (path, mode, done) => {
      change('chmod', path, { mode: mode & MODE_BITS }, done);
    },
    chown: (path, uid, gid, done) => {
      change('chown', path, toOwnerChanges(uid, gid), done);
    },
    utimens: (path, atimeMs, mtimeMs, done) => {
      change('utimens', path, { atimeMs, mtimeMs }, done);
    },
    truncate: (path, sizeBytes, done) => {
      change('truncate', path, { sizeBytes }, done);
    },
    ftruncate: (_path, file, sizeBytes, done) => {
      perform('ftruncate', done, async (caller) =>
        fileSystem.setAttributes(files.get(file).node, { sizeBytes }, caller),
      );
    },
    mkdir: (path, mode, done) => {
      perform('mkdir', done, async (caller) => {
        const { parent, name } = await placeOf(fileSystem, path, caller);
        return fileSystem.makeDirectory(parent, name, mode & MODE_BITS, caller);
      });
    },
    rmdir: (path, done) => {
      perform('rmdir', done, async (caller) => {
        const { parent, name } = await placeOf(fileSystem, path, caller);
        return fileSystem.removeDirectory(parent, name, caller);
      });
    },
    unlink: (path, done) => {
      perform('unlink', done, async (caller) => {
        const { parent, name } = await placeOf(fileSystem, path, caller);
        return fileSystem.unlink(parent, name, caller);
      });
    },
    rename: (from, to, done) => {
      perform('rename', done, async (caller) => {
        const source = await placeOf(fileSystem, from, caller);
        const target = await placeOf(fileSystem, to, caller);
        return fileSystem.rename(source.parent, source.name, target.parent, target.name, caller);
      });
    },
    link: (_from, to, done) => {
      refuseOther('link', to, done);
    },
    symlink: (_target, path, done) => {
      refuseOther('symlink', path, done);
    },
    mknod: (path, _mode, _device, done) => {
      refuseOther('mknod', path, done);
    },
    open: (path, flags, done) => {
      ask('open', done, async (caller) => {
        const { node } = await attributesAt(fileSystem, path, caller);
        return files.add(node, await fileSystem.open(node, toOpenFlags(flags), caller));
      });
    },
    create: (path, mode, done) => {
      ask('create', done, async (caller) => {
        const { parent, name } = await placeOf(fileSystem, path, caller);
        // The package does not say how the file is opened.
        const made = await fileSystem.create(parent, name, mode & MODE_BITS, CREATED, caller);
        return files.add(made.attributes.node, made.opened);
      });
    },
    read: (_path, file, buffer, lengthBytes, offset, done) => {
      counters.waitingReads++;
      const work = async (caller: Caller) => {
        const { node, handle } = files.get(file);
        const bytes = await fileSystem.read(node, handle, offset, lengthBytes, caller);
        if (bytes.byteLength > lengthBytes) throw new Error('more bytes were read than asked for');
        return bytes;
      };
      void requests.perform('read', patienceOf(file), work).then((outcome) => {
        counters.waitingReads--;
        if (outcome.ok) buffer.set(outcome.value);
        done(outcome.ok ? outcome.value.byteLength : outcome.result);
      });
    },
    write: (_path, file, buffer, lengthBytes, offset, done) => {
      const bytes = Buffer.from(buffer.subarray(0, lengthBytes));
      const work = async (caller: Caller) => {
        const { node, handle } = files.get(file);
        await fileSystem.write(node, handle, offset, bytes, caller);
      };
      void requests.perform('write', patienceOf(file), work).then((outcome) => {
        done(outcome.ok ? lengthBytes : outcome.result);
      });
    },
    flush: (_path, file, done) => {
      const work = async (caller: Caller) => {
        const { node, handle } = files.get(file);
        await fileSystem.flush(node, handle, caller);
      };
      perform('flush', done, work, 'as-long-as-it-takes');
    },
    fsync: (_path, _dataOnly, file, done) => {
      const work = async (caller: Caller) => {
        const { node, handle } = files.get(file);
        await fileSystem.fsync(node, handle, caller);
      };
      perform('fsync', done, work, 'as-long-as-it-takes');
    },
    release: (_path, file, done) => {
      const work = async () => {
        const { node, handle } = files.get(file);
        files.remove(file);
        await fileSystem.release(node, handle);
      };
      perform('release', done, work, 'as-long-as-it-takes');
    },
  };
}

function isControl(files: OpenFiles, file: number): boolean {
  try {
    return files.get(file).isControl;
  } catch {
    return false;
  }
}

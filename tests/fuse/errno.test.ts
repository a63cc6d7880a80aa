import { describe, expect, it } from '@jest/globals';
import { LazydiskError } from '../../lib/util/errors.js';
import { answerTo, FsError } from '../../mount/fuse/errno.js';
import { Opcode } from '../../mount/fuse/protocol/opcodes.js';
import { mayAnswerEnosys, refusalOf } from '../../mount/fuse/protocol/refusals.js';

describe('answerTo', () => {
  it('maps the codes of lazydisk', () => {
    const name = (code: ConstructorParameters<typeof LazydiskError>[0]) => answerTo(new LazydiskError(code, 'x')).name;
    expect(name('NOT_FOUND')).toBe('ENOENT');
    expect(name('LOCKED')).toBe('EBUSY');
    expect(name('READ_ONLY')).toBe('EROFS');
    expect(name('UNREACHABLE')).toBe('EIO');
    expect(name('TOO_LARGE')).toBe('EFBIG');
    expect(name('STALE')).toBe('ESTALE');
    expect(name('UNSUPPORTED')).toBe('EOPNOTSUPP');
    expect(name('ABORTED')).toBe('EINTR');
  });

  it('answers EIO to anything else, and has it logged', () => {
    expect(answerTo(new TypeError('defect'))).toEqual({ name: 'EIO', errno: 5, worthLogging: true });
    expect(answerTo(Object.assign(new Error('x'), { code: 'EBADF' }))).toMatchObject({ name: 'EIO' });
    expect(answerTo(undefined)).toMatchObject({ name: 'EIO' });
  });

  it('answers what a file system says, but never ENOSYS', () => {
    expect(answerTo(new FsError('EPERM'))).toEqual({ name: 'EPERM', errno: 1, worthLogging: false });
    expect(answerTo(new FsError('ENOSYS'))).toMatchObject({ name: 'EOPNOTSUPP' });
  });

  it('says that the disk is full where node says so, and EINTR to an abort', () => {
    expect(answerTo(Object.assign(new Error('x'), { code: 'EDQUOT' }))).toMatchObject({ name: 'ENOSPC' });
    expect(answerTo(AbortSignal.abort().reason)).toMatchObject({ name: 'EINTR' });
  });
});

describe('refusals', () => {
  it('never say ENOSYS where the kernel would then report success, or stop asking for what we serve', () => {
    const served = Object.values(Opcode).filter((opcode) => !mayAnswerEnosys(opcode));
    for (const opcode of [
      Opcode.FSYNC,
      Opcode.FLUSH,
      Opcode.LSEEK,
      Opcode.FALLOCATE,
      Opcode.FSYNCDIR,
      Opcode.SYNCFS,
      Opcode.OPEN,
      Opcode.OPENDIR,
      Opcode.CREATE,
      Opcode.READDIRPLUS,
      Opcode.RENAME2,
      Opcode.INTERRUPT,
    ]) {
      expect(served).toContain(opcode);
    }
    expect(refusalOf(Opcode.GETXATTR)).toBe('ENOSYS');
    expect(refusalOf(Opcode.IOCTL)).toBe('ENOTTY');
    expect(refusalOf(Opcode.SYNCFS)).toBe('EOPNOTSUPP');
    expect(refusalOf(54)).toBe('ENOSYS');
  });
});

/**
 * What runs beside a head (attendance.ts), from its first use to its last: while it is open for writing, and while it is
 * exposed. An open for writing is a use before it has the lock, so that profile and tree are on their way meanwhile.
 */
import type { Attendances, Subject } from './attendance.js';
import type { Base } from './base.js';
import type { KeptRecord } from './kept-record.js';

export class HeadAttendance {
  private uses = 0;
  private attended: Base | undefined;

  constructor(
    private readonly attendances: Attendances,
    private readonly kept: KeptRecord,
  ) {}

  /** One `leave` for each. */
  enter(base: Base): void {
    this.uses++;
    const before = this.attended;
    if (before === base) return;
    this.attended = base;
    this.attendances.enter(base, this.subject());
    // The content was replaced under an open that is about to be refused.
    if (before !== undefined) this.attendances.leave(before);
  }

  leave(): void {
    if (--this.uses > 0 || this.attended === undefined) return;
    this.attendances.leave(this.attended);
    this.attended = undefined;
  }

  /** The base has moved by a commit of our own. */
  move(base: Base): void {
    if (this.attended === undefined) return;
    this.attendances.move(this.attended, base, this.subject());
    this.attended = base;
  }

  private subject(): Subject {
    const { image, imageId, base, origin } = this.kept.value;
    // A local clone boots as the image that it stands on, and what its boots teach is kept there.
    if (base !== null && origin !== null) return { image: origin, imageId: base.imageId, parent: base.parent };
    return { image, imageId, parent: base?.parent ?? null };
  }
}

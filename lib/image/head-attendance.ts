/**
 * What runs beside a head (attendance.ts), from its first use to its last: while it is open for writing, and while it is
 * exposed. An open for writing is a use before it has the lock, so that profile and tree are on their way meanwhile.
 */
import type { Attendances, Subject } from './attendance.js';
import type { Base } from './base.js';

export class HeadAttendance {
  private uses = 0;
  private attended: Base | undefined;

  constructor(private readonly attendances: Attendances) {}

  /** One `leave` for each. */
  enter(base: Base, subject: Subject): void {
    this.uses++;
    const before = this.attended;
    if (before === base) return;
    this.attended = base;
    this.attendances.enter(base, subject);
    // The content was replaced under an open that is about to be refused.
    if (before !== undefined) this.attendances.leave(before);
  }

  leave(): void {
    if (--this.uses > 0 || this.attended === undefined) return;
    this.attendances.leave(this.attended);
    this.attended = undefined;
  }

  /** The base has moved by a commit of our own. */
  move(base: Base, subject: Subject): void {
    if (this.attended === undefined) return;
    this.attendances.move(this.attended, base, subject);
    this.attended = base;
  }
}

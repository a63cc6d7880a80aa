import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { sweep } from '../../lib/mirror/clock.js';
import { FREE, KEPT, SlotTable, UNVERIFIED } from '../../lib/mirror/slot-table.js';
import { FIRST_SLOT, type SlotMap } from '../../lib/mirror/api.js';
import { SlotMaps } from '../../lib/mirror/slot-maps.js';

const CHUNK = 65536;
const idOf = (n: number) => createHash('sha256').update(String(n)).digest('hex');

describe('SlotTable', () => {
  test('agrees with a plain map over random allocations, releases and pins', () => {
    const step = fc.record({
      what: fc.constantFrom('fill', 'leave', 'pin', 'unpin', 'retire'),
      n: fc.nat(40),
      count: fc.integer({ min: 1, max: 6 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const table = new SlotTable(CHUNK, 64);
        const model = new Map<string, number>();
        const pins = new Map<number, number>();
        let retired = 0;
        for (const { what, n, count } of steps) {
          const known = [...model];
          const [id, slot] = known[n % Math.max(1, known.length)] ?? [];
          if (what === 'fill') {
            const fresh = Array.from({ length: count }, (_, k) => idOf(n * 10 + k)).filter((x) => !model.has(x));
            const slots = table.allocate(fresh.length);
            expect(slots.length).toBe(Math.min(fresh.length, 64 - model.size - retired));
            for (const [k, taken] of slots.entries()) {
              expect([...model.values()]).not.toContain(taken);
              table.keep(taken, fresh[k]!);
              model.set(fresh[k]!, taken);
            }
          } else if (id === undefined || slot === undefined) {
            continue;
          } else if (what === 'pin') {
            table.pin(slot);
            pins.set(slot, (pins.get(slot) ?? 0) + 1);
          } else if (what === 'unpin' && (pins.get(slot) ?? 0) > 0) {
            table.unpin(slot);
            pins.set(slot, pins.get(slot)! - 1);
          } else if (what === 'leave' || what === 'retire') {
            expect(table.mayLeave(slot)).toBe((pins.get(slot) ?? 0) === 0);
            if (!table.mayLeave(slot)) continue;
            table.unpublish(slot);
            table.beginLeaving(slot);
            if (what === 'leave') table.release(slot);
            else {
              table.retire(slot);
              retired++;
            }
            model.delete(id);
          }
        }
        expect(table.usedSlots).toBe(model.size);
        for (let n = 0; n < 460; n++) expect(table.find(idOf(n))).toBe(model.get(idOf(n)));
        for (const [id, slot] of model) expect(table.idOf(slot)).toBe(id);
        const free = [...table.freeRuns()].reduce((sum, run) => sum + run.count, 0);
        expect(free + model.size + retired).toBe(table.slots);
      }),
      { numRuns: 60 },
    );
  });

  test('neighbours get ascending slots, also among slots that were given back', () => {
    const table = new SlotTable(CHUNK, 1000);
    const first = table.allocate(10);
    expect(first).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const slot of first) table.keep(slot, idOf(slot));
    for (const slot of [1, 4, 5, 6]) {
      table.beginLeaving(slot);
      table.release(slot);
    }
    expect(table.allocate(3)).toEqual([4, 5, 6]);
    expect(table.allocate(2)).toEqual([10, 11]);
    expect(table.allocate(1)).toEqual([1]);
  });

  test('as long as most slots are free, however scattered, the file does not grow', () => {
    const table = new SlotTable(CHUNK, 100_000);
    const slots = table.allocate(1000);
    for (const slot of slots) table.keep(slot, idOf(slot));
    for (const slot of slots.filter((n) => n % 10 !== 0)) {
      table.beginLeaving(slot);
      table.release(slot);
    }
    for (let n = 0; n < 20; n++) table.allocate(16);
    expect(table.slots).toBe(1000);
  });

  test('the record can not give one slot to two chunks, nor one chunk two slots', () => {
    const table = new SlotTable(CHUNK, 100);
    expect(table.adopt(7, idOf(1), KEPT)).toBe(true);
    expect(table.adopt(7, idOf(2), KEPT)).toBe(false);
    expect(table.adopt(8, idOf(1), UNVERIFIED)).toBe(false);
    expect(table.adopt(100, idOf(3), KEPT)).toBe(false);
    expect(table.state(3)).toBe(FREE);
    expect(table.usedSlots).toBe(1);
    expect(table.find('no id')).toBeUndefined();
  });
});

describe('SlotMaps', () => {
  test('a slot that is cleared is named by no map, whatever was published before', () => {
    const step = fc.record({
      what: fc.constantFrom('publish', 'publish', 'clear', 'zero', 'forget'),
      map: fc.nat(3),
      chunk: fc.nat(9),
      slot: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const maps = new SlotMaps(CHUNK);
        let open: SlotMap[] = Array.from({ length: 4 }, () => maps.create(10));
        const model = open.map(() => new Array<number>(10).fill(0));
        for (const { what, map, chunk, slot } of steps) {
          if (what === 'publish') {
            maps.publish(open[map]!, chunk, slot);
            model[map]![chunk] = slot + FIRST_SLOT;
          } else if (what === 'zero') {
            maps.markZero(open[map]!, chunk);
            model[map]![chunk] = 1;
          } else if (what === 'clear') {
            maps.clear(slot);
            for (const words of model) words.forEach((word, n) => word === slot + FIRST_SLOT && (words[n] = 0));
          } else {
            const old = open[map]!;
            maps.forget(old);
            const before = [...old.words];
            maps.publish(old, chunk, slot);
            expect([...old.words]).toEqual(before);
            open = open.map((one, n) => (n === map ? maps.create(10) : one));
            model[map]!.fill(0);
          }
          open.forEach((one, n) => {
            expect([...one.words]).toEqual(model[n]);
          });
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('the clock', () => {
  test('passes over what was read since it came by, and over what is held', () => {
    const referenced = Uint8Array.from([1, 0, 1, 0, 0]);
    const face = { slots: 5, referenced, mayLeave: (slot: number) => slot !== 3 };
    expect(sweep(face, 0, 2)).toEqual({ victims: [1, 4], hand: 0 });
    expect([...referenced]).toEqual([0, 0, 0, 0, 0]);
    expect(sweep({ ...face, referenced: Uint8Array.from([1, 1, 1, 1, 1]) }, 2, 1).victims).toEqual([2]);
  });

  test('finds a victim whenever there is one, each at most once, and ends', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ referenced: fc.boolean(), mayLeave: fc.boolean() }), { maxLength: 40 }),
        fc.nat(50),
        fc.integer({ min: 1, max: 50 }),
        (slots, hand, wanted) => {
          const face = {
            slots: slots.length,
            referenced: Uint8Array.from(slots, (slot) => (slot.referenced ? 1 : 0)),
            mayLeave: (slot: number) => slots[slot]!.mayLeave,
          };
          const { victims } = sweep(face, hand, wanted);
          expect(victims).toHaveLength(Math.min(wanted, slots.filter((slot) => slot.mayLeave).length));
          expect(new Set(victims).size).toBe(victims.length);
          for (const slot of victims) expect(slots[slot]!.mayLeave).toBe(true);
        },
      ),
    );
  });
});

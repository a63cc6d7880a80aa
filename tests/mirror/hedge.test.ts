import { describe, expect, test } from '@jest/globals';
import { decideHedge, FirstByteTimes } from '../../lib/mirror/hedge.js';

describe('FirstByteTimes', () => {
  test('says what is unusual when twenty are known: longer than 19 of 20', () => {
    const times = new FirstByteTimes();
    for (let n = 1; n < 20; n++) times.add(30 + n);
    expect(times.unusualMs()).toBeUndefined();
    times.add(500);
    expect(times.unusualMs()).toBe(49);
  });

  test('the last 128 count, and nothing below 20 ms is unusual', () => {
    const times = new FirstByteTimes();
    for (let n = 0; n < 128; n++) times.add(500);
    expect(times.unusualMs()).toBe(500);
    for (let n = 0; n < 128; n++) times.add(1);
    expect(times.unusualMs()).toBe(20);
  });
});

describe('decideHedge', () => {
  test('while too little is known, three seconds are unusual', () => {
    expect(decideHedge(500, undefined, 1, 0)).toEqual({ do: 'look-again', afterMs: 2500 });
    expect(decideHedge(3000, undefined, 1, 0)).toEqual({ do: 'hedge' });
    expect(decideHedge(3000, undefined, 5, 1)).toEqual({ do: 'nothing' });
  });

  test('what is not silent for long is looked at again', () => {
    expect(decideHedge(15, 40, 1000, 0)).toEqual({ do: 'look-again', afterMs: 25 });
  });

  test('one in twenty requests may be a second one', () => {
    expect(decideHedge(40, 40, 19, 0)).toEqual({ do: 'look-again', afterMs: 2960 });
    expect(decideHedge(40, 40, 20, 0)).toEqual({ do: 'hedge' });
    expect(decideHedge(40, 40, 39, 1)).toEqual({ do: 'nothing' });
    expect(decideHedge(40, 40, 40, 1)).toEqual({ do: 'hedge' });
  });

  test('the first one that waits for three seconds is raced before twenty requests were made', () => {
    expect(decideHedge(3000, 40, 19, 0)).toEqual({ do: 'hedge' });
    expect(decideHedge(3000, 40, 19, 1)).toEqual({ do: 'nothing' });
  });
});

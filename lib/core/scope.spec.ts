import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.js';
import { sleep } from './clock.js';
import type { Attempt } from './delivery.js';
import { HandlingScope } from './scope.js';

function attempt(
  rest: { source?: string; id?: string; handler?: string; group?: string; attempt?: number } = {},
): Attempt {
  const { source = 'shop', id = '1', handler = 'Mail.send', group = 'shop' } = rest;
  const envelope = { id, source, name: 'a.b', time: '', data: null, headers: {} };
  return { attempt: rest.attempt ?? 1, envelope, subscription: { handler, group } } as Attempt;
}

/** The ids of the first `count` events that a run of a handler publishes. */
function publishedIds(of: Attempt, count: number): (string | undefined)[] {
  const scope = new HandlingScope();
  return scope.run(of, () => Array.from({ length: count }, () => scope.nextEventId()));
}

describe('HandlingScope', () => {
  it('knows nothing outside a handler', () => {
    const scope = new HandlingScope();
    expect(scope.current()).toBeUndefined();
    expect(scope.nextEventId()).toBeUndefined();
    scope.run(attempt(), () => undefined);
    expect(scope.current()).toBeUndefined();
  });

  it('returns what the work returns, and passes what it throws', async () => {
    const scope = new HandlingScope();
    expect(scope.run(attempt(), () => 'result')).toBe('result');
    await expect(scope.run(attempt(), async () => 'later')).resolves.toBe('later');
    expect(() => scope.run(attempt(), () => JSON.parse('{') as unknown)).toThrow(SyntaxError);
  });

  it('gives the same ids to a second run, so that consumers recognise the duplicates', () => {
    expect(publishedIds(attempt({ attempt: 2 }), 5)).toEqual(publishedIds(attempt({ attempt: 1 }), 5));
  });

  it('gives ids that stay the same across versions of this library', () => {
    expect(publishedIds(attempt(), 2)).toEqual([
      '885f8b21-79cc-8e81-a3b0-a0930b6c36b7',
      '56d20b91-2837-8cb5-9841-6b4dfd93a64a',
    ]);
  });

  it('gives each event of a run its own id, a UUID of version 8', () => {
    const ids = publishedIds(attempt(), 1_000);
    expect(new Set(ids).size).toBe(1_000);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it.each([
    ['of another source', { source: 'other' }],
    ['with another id', { id: '2' }],
    ['in another handler', { handler: 'Mail.other' }],
    // Two services may well have a class and a method of the same names.
    ['in another group', { group: 'other' }],
  ])('gives other ids when handling an event %s', (_what, other) => {
    expect(publishedIds(attempt(other), 1)).not.toEqual(publishedIds(attempt(), 1));
  });

  it('does not confuse where one part of the origin ends and the next begins', () => {
    const ids = [attempt({ source: 'a', id: 'bc' }), attempt({ source: 'ab', id: 'c' })].flatMap((of) =>
      publishedIds(of, 1),
    );
    expect(new Set(ids).size).toBe(2);
  });

  it('keeps handlers that run at the same time apart, across awaits', async () => {
    const scope = new HandlingScope();
    const clock = new ManualClock();
    const run = (of: Attempt, stepMs: number): Promise<unknown[]> =>
      scope.run(of, async () => {
        const seen: unknown[] = [scope.current(), scope.nextEventId()];
        await sleep(clock, stepMs);
        seen.push(scope.current(), scope.nextEventId());
        await Promise.all([sleep(clock, stepMs), Promise.resolve()]);
        return [...seen, scope.current(), scope.nextEventId()];
      });
    const [one, two] = [attempt({ id: '1' }), attempt({ id: '2' })];
    const both = Promise.all([run(one, 3), run(two, 5)]);
    expect(scope.current()).toBeUndefined();
    await clock.advanceAsync(20);
    const expected = [one, two].map((of) => publishedIds(of, 3).flatMap((id) => [of, id]));
    expect(await both).toEqual(expected);
  });

  it('returns to the outer handler after an inner one', () => {
    const scope = new HandlingScope();
    const [outer, inner] = [attempt({ id: 'outer' }), attempt({ id: 'inner' })];
    const ids = scope.run(outer, () => {
      const first = scope.nextEventId();
      scope.run(inner, () => scope.nextEventId());
      expect(scope.current()).toBe(outer);
      return [first, scope.nextEventId()];
    });
    expect(ids).toEqual(publishedIds(outer, 2));
  });

  it('is not seen by another application in the same process', () => {
    const [mine, theirs] = [new HandlingScope(), new HandlingScope()];
    mine.run(attempt(), () => {
      expect(theirs.current()).toBeUndefined();
      expect(theirs.nextEventId()).toBeUndefined();
      theirs.run(attempt({ id: '2' }), () => expect(mine.current()?.envelope.id).toBe('1'));
    });
  });
});

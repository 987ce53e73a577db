import { describe, expect, test } from '@jest/globals';
import { NodeChild, type ChildReport } from '../support/node-child.js';

interface Report extends ChildReport {
  readonly blockedMs?: number;
}

const blocked = (options: unknown, forMs = 900, flags: readonly string[] = []): NodeChild<Report> =>
  new NodeChild('test/support/watched.child.mjs', { watchdog: options, forMs }, flags);

describe('a handler that blocks the event loop', () => {
  test('is told of on stderr while it does, and reported when the loop is back', async () => {
    const child = blocked({ blockedMs: 300 });
    expect(await child.ended()).toBe(0);
    expect(child.reports.map(({ step }) => step)).toEqual([
      'ready',
      'blocking',
      'blocked',
      'event-loop-blocked',
      'closed',
    ]);
    const { blockedMs } = child.reports.find(({ step }) => step === 'event-loop-blocked') as Report;
    expect(blockedMs).toBeGreaterThanOrEqual(890);
    const [line, ...more] = child.errors.split('\n').filter((each) => each.startsWith('[nestjs-events]'));
    expect(line).toMatch(
      /^\[nestjs-events\] EVENTS_EVENT_LOOP_BLOCKED: nothing else could run for [3-8]\d\d ms\. The handler that began last is books\.turn\. It is still blocked\.$/,
    );
    expect(more).toEqual([]);
    expect(child.errors).toMatch(
      /^ERROR EVENTS_EVENT_LOOP_BLOCKED: .* for (9\d\d|\d{4}) ms\. The handler that began last is books\.turn\./m,
    );
  });

  test('is ended with its process where that is wanted', async () => {
    const child = blocked({ blockedMs: 300, endProcess: true }, 30_000);
    expect(await child.ended()).toBe('SIGKILL');
    expect(child.reports.map(({ step }) => step)).toEqual(['ready', 'blocking']);
    expect(child.errors).toContain('The process is ended (watchdog.endProcess)');
  });

  test.each([
    ['shorter than that', { blockedMs: 5_000 }, []],
    ['without a watchdog', false, []],
    [
      'with a debugger, whose breakpoints block it, too',
      { blockedMs: 300, endProcess: true },
      ['--inspect=127.0.0.1:0'],
    ],
  ])('%s: nothing is said', async (_, options, flags) => {
    const child = blocked(options, 900, flags);
    expect(await child.ended()).toBe(0);
    expect(child.reports.map(({ step }) => step)).toEqual(['ready', 'blocking', 'blocked', 'closed']);
    expect(child.errors).not.toContain('EVENTS_EVENT_LOOP_BLOCKED');
  });
});

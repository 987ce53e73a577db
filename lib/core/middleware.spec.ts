import { describe, expect, it } from '@jest/globals';
import { isEventsError } from './errors.js';
import { compose, type Middleware } from './middleware.js';

type Log = string[];

const noting =
  (name: string): Middleware<Log, string> =>
  async (log, next) => {
    log.push(`${name} before`);
    const result = await next();
    log.push(`${name} after`);
    return `${name}(${result})`;
  };
const last = async (log: Log): Promise<string> => {
  log.push('last');
  return 'result';
};

describe('compose', () => {
  it('nests the first outermost, around the last step', async () => {
    const log: Log = [];
    await expect(compose([noting('a'), noting('b')], last)(log)).resolves.toBe('a(b(result))');
    expect(log).toEqual(['a before', 'b before', 'last', 'b after', 'a after']);
  });

  it('is the last step alone without middleware', async () => {
    await expect(compose([], last)([])).resolves.toBe('result');
  });

  it('runs nothing further where next() is not called', async () => {
    const log: Log = [];
    const shut: Middleware<Log, string> = async () => 'shut';
    await expect(compose([noting('a'), shut, noting('b')], last)(log)).resolves.toBe('a(shut)');
    expect(log).toEqual(['a before', 'a after']);
  });

  it.each(['one after another', 'at the same time'])(
    'refuses next() twice, %s, and runs what follows once',
    async (how) => {
      const log: Log = [];
      const twice: Middleware<Log, string> = async (_log, next) => {
        if (how === 'one after another') return (await next()) + (await next());
        return (await Promise.all([next(), next()])).join('');
      };
      const error: unknown = await compose([noting('a'), twice, noting('b')], last)(log).catch((each: unknown) => each);
      expect(isEventsError(error, 'EVENTS_NEXT_CALLED_TWICE')).toBe(true);
      expect(log.filter((line) => line === 'last')).toHaveLength(1);
      expect(log).not.toContain('a after');
    },
  );

  it('refuses next() twice also in the last middleware, and after the first call failed', async () => {
    let calls = 0;
    const again: Middleware<Log, string> = (_log, next) => next().catch(() => next());
    const failing = async (): Promise<string> => {
      calls++;
      throw new Error('broken');
    };
    await expect(compose([again], failing)([])).rejects.toMatchObject({ code: 'EVENTS_NEXT_CALLED_TWICE' });
    expect(calls).toBe(1);
  });

  it('passes errors outwards as they are, and lets a middleware handle them', async () => {
    const broken = new Error('broken');
    const failing = async (): Promise<string> => Promise.reject(broken);
    await expect(compose([noting('a')], failing)([])).rejects.toBe(broken);
    const mending: Middleware<Log, string> = (_log, next) =>
      next().catch((error: unknown) => `mended ${String(error)}`);
    await expect(compose([mending, noting('a')], failing)([])).resolves.toBe('mended Error: broken');
  });

  it('turns what is thrown synchronously into a rejection', async () => {
    const throwing: Middleware<Log, string> = () => {
      throw new TypeError('at once');
    };
    await expect(compose([throwing], last)([])).rejects.toThrow('at once');
    await expect(compose([noting('a'), throwing], last)([])).rejects.toThrow('at once');
  });

  it('can be run many times, also at the same time', async () => {
    const run = compose([noting('a'), noting('b')], last);
    const logs: Log[] = [[], [], []];
    await expect(Promise.all(logs.map(run))).resolves.toEqual(Array(3).fill('a(b(result))'));
    expect(logs.map((log) => log.length)).toEqual([5, 5, 5]);
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chaosSeed, resolveChaosOptions } from './chaos.options.js';
import { withChaos } from './chaos.run.js';

describe('the seed of chaos', () => {
  let before: string | undefined;
  beforeEach(() => {
    before = process.env['CHAOS_SEED'];
    delete process.env['CHAOS_SEED'];
  });
  afterEach(() => {
    if (before === undefined) delete process.env['CHAOS_SEED'];
    else process.env['CHAOS_SEED'] = before;
  });

  it('is the one given, else CHAOS_SEED, else a new one', () => {
    const drawn = [chaosSeed(), chaosSeed(), chaosSeed()];
    expect(new Set(drawn).size).toBeGreaterThan(1);
    process.env['CHAOS_SEED'] = '42';
    expect(chaosSeed()).toBe(42);
    expect(chaosSeed(0)).toBe(0);
  });

  it.each(['seven', '-1', '1.5', '1e400'])('is refused as %s', (seed) => {
    process.env['CHAOS_SEED'] = seed;
    expect(() => chaosSeed()).toThrow(expect.objectContaining({ code: 'EVENTS_OPTIONS_INVALID' }));
  });

  it('stands in the error of a test that failed, with what had happened and the cause', async () => {
    const cause = new RangeError('two mails for order 7');
    const failing = withChaos(() => Promise.reject(cause), { seed: 42 });
    await expect(failing).rejects.toMatchObject({
      message: 'two mails for order 7\n\nCHAOS_SEED=42 repeats it. Faults until then: none',
      seed: 42,
      cause,
    });
    expect(await withChaos(async ({ seed }) => seed, { seed: 7 })).toBe(7);
  });
});

describe('the shares of chaos', () => {
  it('have defaults, each of which can be changed', () => {
    const { shares, maxDelayMs } = resolveChaosOptions({ seed: 1, delay: 0 });
    expect(Object.values({ ...shares, delay: 1 }).every((share) => share > 0)).toBe(true);
    expect([shares.delay, maxDelayMs]).toEqual([0, 20]);
  });

  it('are refused, all of them at once, when they are none', () => {
    const wrong = (): unknown => resolveChaosOptions({ duplicate: 1.1, delay: NaN, maxDelayMs: -1 });
    expect(wrong).toThrow(/duplicate is 1.1.*delay is NaN.*maxDelayMs is -1/);
  });
});

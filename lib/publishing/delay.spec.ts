import { expect, test } from '@jest/globals';
import { delayOf } from './delay.js';

test.each([
  [{}, undefined],
  [{ delayMs: 0 }, undefined],
  [{ delayMs: 1_500 }, { delayMs: 1_500 }],
  [{ notBefore: new Date(5) }, { notBefore: new Date(5) }],
  [{ notBefore: '2030-01-31T09:00:00+02:00' }, { notBefore: new Date('2030-01-31T07:00:00Z') }],
])('%j asks for %j', (options, wanted) => {
  expect(delayOf(options, 'orders.order.placed')).toEqual(wanted);
});

test.each([
  { delayMs: -1 },
  { delayMs: 1.5 },
  { delayMs: NaN },
  { delayMs: 1e12 },
  { delayMs: '5' as unknown as number },
  { notBefore: new Date(NaN) },
  { notBefore: 'tomorrow' },
  { notBefore: '5' },
  { notBefore: '2030-13-01T00:00:00Z' },
  { notBefore: 5 as unknown as Date },
  { delayMs: 5, notBefore: new Date() },
])('%j is refused', (options) => {
  const refused = { code: 'EVENTS_DELAY_INVALID', event: 'orders.order.placed' };
  expect(() => delayOf(options, 'orders.order.placed')).toThrow(expect.objectContaining(refused));
});

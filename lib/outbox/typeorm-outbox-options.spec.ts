import { expect, test } from '@jest/globals';
import { typeormOutbox } from './typeorm-outbox.js';

test('the relay’s settings are part of the definition', () => {
  expect(typeormOutbox().relay).toEqual({});
  expect(typeormOutbox({ pollMs: 50, batchSize: 10, parkAfter: 3 }).relay).toEqual({
    ...{ pollMs: 50, batchSize: 10, parkAfter: 3 },
  });
  expect(typeormOutbox({ relay: false }).relay).toBe(false);
});

test('every mistake is named', () => {
  const options = { pollMs: 0, batchSize: 1.5, parkAfter: '3', keepDays: -1, notify: 1, relay: 'no', keepday: 1 };
  const wrong = (name: string, rest: string): unknown => expect.stringContaining(`${name} ${rest}`);
  for (const [name, rest] of [
    ['pollMs', 'must be a whole number from 1'],
    ['batchSize', 'must be a whole number from 1 to 10000'],
    ['parkAfter', 'must be a whole number'],
    ['keepDays', 'must be a whole number'],
    ['notify', 'must be true or false'],
    ['relay', 'must be true or false'],
    ['keepday', 'is not an option'],
  ] as const) {
    expect(() => typeormOutbox(options as never)).toThrow(
      expect.objectContaining({ code: 'EVENTS_OPTIONS_INVALID', message: wrong(name, rest) }),
    );
  }
});

import { BadRequestException } from '@nestjs/common';
import { describe, expect, test } from '@jest/globals';
import { ZodPipe } from '../http/zod.pipe.js';
import { checkoutRequest, totalCents } from './checkout.request.js';

const pipe = new ZodPipe(checkoutRequest);
const tea = { sku: 'tea', quantity: 1, price: 4.5 };

function fieldsOf(body: unknown): string[] {
  try {
    pipe.transform(body);
    return [];
  } catch (error) {
    const answer = (error as BadRequestException).getResponse() as { fields: { field: string; problem: string }[] };
    expect(error).toBeInstanceOf(BadRequestException);
    expect(answer.fields.every(({ problem }) => problem.length > 0)).toBe(true);
    return answer.fields.map(({ field }) => field);
  }
}

describe('the body of a checkout', () => {
  test('is handed on without what nobody asked for', () => {
    const body = { userId: ' ada ', items: [{ ...tea, colour: 'green' }], admin: true };
    expect(pipe.transform(body)).toEqual({ userId: 'ada', items: [tea] });
  });

  test.each([
    [undefined, ['body']],
    ['text', ['body']],
    [{}, ['userId', 'items']],
    [{ userId: ' ', items: [] }, ['userId', 'items']],
    [{ userId: 'a\0b', items: [tea] }, ['userId']],
    [{ userId: '\ud800', items: [tea] }, ['userId']],
    [{ userId: 'ada', items: [tea, { ...tea, quantity: 1.5, price: -1 }] }, ['items.1.quantity', 'items.1.price']],
    [{ userId: 'ada', items: [{ ...tea, price: Infinity }] }, ['items.0.price']],
    [{ userId: 'ada', items: [{ ...tea, quantity: '1' }] }, ['items.0.quantity']],
  ])('%j is refused with the fields that are wrong', (body, fields) => {
    expect(fieldsOf(body)).toEqual(fields);
  });

  test('adds up in cents, so that nothing is lost in fractions', () => {
    const items = [
      { sku: 'a', quantity: 3, price: 0.1 },
      { sku: 'b', quantity: 1, price: 19.99 },
    ];
    expect(totalCents({ userId: 'ada', items })).toBe(2_029);
  });
});

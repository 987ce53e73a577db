import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createEnvelope } from './envelope.js';
import { isEventsError } from './errors.js';

const base = { name: 'orders.order.placed', source: 'shop', data: { total: 1 } };
const create = (rest: object): unknown => createEnvelope({ ...base, ...rest });

function refusal(rest: object): string {
  try {
    create(rest);
  } catch (error) {
    if (isEventsError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('createEnvelope', () => {
  it('completes an event with an id, a time and no headers, and nothing that was not given', () => {
    const before = Date.now();
    const envelope = createEnvelope(base);
    expect(Object.keys(envelope).sort()).toEqual(['data', 'headers', 'id', 'name', 'source', 'time']);
    expect(envelope).toMatchObject(base);
    expect(envelope.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(envelope.time).toBe(new Date(envelope.time).toISOString());
    expect(Date.parse(envelope.time)).toBeGreaterThanOrEqual(before);
    expect(Object.keys(envelope.headers)).toEqual([]);
  });

  it('gives every event its own id, later ones sorting after earlier ones', () => {
    const ids = Array.from({ length: 1_000 }, () => createEnvelope(base).id);
    expect(new Set(ids).size).toBe(1_000);
    expect([...ids].sort()).toEqual(ids);
  });

  it('keeps what the publisher gives', () => {
    const given = {
      id: 'order-42',
      time: '2024-05-06T07:08:09.5+02:00',
      key: 'user-1',
      subject: 's',
      dataschema: 'd',
      correlationId: 'c',
      causationId: 'e',
      traceparent: '00-a-b-01',
      tracestate: 't=1',
      headers: { tenant: 'acme', raw: Uint8Array.of(0, 255), many: ['a', Uint8Array.of(1)] },
    };
    expect(create(given)).toEqual({ ...base, ...given });
  });

  it('keeps any well-formed Unicode in its texts', () => {
    const anyText = fc.string({ unit: 'binary', minLength: 1 });
    fc.assert(fc.property(anyText, anyText, (id, key) => expect(create({ id, key })).toMatchObject({ id, key })));
  });

  it('does not change when the given headers change later', () => {
    const headers: Record<string, string> = { tenant: 'acme' };
    const envelope = createEnvelope({ ...base, headers });
    headers['tenant'] = 'other';
    expect(envelope.headers['tenant']).toBe('acme');
  });

  it('leaves an empty optional attribute out, as it could not arrive: CloudEvents has no empty attributes', () => {
    const envelope = createEnvelope({ ...base, key: '', subject: '', tracestate: '' });
    expect(Object.keys(envelope).sort()).toEqual(['data', 'headers', 'id', 'name', 'source', 'time']);
  });

  it.each([
    '2024-05-06T07:08:09Z',
    '2024-05-06t07:08:09z',
    '2024-05-06T07:08:09.123456789Z',
    '2024-05-06T07:08:09-11:30',
  ])('accepts the time %s', (time) => expect(create({ time })).toMatchObject({ time }));

  it.each([
    [{ id: '' }, '"id" is empty'],
    [{ id: 42 }, '"id" is not a string'],
    [{ id: null }, '"id" is not a string'],
    [{ source: '' }, '"source" is empty'],
    [{ source: undefined }, '"source" is not a string'],
    [{ key: 42 }, '"key" is not a string'],
    [{ key: null }, '"key" is not a string'],
    [{ id: 'a\ud800' }, '"id" is not well-formed Unicode'],
    [{ key: '\udc00' }, '"key" is not well-formed Unicode'],
    [{ time: '' }, '"time" is not an RFC 3339 time'],
    [{ time: 'yesterday' }, '"time" is not an RFC 3339 time'],
    [{ time: '5' }, '"time" is not an RFC 3339 time'],
    [{ time: 'May 6, 2024' }, '"time" is not an RFC 3339 time'],
    [{ time: '2024-13-06T07:08:09Z' }, '"time" is not an RFC 3339 time'],
    [{ time: '2024-05-06T07:08:09' }, '"time" is not an RFC 3339 time'],
    [{ time: new Date(0) }, '"time" is not a string'],
  ])('refuses %j: the attribute %s', (rest, problem) => {
    expect(refusal(rest)).toContain(
      `EVENTS_ENVELOPE_INVALID: the attribute ${problem} (event "orders.order.placed"). Give`,
    );
  });

  it('refuses names that are no event names, and reserved headers', () => {
    expect(refusal({ name: 'orders.*' })).toMatch(/^EVENTS_NAME_INVALID/);
    expect(refusal({ name: undefined })).toMatch(/^EVENTS_NAME_INVALID/);
    expect(refusal({ headers: { ce_id: '1' } })).toMatch(/^EVENTS_HEADER_INVALID/);
  });
});

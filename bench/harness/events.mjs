/** The events of all measurements: 315 bytes of JSON, 500 keys, the same sequence each time. */

/**
 * @typedef {object} EventData
 * @property {number} sequence counts up
 * @property {number} user the key as a number
 * @property {number} sentAt microseconds since 1970
 * @property {string} filler
 *
 * @typedef {object} OutgoingEvent
 * @property {string} key
 * @property {EventData} data
 */

const PAYLOAD_BYTES = 315;
const KEYS = 500;
/** n.b. the numbers begin high enough to have the same number of digits always, so that no event has to be measured. */
export const FIRST_SEQUENCE = 1_000_000_000;
const FIRST_USER = 100;

const FILLER = 'x'.repeat(PAYLOAD_BYTES - JSON.stringify(event(0, { user: FIRST_USER, filler: '' }).data).length);

/**
 * @param {number} index
 * @param {{ user: number, filler: string }} content
 * @returns {OutgoingEvent}
 */
function event(index, { user, filler }) {
  return { key: `user-${user}`, data: { sequence: FIRST_SEQUENCE + index, user, sentAt: nowMicroseconds(), filler } };
}

/** @returns {() => OutgoingEvent} */
export function eventSource(keys = KEYS) {
  let index = 0;
  const random = randomNumbers();
  return () => event(index++, { user: FIRST_USER + (random() % keys), filler: FILLER });
}

/**
 * xorshift32. n.b. keys in turn would hide who breaks the order: events of one key would never be near each other.
 * @returns {() => number}
 */
export function randomNumbers() {
  let state = 2_463_534_242;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** On the clock that all processes of a machine share. */
export function nowMicroseconds() {
  return Math.round((performance.timeOrigin + performance.now()) * 1_000);
}

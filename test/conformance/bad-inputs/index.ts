import { ids, otherAttributes, structuredMode, versions } from './attributes.js';
import type { BadInput } from './bad-input.js';
import { malformed, odd, polluting } from './bodies.js';
import { headers } from './headers.js';

/** What programs of others, old versions and attackers send. */
export const BAD_INPUTS: readonly BadInput[] = [
  ...malformed,
  ...polluting,
  ...odd,
  ...ids,
  ...versions,
  ...otherAttributes,
  ...structuredMode,
  ...headers,
];

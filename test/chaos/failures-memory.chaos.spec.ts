import { memory } from '../../lib/index.js';
import { manyFailures } from './failures.js';

manyFailures({ kind: 'memory', create: () => memory() });

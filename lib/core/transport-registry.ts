import { EventsError } from './errors.js';
import { hasWildcard, PatternTrie } from './event-name.js';
import type { Transport } from './transport.js';

/** Route pattern → transport name, in the order given. */
export type Routes = Readonly<Record<string, string>>;

/** The transports of an application, and which of them carries a name. */
export class TransportRegistry {
  readonly #byName: ReadonlyMap<string, Transport>;
  readonly #routes: readonly { readonly pattern: string; readonly transport: Transport }[];
  readonly #trie = new PatternTrie<number>();
  readonly #first: Transport;

  constructor(
    readonly all: readonly Transport[],
    routes: Routes = {},
  ) {
    this.#byName = new Map(all.map((transport) => [transport.name, transport]));
    this.#first = all[0] as Transport;
    this.#routes = Object.entries(routes).map(([pattern, name]) => ({ pattern, transport: this.get(name) }));
    this.#routes.forEach(({ pattern }, index) => this.#trie.add(pattern, index));
  }

  /** Throws EVENTS_TRANSPORT_UNKNOWN. */
  get(name: string): Transport {
    const transport = this.#byName.get(name);
    if (transport !== undefined) return transport;
    throw new EventsError('EVENTS_TRANSPORT_UNKNOWN', `there is no transport named "${name}"`, {
      remedy: `Configured are: ${[...this.#byName.keys()].join(', ')}. Add it to transports of EventsModule.forRoot, or correct the name.`,
    });
  }

  /** Where a name is published: the first route that matches, else the first transport. */
  forName(name: string): Transport {
    const matching = this.#trie.match(name);
    return matching.length === 0 ? this.#first : (this.#routes[Math.min(...matching)]?.transport ?? this.#first);
  }

  /** Where events that match a pattern can arrive: one transport for a name, all whose routes overlap for a pattern. */
  forPattern(pattern: string): Transport[] {
    if (!hasWildcard(pattern)) return [this.forName(pattern)];
    const carriers = this.#routes.filter((route) => patternsOverlap(route.pattern, pattern));
    const found = new Set(carriers.map((route) => route.transport));
    // Names that no route covers go to the first transport, so a pattern that is not covered reaches there too.
    if (!this.#routes.some((route) => covers(route.pattern, pattern))) found.add(this.#first);
    return this.all.filter((transport) => found.has(transport));
  }
}

/** Whether some name matches both patterns. */
export function patternsOverlap(a: string, b: string): boolean {
  const left = a.split('.');
  const right = b.split('.');
  const seen = new Map<number, boolean>();
  const meet = (i: number, j: number): boolean => {
    const place = i * (right.length + 1) + j;
    const known = seen.get(place);
    if (known !== undefined) return known;
    const result = step(i, j);
    seen.set(place, result);
    return result;
  };
  const step = (i: number, j: number): boolean => {
    const [x, y] = [left[i], right[j]];
    if (x === undefined && y === undefined) return true;
    if (x === '#') return meet(i + 1, j) || (y !== undefined && meet(i, j + 1));
    if (y === '#') return meet(i, j + 1) || (x !== undefined && meet(i + 1, j));
    return x !== undefined && y !== undefined && (x === y || x === '*' || y === '*') && meet(i + 1, j + 1);
  };
  return meet(0, 0);
}

/** Whether every name of `inner` surely matches `outer`. May say no where it is yes; then a consumer too many listens. */
function covers(outer: string, inner: string): boolean {
  if (outer === inner || outer === '#') return true;
  const prefix = /^([^*#]+)\.#$/.exec(outer)?.[1];
  return prefix !== undefined && (inner === prefix || inner.startsWith(`${prefix}.`));
}

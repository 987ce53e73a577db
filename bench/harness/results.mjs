/** Collects what was measured, and writes it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { median } from './statistics.mjs';

/**
 * @typedef {import('./run-suite.mjs').Case} Case
 * @typedef {import('./run-suite.mjs').Entry} Entry
 *
 * @typedef {object} Result
 * @property {string} case
 * @property {string} contestant
 * @property {string} unit `events/s`: more is better; `ms`: less is better
 * @property {number} median
 * @property {number[]} rounds
 * @property {number} [cpuMicroseconds] of the contestant's process, per event; the median
 * @property {string} [baseline] the contestant it is compared with
 * @property {Record<string, number>} [facts] what else was counted; the medians
 * @property {boolean} [inOrder] in every round, events of one key were handled one after another and in order
 */

const OURS = 'nestjs-events';

export class Results {
  /** @type {string[]} */
  failures = [];
  /** @type {string[]} the order in which the suite lists them, whatever round came first */
  #order = [];
  /** @type {Map<string, Omit<Result, 'median' | 'cpuMicroseconds' | 'facts'> & { cpu: number[], facts: Record<string, number>[] }>} */
  #collected = new Map();

  /**
   * @param {Case} benchCase
   * @param {Entry} entry
   */
  expect({ title, entries }, entry) {
    if (!entries.includes(entry)) throw new Error(`${title} has no ${entry.contestant}`);
    const keys = entries.map(({ contestant }) => `${title}\n${contestant}`);
    for (const key of keys) if (!this.#order.includes(key)) this.#order.push(key);
  }

  /**
   * @param {Case} benchCase
   * @param {Entry} entry
   * @param {import('./types.mjs').Measured} measured
   * @returns {string} in a few words
   */
  add({ title }, { contestant, baseline }, { metrics, cpuMicroseconds, facts, inOrder }) {
    for (const { name, unit, value } of metrics) {
      const caseName = name ? `${title} ${name}` : title;
      const key = `${title}\n${contestant}\n${caseName}`;
      const empty = {
        case: caseName,
        contestant,
        ...(baseline ? { baseline } : {}),
        unit,
        rounds: [],
        cpu: [],
        facts: [],
      };
      const result = this.#collected.get(key) ?? empty;
      result.rounds.push(rounded(value));
      if (cpuMicroseconds !== undefined) result.cpu.push(cpuMicroseconds);
      if (facts) result.facts.push(facts);
      if (inOrder !== undefined) result.inOrder = inOrder && (result.inOrder ?? true);
      this.#collected.set(key, result);
    }
    return metrics.map(({ name = '', value, unit }) => `${name} ${rounded(value)} ${unit}`.trim()).join(', ');
  }

  /** @returns {Result[]} case by case */
  list() {
    const titles = [...this.#collected].sort(([a], [b]) => this.#rank(a) - this.#rank(b));
    const names = [...new Set(titles.map(([, result]) => result.case))];
    return names.flatMap((name) =>
      titles
        .filter(([, result]) => result.case === name)
        .map(([, { cpu, facts, inOrder, ...result }]) => ({
          ...result,
          median: median(result.rounds),
          ...(cpu.length > 0 ? { cpuMicroseconds: rounded(median(cpu)) } : {}),
          ...(facts.length > 0 ? { facts: medians(facts) } : {}),
          ...(inOrder === undefined ? {} : { inOrder }),
        })),
    );
  }

  /** @param {string} key */
  #rank(key) {
    return this.#order.indexOf(key.split('\n', 2).join('\n'));
  }
}

/**
 * @param {string} file
 * @param {Results} results
 * @param {Record<string, string>} versions of the broker
 */
export function writeResults(file, results, versions) {
  const [first] = cpus();
  const content = {
    date: new Date().toISOString(),
    node: process.version,
    cpu: `${first?.model ?? 'unknown'}, ${cpus().length} cores`,
    versions: { ...packageVersions(), ...versions },
    cases: results.list(),
  };
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);
}

/** Of this package, and of what is installed in bench/. */
function packageVersions() {
  const bench = join(import.meta.dirname, '..');
  const { dependencies } = JSON.parse(readFileSync(join(bench, 'package.json'), 'utf8'));
  const names = [OURS, ...Object.keys(dependencies)];
  return Object.fromEntries(
    names.map((name) => [
      name,
      JSON.parse(readFileSync(join(bench, 'node_modules', name, 'package.json'), 'utf8')).version,
    ]),
  );
}

/** @param {Record<string, number>[]} rounds with the same names */
function medians(rounds) {
  const names = Object.keys(rounds[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, rounded(median(rounds.map((facts) => facts[name] ?? NaN)))]));
}

/** @param {number} value with three digits that count */
function rounded(value) {
  return value >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

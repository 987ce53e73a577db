/** What a person sees: a line for each run, and a table for each case. */

/**
 * @param {string} text
 * @returns {(outcome: string) => void}
 */
export function progress(text) {
  process.stderr.write(`${text} … `);
  return (outcome) => process.stderr.write(`${outcome}\n`);
}

/**
 * @param {import('./results.mjs').Results} results
 * @returns {string[]} a table a case; ratios are to the baseline, mostly its first contestant, the raw client
 */
export function caseTables(results) {
  const all = results.list();
  const cases = [...new Set(all.map((result) => result.case))];
  return cases.map((name) => {
    const of = all.filter((result) => result.case === name);
    const heading = [name, of[0]?.unit ?? '', 'ratio', 'lowest–highest', 'CPU µs/event', 'order per key'];
    const rows = of.map((result) => [
      result.contestant,
      text(result.median),
      (result.median / Number(baselineOf(result, of)?.median)).toFixed(2),
      `${text(Math.min(...result.rounds))}–${text(Math.max(...result.rounds))}`,
      result.cpuMicroseconds === undefined ? '' : text(result.cpuMicroseconds),
      result.inOrder === undefined ? '' : result.inOrder ? 'kept' : 'not kept',
    ]);
    return `\n${aligned([heading, ...rows])}`;
  });
}

/**
 * @param {import('./results.mjs').Results} results
 * @returns {string[]} a table a case that counted more than its figure
 */
export function factTables(results) {
  const all = results.list().filter(({ facts }) => facts);
  const cases = [...new Set(all.map((result) => result.case))];
  return cases.map((name) => {
    const of = all.filter((result) => result.case === name);
    const names = [...new Set(of.flatMap(({ facts = {} }) => Object.keys(facts)))];
    const cells = (/** @type {Record<string, number>} */ facts) =>
      names.map((each) => (facts[each] === undefined ? '' : text(facts[each])));
    return `\n${aligned([[name, ...names], ...of.map(({ contestant, facts = {} }) => [contestant, ...cells(facts)])])}`;
  });
}

/**
 * @param {import('./results.mjs').Result} result
 * @param {import('./results.mjs').Result[]} of its case
 */
function baselineOf({ baseline }, of) {
  return of.find(({ contestant }) => contestant === baseline) ?? of[0];
}

/** @param {string[][]} rows */
function aligned(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** @param {number} value */
function text(value) {
  return value.toLocaleString('en-US', { maximumSignificantDigits: value >= 100 ? 21 : 3 });
}

type Cell = string | number;

/** Prints rows as a table below their title, past jest, which would frame it with a stack. */
export function printTable(title: string, rows: readonly Readonly<Record<string, Cell>>[]): void {
  const columns = Object.keys(rows[0] ?? {});
  const texts = [columns, ...rows.map((row) => columns.map((column) => String(row[column])))];
  const widths = columns.map((_, index) => Math.max(...texts.map((cells) => cells[index]?.length ?? 0)));
  const lines = texts.map((cells, line) =>
    cells
      .map((cell, index) => pad(cell, widths[index] ?? 0, isNumber(rows[line - 1]?.[columns[index] ?? ''])))
      .join('  '),
  );
  process.stdout.write(`\n${title}\n${lines.map((line) => `  ${line.trimEnd()}\n`).join('')}\n`);
}

function pad(cell: string, width: number, right: boolean): string {
  return right ? cell.padStart(width) : cell.padEnd(width);
}

function isNumber(cell: Cell | undefined): boolean {
  return typeof cell === 'number';
}

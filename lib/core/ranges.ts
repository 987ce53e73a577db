/** Names of options that are whole numbers, each with its least and greatest value. */
export type Ranges = Readonly<Record<string, readonly [min: number, max: number]>>;

export function isWholeNumber(value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/** What is wrong with those that are given. */
export function rangeProblems(options: object, ranges: Ranges, path = ''): string[] {
  return Object.entries(ranges).flatMap(([name, [min, max]]) => {
    const value = (options as Readonly<Record<string, unknown>>)[name];
    if (value === undefined || isWholeNumber(value, min, max)) return [];
    return [`${path}${name} must be a whole number from ${min} to ${max}`];
  });
}

import { isWholeNumber } from './ranges.js';
import type { RetryAction } from './retry-options.js';

type Unknown = Readonly<Record<string, unknown>>;
type Check = (path: string, value: unknown) => string[];

const TYPES = ['exponential', 'fixed', 'list'];
const ACTIONS: readonly RetryAction[] = ['retry-now', 'back-off', 'dead-letter', 'drop', 'pause'];

/** What is wrong with the retry options of the module or of a handler, each with its path. */
export function retryProblems(path: string, retry: unknown): string[] {
  return checkNames(path, retry, {
    attempts: wholeAbove0,
    backoff,
    maxElapsedMs: wholeAbove0,
    rules,
    breaker,
    crashes: wholeAbove0,
  });
}

const rules: Check = (path, value) => {
  if (!Array.isArray(value)) return [`${path} must be a list`];
  return (value as unknown[]).flatMap((each, index) => rule(`${path}[${index}]`, each));
};

const rule: Check = (path, value) => {
  const problems = checkNames(path, value, {
    class: (at, given) => (typeof given === 'function' ? [] : [`${at} must be a class of errors`]),
    code: (at, given) => (isCodes(given) ? [] : [`${at} must be a code, or a list of codes`]),
    when: (at, given) => (typeof given === 'function' ? [] : [`${at} must be a function of the error`]),
    action: oneOf(ACTIONS),
    attempts: wholeAbove0,
    backoff,
    maxElapsedMs: wholeAbove0,
    pauseMs: wholeAbove0,
  });
  if (!isObject(value)) return problems;
  if (value['action'] === undefined) problems.push(`${path}.action is missing (${ACTIONS.join(', ')})`);
  if (['class', 'code', 'when'].every((name) => value[name] === undefined)) {
    problems.push(`${path} needs at least one of class, code and when`);
  }
  return problems;
};

const backoff: Check = (path, value) => {
  const problems = checkNames(path, value, {
    type: oneOf(TYPES),
    initialMs: wholeAbove0,
    maxMs: wholeAbove0,
    delaysMs: (at, given) => (isDelays(given) ? [] : [`${at} must be a list of whole numbers, 0 or more`]),
    jitter: (at, given) => (typeof given === 'boolean' ? [] : [`${at} must be true or false`]),
  });
  if (isObject(value) && value['type'] === 'list' && value['delaysMs'] === undefined) {
    problems.push(`${path}.delaysMs is missing: the waits of the list in milliseconds`);
  }
  return problems;
};

const breaker: Check = (path, value) => checkNames(path, value, { backoff, rate });

const rate: Check = (path, value) => {
  const problems = checkNames(path, value, {
    failures: (at, given) => (isShare(given) ? [] : [`${at} must be a share above 0, at most 1`]),
    windowMs: wholeAbove0,
    minimum: wholeAbove0,
  });
  if (isObject(value) && value['failures'] === undefined) problems.push(`${path}.failures is missing`);
  return problems;
};

function checkNames(path: string, value: unknown, checks: Readonly<Record<string, Check>>): string[] {
  if (value === undefined) return [];
  if (!isObject(value)) return [`${path} must be an object`];
  return Object.entries(value).flatMap(([name, given]) => {
    if (!Object.hasOwn(checks, name)) {
      return [`${path}.${name} is not an option (known are ${Object.keys(checks).join(', ')})`];
    }
    return given === undefined ? [] : (checks[name]?.(`${path}.${name}`, given) ?? []);
  });
}

const wholeAbove0: Check = (path, value) => (isWholeNumber(value, 1) ? [] : [`${path} must be a whole number above 0`]);

function oneOf(names: readonly string[]): Check {
  const listed = names.map((name) => JSON.stringify(name)).join(', ');
  return (path, value) => (names.includes(value as string) ? [] : [`${path} must be one of ${listed}`]);
}

function isObject(value: unknown): value is Unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isShare(value: unknown): boolean {
  return typeof value === 'number' && value > 0 && value <= 1;
}

function isDelays(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((each) => isWholeNumber(each, 0));
}

function isCodes(value: unknown): boolean {
  const codes: unknown[] = Array.isArray(value) ? value : [value];
  return codes.length > 0 && codes.every((code) => typeof code === 'string' && code !== '');
}

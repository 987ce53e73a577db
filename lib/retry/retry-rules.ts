import { codeOf } from '../core/errors.js';
import type { RetryRule } from '../core/retry-options.js';
import { causesOf } from './error-kinds.js';

/** Told of a rule whose `when` has thrown. */
export type BrokenRule = (rule: RetryRule, thrown: unknown) => void;

/** The first rule that is about this error. */
export function ruleFor(error: unknown, rules: readonly RetryRule[], broken: BrokenRule): RetryRule | undefined {
  if (rules.length === 0) return undefined;
  const causes = causesOf(error);
  return rules.find((rule) => isOfClass(rule, causes) && hasCode(rule, causes) && holds(rule, error, broken));
}

function isOfClass({ class: wanted }: RetryRule, causes: readonly unknown[]): boolean {
  return wanted === undefined || causes.some((cause) => cause instanceof wanted);
}

function hasCode({ code }: RetryRule, causes: readonly unknown[]): boolean {
  if (code === undefined) return true;
  const wanted = typeof code === 'string' ? [code] : code;
  return causes.some((cause) => wanted.includes(codeOf(cause)));
}

function holds(rule: RetryRule, error: unknown, broken: BrokenRule): boolean {
  if (rule.when === undefined) return true;
  try {
    return rule.when(error);
  } catch (thrown) {
    broken(rule, thrown);
    return false;
  }
}

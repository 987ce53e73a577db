import { codeOf, isEventsError } from '../core/errors.js';

/**
 * What kind of failure an error is.
 * - `dependency`: something the handler needs is away. Waiting helps, the event is not to blame, no attempt is used up.
 * - `busy`: another delivery of the same event is still being handled. It waits; no attempt is used up, and nothing is broken.
 * - `conflict`: PostgreSQL ended the transaction in favour of another one. At once again, no attempt is used up.
 * - `permanent`: another attempt cannot change it (denied, invalid, undecodable). Dead letter at once.
 * - `transient`: everything else; retried by the policy.
 */
export type ErrorKind = 'dependency' | 'busy' | 'conflict' | 'permanent' | 'transient';

/** Node's network codes, PostgreSQL's connection classes (08, 53, 57P) and this library's own. */
const DEPENDENCY_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'ESOCKETTIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_SOCKET',
  'EVENTS_TRANSPORT_UNREACHABLE',
  'EVENTS_PUBLISH_TIMEOUT',
  'EVENTS_TRANSPORT_CLOSED',
]);
const DEPENDENCY_SQLSTATE = /^(08...|53...|57P0[1-3])$/;
/** Serialization failure and deadlock: the same work on a new snapshot goes through. */
const CONFLICT_SQLSTATE = new Set(['40001', '40P01']);
/** pg's pool and client say these without a code. */
const DEPENDENCY_MESSAGES =
  /^(timeout exceeded when trying to connect|connection terminated|client has encountered a connection error)/i;
const PERMANENT_CODES = new Set([
  'EVENTS_UNDECODABLE',
  'EVENTS_ENVELOPE_INVALID',
  'EVENTS_IDEMPOTENCY_KEY_INVALID',
  'EVENTS_NAME_INVALID',
  'EVENTS_HEADER_INVALID',
  'EVENTS_DATA_NOT_SERIALIZABLE',
  'EVENTS_PAYLOAD_TOO_LARGE',
  'EVENTS_TRANSACTION_REQUIRED',
  'EVENTS_OUTBOX_MISSING',
  'EVENTS_DELAY_INVALID',
  'EVENTS_DELAY_UNSUPPORTED',
]);
/** What guards and validation pipes throw: 400, 401, 403, 422. Other HTTP errors say nothing about the event. */
const PERMANENT_STATUS = new Set([400, 401, 403, 422]);
const MAX_CAUSES = 5;

/** Looks at the error and at what caused it: clients wrap (`fetch` throws a TypeError with a network cause). */
export function kindOf(error: unknown): ErrorKind {
  if (isPermanent(error)) return 'permanent';
  const causes = causesOf(error);
  if (causes.some((cause) => isEventsError(cause, 'EVENTS_DUPLICATE_BUSY'))) return 'busy';
  if (causes.some(isDependency)) return 'dependency';
  return causes.some((cause) => CONFLICT_SQLSTATE.has(codeOf(cause))) ? 'conflict' : 'transient';
}

function isDependency(error: unknown): boolean {
  const code = codeOf(error);
  if (DEPENDENCY_CODES.has(code) || DEPENDENCY_SQLSTATE.test(code)) return true;
  return error instanceof Error && DEPENDENCY_MESSAGES.test(error.message);
}

function isPermanent(error: unknown): boolean {
  if (isEventsError(error)) return PERMANENT_CODES.has(error.code);
  if (typeof error !== 'object' || error === null) return false;
  // Nest's HttpException keeps its status in a method; duck-typed so that another copy of Nest counts too.
  const { getStatus } = error as { getStatus?: () => unknown };
  return typeof getStatus === 'function' && PERMANENT_STATUS.has(Number(getStatus.call(error)));
}

/** The error, its causes, and the members of aggregates and of TypeORM's `driverError`, a few levels deep. */
export function causesOf(error: unknown): unknown[] {
  const found: unknown[] = [];
  let level: unknown[] = [error];
  for (let depth = 0; depth < MAX_CAUSES && level.length > 0; depth++) {
    found.push(...level);
    level = level.flatMap(directCauses).filter((each) => !found.includes(each));
  }
  return found;
}

function directCauses(error: unknown): unknown[] {
  if (typeof error !== 'object' || error === null) return [];
  const { cause, errors, driverError } = error as { cause?: unknown; errors?: unknown; driverError?: unknown };
  return [cause, driverError, ...(Array.isArray(errors) ? (errors as unknown[]) : [])].filter((each) => each != null);
}

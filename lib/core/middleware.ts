import { EventsError } from './errors.js';

/** One concern around what comes next, like a trace or a deadline. It may act before and after, replace the result or not call `next` at all. */
export type Middleware<Context, Result> = (context: Context, next: () => Promise<Result>) => Promise<Result>;

/** Nests middleware around a last step, the first outermost. Calling `next` twice in one middleware throws EVENTS_NEXT_CALLED_TWICE. */
export function compose<Context, Result>(
  middleware: readonly Middleware<Context, Result>[],
  last: (context: Context) => Promise<Result>,
): (context: Context) => Promise<Result> {
  return (context) => {
    let reached = -1;
    const run = async (index: number): Promise<Result> => {
      if (index <= reached) {
        throw new EventsError('EVENTS_NEXT_CALLED_TWICE', 'a middleware called next() more than once', {
          remedy: 'Call next() at most once; to try again, return a retry outcome.',
        });
      }
      reached = index;
      const current = middleware[index];
      return current === undefined ? last(context) : current(context, () => run(index + 1));
    };
    return run(0);
  };
}

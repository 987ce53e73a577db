import { isObservable, lastValueFrom } from 'rxjs';

/** What a handler or a filter returns may be a value, a promise, an Observable, or a promise of one; one that completes without a value is none. */
export async function settled(returned: unknown): Promise<unknown> {
  const value = await returned;
  return isObservable(value) ? lastValueFrom(value, { defaultValue: undefined }) : value;
}

/** Only what the event itself says: `@Payload('constructor')` is no way to a prototype. */
export function ownProperty(data: unknown, property: string): unknown {
  return typeof data === 'object' && data !== null && Object.hasOwn(data, property)
    ? (data as Record<string, unknown>)[property]
    : undefined;
}

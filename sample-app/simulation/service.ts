/** The services behind a checkout, in the order in which the direct way calls them. */
export const SERVICES = ['inventory', 'payment', 'email', 'analytics'] as const;
export type Service = (typeof SERVICES)[number];

export type ServerName = 'kafka' | 'rabbitmq' | 'postgres';
export function isControllable(name: ServerName): boolean;
export function kill(name: ServerName, signalName?: NodeJS.Signals): Promise<void>;
export function startAgain(name: ServerName): Promise<void>;
export function waitReady(name: ServerName, deadlineMs?: number): Promise<void>;

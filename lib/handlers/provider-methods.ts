import type { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import type { Module } from '@nestjs/core/injector/module.js';
import { EventsError } from '../core/errors.js';
import { assertEventPattern } from '../core/event-name.js';
import { EventsFeatureModule, FEATURE_OPTIONS, type EventsFeatureOptions } from './feature-group.js';

/** Ids and groups become part of queue, topic and consumer names. */
export const HANDLER_ID = /^[A-Za-z0-9_.-]{1,120}$/;

/** A method of a provider or controller. */
export interface ProviderMethod {
  readonly wrapper: InstanceWrapper<object>;
  readonly method: string;
  readonly callback: object;
  /** `Class.method`. */
  readonly label: string;
}

export interface DiscoveryTools {
  readonly discovery: DiscoveryService;
  readonly scanner: MetadataScanner;
}

/** All methods of all providers and controllers. */
export function* providerMethods({ discovery, scanner }: DiscoveryTools): Iterable<ProviderMethod> {
  for (const found of [...discovery.getProviders(), ...discovery.getControllers()]) {
    const wrapper = found as InstanceWrapper<object>;
    // An alias (useExisting) is the same instance under another token: it would be handled twice.
    const prototype = wrapper.isAlias ? undefined : prototypeOf(wrapper);
    if (prototype === undefined) continue;
    for (const method of scanner.getAllMethodNames(prototype)) {
      const callback: unknown = Reflect.get(prototype, method);
      const label = `${className(prototype)}.${method}`;
      if (typeof callback === 'function') yield { wrapper, method, callback, label };
    }
  }
}

/** The group of the Nest module that a provider is in, if it has one of its own. */
export function featureGroup(host: Module | undefined): string | undefined {
  for (const imported of host?.imports ?? []) {
    if (imported.metatype !== EventsFeatureModule) continue;
    return (imported.providers.get(FEATURE_OPTIONS)?.instance as EventsFeatureOptions | undefined)?.group;
  }
  return undefined;
}

/** Throws EVENTS_PATTERN_INVALID, which names the handler. */
export function checkPattern(pattern: string, handler: string): void {
  try {
    assertEventPattern(pattern);
  } catch (error) {
    throw error instanceof EventsError ? error.concerning({ handler }) : error;
  }
}

/** The prototype a provider's methods are on, without touching instances that do not exist yet (request scope). */
function prototypeOf(wrapper: InstanceWrapper<object>): object | undefined {
  if (!wrapper.isNotMetatype && typeof wrapper.metatype === 'function') {
    return wrapper.metatype.prototype as object | undefined;
  }
  const { instance } = wrapper as { instance: unknown };
  return typeof instance === 'object' && instance !== null ? (Object.getPrototypeOf(instance) as object) : undefined;
}

function className(prototype: object): string {
  return (prototype.constructor as { name?: string } | undefined)?.name ?? 'anonymous';
}

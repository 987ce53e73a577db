import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { appConfig, type AppConfig } from '../config/app.config.js';
import { SERVICES, type Service } from './service.js';

export interface Behaviour {
  readonly latencyMs: number;
  /** The service answers, with an error: each try is an attempt, and the last leads to the dead letters. */
  readonly failing: boolean;
  /** The service cannot be reached: no attempt is used up, the event waits until it can. */
  readonly down: boolean;
}

const LATENCY_MS: Record<Service, number> = { inventory: 150, payment: 800, email: 300, analytics: 2_000 };

/** Stands where a real module calls a warehouse or a payment provider. What it is told holds for this process. */
@Injectable()
export class Simulation {
  readonly #behaviours: Record<Service, Behaviour>;

  constructor(@Inject(appConfig.KEY) { latencyScale }: AppConfig) {
    const usual = (service: Service): Behaviour => ({
      latencyMs: Math.round(LATENCY_MS[service] * latencyScale),
      failing: false,
      down: false,
    });
    this.#behaviours = {
      inventory: usual('inventory'),
      payment: usual('payment'),
      email: usual('email'),
      analytics: usual('analytics'),
    };
  }

  all(): Record<Service, Behaviour> {
    return { ...this.#behaviours };
  }

  /** What is not given stays as it is. */
  change(service: Service, changes: { [K in keyof Behaviour]?: Behaviour[K] | undefined }): Behaviour {
    const now = this.#behaviours[service];
    return (this.#behaviours[service] = {
      latencyMs: changes.latencyMs ?? now.latencyMs,
      failing: changes.failing ?? now.failing,
      down: changes.down ?? now.down,
    });
  }

  async call(service: Service): Promise<void> {
    const { latencyMs, failing, down } = this.#behaviours[service];
    if (down) throw new ConnectionRefused(service);
    if (failing) throw new Error(`${service} answered with an error (simulated)`);
    await sleep(latencyMs);
  }
}

/** As Node reports it when nobody listens: by its code the library knows a broken dependency from a bad event. */
export class ConnectionRefused extends Error {
  readonly code = 'ECONNREFUSED';

  constructor(service: Service) {
    super(`connect ECONNREFUSED: ${service} is down (simulated)`);
  }
}

export const isService = (name: string): name is Service => (SERVICES as readonly string[]).includes(name);

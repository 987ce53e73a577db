import { Module, type DynamicModule } from '@nestjs/common';

export interface EventsFeatureOptions {
  /** The group of the handlers in the Nest module that imports this: their own lag, pace and failures. */
  readonly group: string;
}

export const FEATURE_OPTIONS = Symbol('nestjs-events.feature-options');

/** What `EventsModule.forFeature` imports: a mark on the importing module that the explorer reads. */
@Module({})
export class EventsFeatureModule {
  static register(options: EventsFeatureOptions): DynamicModule {
    return { module: EventsFeatureModule, providers: [{ provide: FEATURE_OPTIONS, useValue: options }] };
  }
}

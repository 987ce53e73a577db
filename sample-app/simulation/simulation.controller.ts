import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import { z } from 'zod';
import { ZodPipe } from '../http/zod.pipe.js';
import { SERVICES, type Service } from './service.js';
import { Simulation, type Behaviour } from './simulation.js';

const simulateRequest = z.strictObject({
  service: z.enum(SERVICES),
  latencyMs: z.int().min(0).max(60_000).optional(),
  failing: z.boolean().optional(),
  down: z.boolean().optional(),
});
type SimulateRequest = z.infer<typeof simulateRequest>;

@Controller('simulate')
export class SimulationController {
  constructor(private readonly simulation: Simulation) {}

  @Get()
  behaviours(): Record<Service, Behaviour> {
    return this.simulation.all();
  }

  @Post()
  @HttpCode(200)
  change(@Body(new ZodPipe(simulateRequest)) { service, ...changes }: SimulateRequest): Record<Service, Behaviour> {
    this.simulation.change(service, changes);
    return this.simulation.all();
  }
}

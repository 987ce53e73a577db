import { Global, Module } from '@nestjs/common';
import { Simulation } from './simulation.js';
import { SimulationController } from './simulation.controller.js';

@Global()
@Module({ controllers: [SimulationController], providers: [Simulation], exports: [Simulation] })
export class SimulationModule {}

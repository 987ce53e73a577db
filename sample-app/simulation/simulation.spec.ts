import { beforeEach, describe, expect, test } from '@jest/globals';
import { readConfig } from '../config/app.config.js';
import { Simulation } from './simulation.js';

describe('a simulated service', () => {
  let simulation: Simulation;

  beforeEach(() => {
    simulation = new Simulation(readConfig({ SIMULATED_LATENCY_SCALE: '0' }));
  });

  test('takes as long as in the article, times the scale', () => {
    const latencies = (scale: string): number[] =>
      Object.values(new Simulation(readConfig({ SIMULATED_LATENCY_SCALE: scale })).all()).map(
        ({ latencyMs }) => latencyMs,
      );
    expect(latencies('1')).toEqual([150, 800, 300, 2_000]);
    expect(latencies('0.1')).toEqual([15, 80, 30, 200]);
  });

  test('answers', async () => {
    await expect(simulation.call('payment')).resolves.toBeUndefined();
  });

  test('throws an ordinary error when it fails, which uses up attempts', async () => {
    simulation.change('payment', { failing: true });
    await expect(simulation.call('payment')).rejects.toThrow('payment answered with an error');
    await expect(simulation.call('email')).resolves.toBeUndefined();
  });

  test('is a broken dependency when it is down, also while it fails', async () => {
    simulation.change('payment', { failing: true, down: true });
    await expect(simulation.call('payment')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('keeps what a change does not mention', () => {
    simulation.change('email', { failing: true });
    expect(simulation.change('email', { latencyMs: 5, down: undefined })).toEqual({
      latencyMs: 5,
      failing: true,
      down: false,
    });
  });
});

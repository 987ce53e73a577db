import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Watermark, type WatermarkEntry } from './watermark.js';

const steps = fc.array(
  fc.oneof(
    fc.record({ gap: fc.integer({ min: 1, max: 5 }), bytes: fc.nat(100) }),
    fc.record({ settle: fc.nat(1_000) }),
  ),
  { maxLength: 80 },
);

describe('Watermark', () => {
  it('stands at the end of the settled stretch, whatever the order of settling and the gaps', () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const watermark = new Watermark<number>();
        const model: { entry: WatermarkEntry<number>; position: number; bytes: number; settled: boolean }[] = [];
        const firstOpen = (): number => {
          const index = model.findIndex((each) => !each.settled);
          return index < 0 ? model.length : index;
        };
        let position = 0;
        for (const step of plan) {
          if ('gap' in step) {
            position += step.gap;
            model.push({ entry: watermark.add(position, step.bytes), position, bytes: step.bytes, settled: false });
          } else if (model.length > 0) {
            // Any entry, also one that was settled before.
            const each = model[step.settle % model.length] as (typeof model)[number];
            const before = firstOpen();
            each.settled = true;
            expect(watermark.settle(each.entry)).toBe(firstOpen() > before);
            expect(each.entry.settled).toBe(true);
          }
          const above = model.slice(firstOpen());
          expect(watermark.position).toBe(model[firstOpen() - 1]?.position);
          expect(watermark.size).toBe(above.length);
          expect(watermark.bytes).toBe(above.reduce((sum, each) => sum + each.bytes, 0));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('does not move, nor count twice, when an entry is settled twice', () => {
    const watermark = new Watermark<string>();
    const [first, second] = [watermark.add('1', 10), watermark.add('2', 20)];
    expect(watermark.settle(second)).toBe(false);
    expect(watermark.settle(second)).toBe(false);
    expect(watermark.position).toBeUndefined();
    expect(watermark.settle(first)).toBe(true);
    expect(watermark.settle(first)).toBe(false);
    expect([watermark.position, watermark.size, watermark.bytes]).toEqual(['2', 0, 0]);
  });

  it('keeps its position when everything is settled and new positions come', () => {
    const watermark = new Watermark<number>();
    watermark.settle(watermark.add(7));
    watermark.add(9, 5);
    expect([watermark.position, watermark.size, watermark.bytes]).toEqual([7, 1, 5]);
  });
});

import type * as KafkajsModule from 'kafkajs';
import type { CompressionTypes } from 'kafkajs';
import type { KafkaCompression } from './kafka.options.js';
import { packageMissing } from './kafka.errors.js';

type Kafkajs = (typeof KafkajsModule)['default'];

/**
 * Makes the codec known to kafkajs and returns its number. kafkajs keeps codecs in one table for the whole process: one
 * that somebody else has put there stays. Throws EVENTS_PACKAGE_MISSING.
 */
export async function codecFor(compression: KafkaCompression, kafkajs: Kafkajs): Promise<CompressionTypes> {
  const { None, GZIP, LZ4 } = kafkajs.CompressionTypes;
  // Also when publishing does without: another program's records may be compressed.
  const lz4 = await registerLz4(kafkajs).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (compression !== 'lz4') return compression === 'gzip' ? GZIP : None;
  if (lz4 !== undefined) {
    throw packageMissing('lz4-napi', 'kafka() compresses with lz4 unless `compression` is "gzip" or "none"', lz4);
  }
  return LZ4;
}

async function registerLz4({ CompressionCodecs, CompressionTypes }: Kafkajs): Promise<void> {
  if (isRegistered(CompressionCodecs[CompressionTypes.LZ4])) return;
  const { compressFrame, decompressFrame } = await import('lz4-napi');
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: ({ buffer }: { buffer: Buffer }) => compressFrame(buffer),
    decompress: (buffer: Buffer) => decompressFrame(buffer),
  });
}

/** kafkajs's placeholder throws. */
function isRegistered(codec: unknown): boolean {
  try {
    return typeof codec === 'function' && Boolean((codec as () => unknown)());
  } catch {
    return false;
  }
}

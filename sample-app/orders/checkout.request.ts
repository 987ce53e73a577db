import { z } from 'zod';

// n.b. PostgreSQL's text cannot hold U+0000 or half a character.
const text = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .refine((value) => !value.includes('\0') && value.isWellFormed(), { error: 'must be plain text' });

export const checkoutRequest = z.object({
  userId: text,
  items: z
    .array(
      z.object({
        sku: text,
        quantity: z.int().min(1).max(1_000),
        price: z.number().min(0).max(100_000),
      }),
    )
    .min(1)
    .max(100),
});
export type CheckoutRequest = z.infer<typeof checkoutRequest>;

/** In cents, rounded per piece: adding up fractions of euros would lose some. */
export function totalCents({ items }: CheckoutRequest): number {
  return items.reduce((sum, { price, quantity }) => sum + Math.round(price * 100) * quantity, 0);
}

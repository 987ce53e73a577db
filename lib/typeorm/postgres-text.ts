/** PostgreSQL's text holds every character but U+0000; a lone surrogate has no UTF-8 form and would come back as another string. */
export function isStorableText(text: string): boolean {
  return text.isWellFormed() && !text.includes('\u0000');
}

/** A text that PostgreSQL can hold, different for every different text. */
export function escapeText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\u0000', '\\0');
}

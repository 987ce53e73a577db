/**
 * What a decorator does to a method and its first parameter, for code that no compiler sees.
 * @param {abstract new (...args: any[]) => any} Class
 * @param {string} method
 * @param {{ method: ((target: object, key: string, descriptor: PropertyDescriptor) => unknown)[], parameters?: ParameterDecorator[] }} decorators
 */
export function decorateMethod(Class, method, { method: decorators, parameters = [] }) {
  parameters.forEach((decorate, index) => decorate(Class.prototype, method, index));
  const descriptor = Object.getOwnPropertyDescriptor(Class.prototype, method) ?? {};
  for (const decorate of decorators) decorate(Class.prototype, method, descriptor);
}

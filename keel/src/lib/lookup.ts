const { hasOwnProperty: has } = Object.prototype;

/** The entry of a table for a word from outside: `constructor` and its like, which every object has, are no entries. */
export function lookup<T>(table: { readonly [word: string]: T }, word: string): T | undefined {
  return has.call(table, word) ? table[word] : undefined;
}

/** Value of a variable in a list of NAME=VALUE, or undefined; the last one counts. */
export function envValue(env: readonly string[], name: string): string | undefined {
  for (let i = env.length - 1; i >= 0; i--) {
    const entry = env[i] as string;
    if (entry.indexOf(`${name}=`) === 0) return entry.substring(name.length + 1);
  }
  return undefined;
}

/** The list with the variable set, in place of any earlier one. */
export function withEnv(env: readonly string[], name: string, value: string): string[] {
  const kept = env.filter((entry) => entry.indexOf(`${name}=`) !== 0);
  kept.push(`${name}=${value}`);
  return kept;
}

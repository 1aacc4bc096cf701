/** Bytes of `64M`, `1.5g`, `100kb`, `2GiB` (all powers of 1024, as docker and runc read them) or `-1`; undefined when it is none. */
export function parseBytes(text: string): number | undefined {
  if (text === "-1") return -1;
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/.exec(text.toLowerCase());
  if (!match) return undefined;
  const power = match[2] === "" ? 0 : "kmgtp".indexOf(match[2] as string) + 1;
  return Math.floor(Number(match[1]) * Math.pow(1024, power));
}

const UNITS_MS: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a Go duration such as `5s`, `1m30s` or `500ms`; undefined when it is none. */
export function parseMilliseconds(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = text.match(/\d+(\.\d+)?(ms|s|m|h)/g) || [];
  let total = 0;
  for (let i = 0; i < parts.length; i++) {
    const [, number, unit] = /^([\d.]+)(.*)$/.exec(parts[i] as string) as unknown as [string, string, string];
    total += Number(number) * (UNITS_MS[unit] as number);
  }
  return total;
}

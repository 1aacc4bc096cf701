/** One authentication scheme that a server offers (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Keys in lower case. */
  readonly params: Readonly<Record<string, string>>;
}

const MAX_HEADER = 16_384;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const GAP = /[\s,]*/y;
const EQUALS = /\s*=\s*/y;

/** Reads a WWW-Authenticate header, which may offer several schemes; reading stops at the first malformed place. */
export function parseChallenges(header: string): readonly Challenge[] {
  const text = header.slice(0, MAX_HEADER);
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at = pattern.lastIndex;
    return match;
  };
  const found: { scheme: string; params: Record<string, string> }[] = [];
  for (;;) {
    take(GAP);
    const name = take(TOKEN)?.[0].toLowerCase();
    if (name === undefined) return found;
    if (take(EQUALS) === null) {
      found.push({ scheme: name, params: {} });
      continue;
    }
    const quoted = take(QUOTED);
    const value = quoted ? (quoted[1] ?? "").replaceAll(/\\(.)/g, "$1") : take(TOKEN)?.[0];
    const last = found.at(-1);
    if (value === undefined || last === undefined) return found;
    last.params[name] = value;
  }
}

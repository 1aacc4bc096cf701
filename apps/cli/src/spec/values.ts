import { BerthError } from "@berth/base";

/** What of this process a specification may depend on. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly readFile: (path: string) => string;
}

export function invalid(message: string, hint?: string): BerthError {
  return new BerthError("InvalidArgument", message, { hint });
}

/** `KEY=VALUE`, or `KEY`: this process' value, left out when it has none. */
export function parseEnv(items: readonly string[], env: NodeJS.ProcessEnv): readonly string[] {
  return items.flatMap((item) => {
    if (item === "" || item.startsWith("=")) throw invalid(`parse environment variable "${item}": it has no name`);
    if (item.includes("=")) return [item];
    const value = env[item];
    return value === undefined ? [] : [`${item}=${value}`];
  });
}

/** Lines of an env or label file: without blank lines and those that begin with #. */
export function parseLines(text: string, path: string): readonly string[] {
  const lines = text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== "" && !line.startsWith("#"));
  for (const line of lines) {
    const key = line.split("=", 1)[0] ?? "";
    if (key === "" || /\s/.test(key)) throw invalid(`read ${path}: "${key}" is no variable name`);
  }
  return lines;
}

/** `KEY=VALUE` or `KEY` to a record; later ones win. */
export function parsePairs(
  items: readonly string[],
  flag: string,
  needsValue: boolean,
): Readonly<Record<string, string>> {
  const pairs: Record<string, string> = {};
  for (const item of items) {
    const equals = item.indexOf("=");
    if (item === "" || equals === 0 || (needsValue && equals < 0)) {
      throw invalid(`invalid argument "${item}" for "${flag}" flag: write KEY=VALUE`);
    }
    const key = equals < 0 ? item : item.slice(0, equals);
    Object.defineProperty(pairs, key, {
      value: equals < 0 ? "" : item.slice(equals + 1),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return pairs;
}

/** One line of comma-separated values; a value may be quoted, `""` within it is a quote. */
export function parseCsv(text: string): readonly string[] {
  const fields: string[] = [];
  const pattern = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = pattern.exec(text);
    if (match === null) throw invalid(`parse "${text}": quotes do not match`);
    fields.push(match[1] === undefined ? (match[2] ?? "") : match[1].replaceAll('""', '"'));
    if (match[3] === "") return fields;
  }
}

export function parseTruth(text: string, flag: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True", ""].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw invalid(`invalid argument "${text}" for "${flag}": write true or false`);
}

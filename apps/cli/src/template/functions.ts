import { BerthError } from "@berth/base";

/** Go's truth: false, 0, "", nil and the empty list or map are false. */
export function isTrue(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === 0 || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  return value instanceof Map ? value.size > 0 : true;
}

/** As Go's fmt prints with %v: `map[a:1]`, `[x y]`, `{v1 v2}`. */
export function show(value: unknown): string {
  if (value === undefined) return "<no value>";
  return showNested(value);
}

function showNested(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(showNested).join(" ")}]`;
  if (value instanceof Map)
    return `map[${sorted(value)
      .map(([key, item]) => `${key}:${showNested(item)}`)
      .join(" ")}]`;
  if (typeof value === "object") return `{${Object.values(value).map(showNested).join(" ")}}`;
  return String(value);
}

function sorted(map: ReadonlyMap<unknown, unknown>): readonly (readonly [string, unknown])[] {
  const entries = [...map].map(([key, value]) => [String(key), value] as const);
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** JSON in which Go maps are objects with sorted keys. */
export function toJson(value: unknown, indent?: string): string {
  const plain = (_key: string, item: unknown): unknown => {
    if (item instanceof Map) return Object.fromEntries(sorted(item));
    return typeof item === "function" ? (item as () => unknown)() : item;
  };
  return JSON.stringify(value, plain, indent) ?? "null";
}

type Fn = (...args: readonly unknown[]) => unknown;

const fail = (why: string): BerthError => new BerthError("InvalidArgument", `template: ${why}`);
const text = (value: unknown): string => (typeof value === "string" ? value : show(value));

function list(name: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (value === null || value === undefined) return [];
  throw fail(`${name}: ${show(value)} is no list`);
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  throw fail(`len of ${show(value)}: it has no length`);
}

function indexOf(value: unknown, ...keys: readonly unknown[]): unknown {
  return keys.reduce((at, key) => {
    if (at instanceof Map) return at.get(text(key)) ?? "";
    if (Array.isArray(at) || typeof at === "string") {
      if (typeof key !== "number" || key < 0 || key >= at.length) throw fail(`index out of range: ${show(key)}`);
      return typeof at === "string" ? at.charCodeAt(key) : at[key];
    }
    throw fail(`can't index ${show(at)}`);
  }, value);
}

function compare(name: string, a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  throw fail(`${name}: incompatible types for comparison of ${show(a)} and ${show(b)}`);
}

/** Go's Printf for the verbs that make sense here: s v d q t x X f c and %. */
export function printf(format: unknown, ...args: readonly unknown[]): string {
  let next = 0;
  const done = text(format).replaceAll(
    /%([-+# 0]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (_all, flags, width, precision, verb) => {
      if (verb === "%") return "%";
      if (next >= args.length) return `%!${verb}(MISSING)`;
      const shown = formatVerb(verb, args[next++], precision === undefined ? undefined : Number(precision));
      if (flags.includes("-")) return shown.padEnd(Number(width));
      return shown.padStart(Number(width), flags.includes("0") ? "0" : " ");
    },
  );
  return next < args.length ? `${done}%!(EXTRA ${args.slice(next).map(show).join(", ")})` : done;
}

function formatVerb(verb: string, value: unknown, precision: number | undefined): string {
  switch (verb) {
    case "q":
      return JSON.stringify(text(value));
    case "x":
    case "X": {
      const hex = typeof value === "number" ? value.toString(16) : Buffer.from(text(value)).toString("hex");
      return verb === "X" ? hex.toUpperCase() : hex;
    }
    case "f":
      return Number(value).toFixed(precision ?? 6);
    case "c":
      return String.fromCodePoint(Number(value));
    case "s":
    case "v":
      return text(value).slice(0, precision);
    case "d":
    case "t":
      return text(value);
    default:
      throw fail(`printf: unknown verb %${verb}`);
  }
}

function print(...args: readonly unknown[]): string {
  return args
    .map((arg, i) =>
      i > 0 && typeof arg !== "string" && typeof args[i - 1] !== "string" ? ` ${text(arg)}` : text(arg),
    )
    .join("");
}

const title = (value: unknown): string =>
  text(value).replaceAll(/(^|\s)(\S)/g, (_a, space, c) => space + c.toUpperCase());
const equal = (a: unknown, b: unknown): boolean =>
  a === b || (a === undefined && b === null) || (a === null && b === undefined);

const FUNCTIONS: Readonly<Record<string, Fn>> = {
  json: (value) => toJson(value ?? null),
  upper: (value) => text(value).toUpperCase(),
  lower: (value) => text(value).toLowerCase(),
  title,
  join: (items, separator) => list("join", items).map(text).join(text(separator)),
  split: (value, separator) => text(value).split(text(separator)),
  truncate: (value, length) => Array.from(text(value)).slice(0, Number(length)).join(""),
  pad: (value, before, after) => " ".repeat(Number(before)) + text(value) + " ".repeat(Number(after)),
  printf,
  print,
  println: (...args) => `${args.map(text).join(" ")}\n`,
  len: lengthOf,
  index: indexOf,
  not: (value) => !isTrue(value),
  eq: (first, ...others) => others.some((other) => equal(first, other)),
  ne: (a, b) => !equal(a, b),
  lt: (a, b) => compare("lt", a, b) < 0,
  le: (a, b) => compare("le", a, b) <= 0,
  gt: (a, b) => compare("gt", a, b) > 0,
  ge: (a, b) => compare("ge", a, b) >= 0,
};

/** @throws {BerthError} InvalidArgument for an unknown function or arguments that do not fit */
export function callFunction(name: string, args: readonly unknown[]): unknown {
  const fn = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (fn === undefined) {
    throw new BerthError("InvalidArgument", `template parsing error: function "${name}" not defined`, {
      hint: `the functions are ${[...Object.keys(FUNCTIONS), "and", "or"].sort().join(", ")}`,
    });
  }
  return fn(...args);
}

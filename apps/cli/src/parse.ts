import { BerthError, parseBytes } from "@berth/base";
import type { Command, FlagSpec, Flags } from "./command.ts";
import { usageError } from "./errors.ts";

type Value = boolean | string | number | readonly string[] | undefined;

export interface Parsed {
  readonly args: readonly string[];
  /** One entry per declared flag. */
  readonly flags: Readonly<Record<string, Value>>;
  /** `--help` was there; then arguments and flags are not complete. */
  readonly help: boolean;
}

interface Rules {
  /** For messages: the command's name, empty for berth itself. */
  readonly name: string;
  readonly flags: Flags;
  readonly stopAtArgument: boolean;
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  "1": true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  "0": false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
};

/** Docker's exit code for a flag that cannot be understood. */
const BAD_FLAG = 125;

/**
 * Reads a command line by docker's rules: `--flag value`, `--flag=value`, `-f value`, `-fvalue`, `-f=value`, clusters
 * such as `-it`, and `--` that ends the flags.
 *
 * @throws {BerthError} InvalidArgument with an exit code in its details
 */
export function parseFlags(argv: readonly string[], rules: Rules): Parsed {
  const values = initialValues(rules.flags);
  const args: string[] = [];
  let at = 0;
  while (at < argv.length) {
    const word = argv[at++] ?? "";
    if (word === "--") return { args: [...args, ...argv.slice(at)], flags: values, help: false };
    if (!word.startsWith("-") || word === "-") {
      args.push(word);
      if (rules.stopAtArgument) return { args: [...args, ...argv.slice(at)], flags: values, help: false };
      continue;
    }
    const next = (): string | undefined => argv[at++];
    const wantsHelp = word.startsWith("--")
      ? parseLong(word, next, values, rules)
      : parseShort(word, next, values, rules);
    if (wantsHelp) return { args, flags: values, help: true };
  }
  return { args, flags: values, help: false };
}

function initialValues(flags: Flags): Record<string, Value> {
  const values: Record<string, Value> = {};
  for (const [name, flag] of Object.entries(flags)) {
    values[name] = flag.type === "list" ? [] : flag.type === "boolean" ? (flag.initial ?? false) : undefined;
  }
  return values;
}

function parseLong(word: string, next: () => string | undefined, values: Record<string, Value>, rules: Rules): boolean {
  const equals = word.indexOf("=");
  const typed = word.slice(2, equals < 0 ? undefined : equals);
  const found = findLong(rules.flags, typed);
  if (found === undefined) {
    if (typed === "help") return true;
    throw usageError(`unknown flag: --${typed}`, rules.name, BAD_FLAG);
  }
  const [name, flag] = found;
  let text = equals < 0 ? undefined : word.slice(equals + 1);
  if (text === undefined && flag.type !== "boolean") {
    text = next();
    if (text === undefined) throw usageError(`flag needs an argument: --${typed}`, rules.name, BAD_FLAG);
  }
  values[name] = parseValue(name, flag, text ?? "true", values[name], rules);
  return false;
}

function parseShort(
  word: string,
  next: () => string | undefined,
  values: Record<string, Value>,
  rules: Rules,
): boolean {
  for (let i = 1; i < word.length; i++) {
    const letter = word.charAt(i);
    const found = Object.entries(rules.flags).find(([, flag]) => flag.short === letter);
    if (found === undefined) {
      if (letter === "h") return true;
      throw usageError(`unknown shorthand flag: '${letter}' in ${word}`, rules.name, BAD_FLAG);
    }
    const [name, flag] = found;
    const rest = word.slice(i + 1);
    if (flag.type === "boolean" && !rest.startsWith("=")) {
      values[name] = true;
      continue;
    }
    const text = rest === "" ? next() : rest.replace(/^=/, "");
    if (text === undefined) throw usageError(`flag needs an argument: '${letter}' in ${word}`, rules.name, BAD_FLAG);
    values[name] = parseValue(name, flag, text, values[name], rules);
    return false;
  }
  return false;
}

function findLong(flags: Flags, typed: string): readonly [string, FlagSpec] | undefined {
  if (Object.hasOwn(flags, typed)) return [typed, flags[typed] as FlagSpec];
  return Object.entries(flags).find(([, flag]) => flag.alias === typed);
}

function parseValue(name: string, flag: FlagSpec, text: string, before: Value, rules: Rules): Value {
  const fail = (why: string): BerthError => {
    const shown = flag.short === undefined ? `--${name}` : `-${flag.short}, --${name}`;
    return usageError(`invalid argument "${text}" for "${shown}" flag: ${why}`, rules.name, BAD_FLAG);
  };
  if (flag.choices !== undefined && !flag.choices.includes(text))
    throw fail(`must be one of ${flag.choices.join(", ")}`);
  switch (flag.type) {
    case "boolean": {
      const value = Object.hasOwn(BOOLEANS, text) ? BOOLEANS[text] : undefined;
      if (value === undefined) throw fail("must be true or false");
      return value;
    }
    case "list":
      return [...((before as readonly string[] | undefined) ?? []), text];
    case "integer":
      if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(Number(text))) throw fail("not a whole number");
      return Number(text);
    case "number":
      if (!/^\d+(\.\d*)?$|^\.\d+$/.test(text)) throw fail("not a number");
      return Number(text);
    case "bytes":
      return parseSize(text, fail);
    case "string":
      return text;
  }
}

function parseSize(text: string, fail: (why: string) => BerthError): number {
  try {
    return parseBytes(text);
  } catch (error) {
    throw fail(error instanceof BerthError ? `invalid size: '${text}'` : String(error));
  }
}

/** Checks that the number of arguments fits what the command declares; docker's wording. */
export function checkArgs(command: Command, args: readonly string[]): void {
  const least = command.args.filter((arg) => !arg.startsWith("[")).length;
  const open = command.args.some((arg) => arg.includes("..."));
  const most = open ? Number.POSITIVE_INFINITY : command.args.length;
  if (args.length >= least && args.length <= most) return;
  const plural = (n: number): string => `${n} argument${n === 1 ? "" : "s"}`;
  const need =
    most === 0
      ? "accepts no arguments"
      : least === most
        ? `requires ${plural(least)}`
        : args.length < least
          ? `requires at least ${plural(least)}`
          : `requires at most ${plural(most)}`;
  throw usageError(`"berth ${command.name}" ${need}`, command.name, 1);
}

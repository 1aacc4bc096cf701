import { runtimeError } from "./errors.ts";
import { lookup } from "./lookup.ts";

/** Flags of one command: long name → "bool", "string" or "list"; `short` maps a letter to its long name. */
export interface FlagTable {
  readonly flags: { readonly [name: string]: "bool" | "string" | "list" };
  readonly short?: { readonly [letter: string]: string };
  /** Flags may come after other words too, as runc's callers write them for commands that run no program. */
  readonly anywhere?: boolean;
}

export interface ParsedArgs {
  /** Strings of "string" flags, "true" of "bool" flags. */
  readonly values: { readonly [name: string]: string | undefined };
  readonly lists: { readonly [name: string]: string[] | undefined };
  readonly rest: readonly string[];
}

/** A word such as `--name=value`; without the sign the value comes in the next word, if the flag has one. */
export function splitFlag(word: string): { readonly name: string; readonly value: string | undefined } {
  const start = word.charAt(1) === "-" ? 2 : 1;
  const eq = word.indexOf("=");
  if (eq < 0) return { name: word.substring(start), value: undefined };
  return { name: word.substring(start, eq), value: word.substring(eq + 1) };
}

/**
 * Go-style flags as runc's and crun's callers send them: `-flag`, `--flag`, `=value` or the next word; the first word
 * that is no flag ends them (so that exec's command keeps its own), `--` too.
 */
export function parseArgs(words: readonly string[], table: FlagTable): ParsedArgs {
  const values: { [name: string]: string } = {};
  const lists: { [name: string]: string[] } = {};
  const before: string[] = [];
  let i = 0;
  for (; i < words.length; i++) {
    const word = words[i] as string;
    if (word === "--") {
      i++;
      break;
    }
    if (word.charAt(0) !== "-" || word === "-") {
      if (!table.anywhere) break;
      before.push(word);
      continue;
    }
    let { name, value } = splitFlag(word);
    const short = table.short || {};
    name = lookup(short, name) || name;
    let kind = lookup(table.flags, name);
    if (!kind && word.charAt(1) !== "-" && value === undefined && name.length > 1) {
      // a cluster such as -it or -u0: the first letter's flag, then the rest
      const first = lookup(short, name.charAt(0));
      if (first) {
        kind = table.flags[first];
        if (kind === "bool") {
          values[first] = "true";
          const tail = parseArgs([`-${name.substring(1)}`], table);
          for (const key in tail.values) values[key] = tail.values[key] as string;
          continue;
        }
        value = name.substring(1);
        name = first;
      }
    }
    if (!kind) throw runtimeError("InvalidArgument", `flag provided but not defined: -${name}`);
    if (kind === "bool") {
      if (value === "false") delete values[name];
      else values[name] = "true";
      continue;
    }
    if (value === undefined) {
      i++;
      if (i >= words.length) throw runtimeError("InvalidArgument", `flag needs an argument: -${name}`);
      value = words[i] as string;
    }
    if (kind === "list") {
      if (!lists[name]) lists[name] = [];
      (lists[name] as string[]).push(value);
    } else values[name] = value;
  }
  return { values, lists, rest: before.concat(words.slice(i)) };
}

/** The one container id a command takes. */
export function oneId(command: string, rest: readonly string[]): string {
  if (rest.length !== 1) {
    throw runtimeError(
      "InvalidArgument",
      `"keel ${command}" requires exactly 1 argument(s), the container id, got ${rest.length}`,
    );
  }
  return checkId(rest[0] as string);
}

/** Container ids become file and cgroup names: runc's alphabet, never "." or "..". */
export function checkId(id: string): string {
  if (!/^[A-Za-z0-9_+-][A-Za-z0-9_+.-]*$/.test(id) || id.length > 1024) {
    throw runtimeError(
      "InvalidArgument",
      `invalid container ID format: "${id}"`,
      "an invalid character: use letters, digits and _+.- only, not starting with a dot",
    );
  }
  return id;
}

/** A flag's whole number; 0 when the flag is not there. */
export function numberFlag(name: string, text: string | undefined, max: number): number {
  if (text === undefined || text === "") return 0;
  if (!/^\d{1,15}$/.test(text) || Number(text) > max)
    throw runtimeError("InvalidArgument", `--${name}: must be a whole number from 0 to ${max}, is "${text}"`);
  return Number(text);
}

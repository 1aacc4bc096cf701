import { invalid } from "./errors.ts";
import type { RuntimeSeccompArg } from "./plan-types.ts";
import type { SeccompGroup, SeccompProfile } from "./seccomp-plan.ts";

const MAX_BYTES = 1 << 20;
const MAX_ITEMS = 4096;

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a profile in docker's JSON (`defaultAction`, `architectures` or `archMap`, `syscalls` with `includes` and
 * `excludes`). `archMap` is not read: the host's own architectures are known here.
 *
 * @throws {BerthError} InvalidArgument naming the field
 */
export function parseProfile(text: string): SeccompProfile {
  if (text.length > MAX_BYTES) throw bad("profile", `longer than ${MAX_BYTES} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(text, exactIntegers);
  } catch (error) {
    throw bad("profile", error instanceof Error ? error.message : String(error));
  }
  const doc = object(value, "profile");
  return {
    defaultAction: action(doc["defaultAction"], "defaultAction"),
    defaultErrno: optional(doc["defaultErrnoRet"], (v) => integer(v, "defaultErrnoRet")),
    architectures: optional(doc["architectures"], (v) => nonEmpty(strings(v, "architectures"))),
    flags: optional(doc["flags"], (v) => nonEmpty(strings(v, "flags"))),
    groups: array(doc["syscalls"] ?? [], "syscalls").map((item, i) => parseGroup(item, `syscalls[${i}]`)),
  };
}

/** Operands are 64 bits wide: what a number cannot hold becomes a bigint. */
function exactIntegers(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value) || context?.source === undefined) return value;
  return /^\d{1,20}$/.test(context.source) ? BigInt(context.source) : value;
}

function parseGroup(value: unknown, at: string): SeccompGroup {
  const doc = object(value, at);
  const names = doc["names"] === undefined ? [doc["name"]] : array(doc["names"], `${at}.names`);
  for (const name of names) {
    if (typeof name !== "string" || !/^[a-z0-9_]{1,64}$/.test(name))
      throw bad(`${at}.names`, "not names of system calls");
  }
  if (names.length === 0) throw bad(`${at}.names`, "empty");
  const includes = object(doc["includes"] ?? {}, `${at}.includes`);
  const excludes = object(doc["excludes"] ?? {}, `${at}.excludes`);
  return {
    names: names.join(" "),
    action: action(doc["action"], `${at}.action`),
    errno: optional(doc["errnoRet"], (v) => integer(v, `${at}.errnoRet`)),
    args: optional(doc["args"], (v) => array(v, `${at}.args`).map((arg, i) => parseArg(arg, `${at}.args[${i}]`))),
    caps: optional(includes["caps"], (v) => strings(v, `${at}.includes.caps`)),
    arches: optional(includes["arches"], (v) => nonEmpty(strings(v, `${at}.includes.arches`))),
    minKernel: optional(includes["minKernel"], (v) => string(v, `${at}.includes.minKernel`)),
    notCaps: optional(excludes["caps"], (v) => strings(v, `${at}.excludes.caps`)),
    notArches: optional(excludes["arches"], (v) => strings(v, `${at}.excludes.arches`)),
    notMinKernel: optional(excludes["minKernel"], (v) => string(v, `${at}.excludes.minKernel`)),
  };
}

function parseArg(value: unknown, at: string): RuntimeSeccompArg {
  const doc = object(value, at);
  const index = integer(doc["index"], `${at}.index`);
  if (index > 5) throw bad(`${at}.index`, "more than 5");
  const op = string(doc["op"], `${at}.op`);
  if (!/^SCMP_CMP_(NE|LT|LE|EQ|GE|GT|MASKED_EQ)$/.test(op)) throw bad(`${at}.op`, `unknown operator ${op}`);
  const second = optional(doc["valueTwo"], (v) => operand(v, `${at}.valueTwo`));
  const arg = { index, op, value: operand(doc["value"], `${at}.value`) };
  return second === undefined ? arg : { ...arg, valueTwo: second };
}

function action(value: unknown, at: string): string {
  const text = string(value, at);
  if (!/^SCMP_ACT_(ALLOW|ERRNO|KILL|KILL_PROCESS|KILL_THREAD|LOG|NOTIFY|TRACE|TRAP)$/.test(text)) {
    throw bad(at, `unknown action ${text}`);
  }
  return text;
}

function operand(value: unknown, at: string): number | bigint {
  if (typeof value === "bigint" && value < 1n << 64n) return value;
  return integer(value, at);
}

function integer(value: unknown, at: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw bad(at, "not a whole number");
  return value;
}

function string(value: unknown, at: string): string {
  if (typeof value !== "string" || value.length > 256) throw bad(at, "not a text");
  return value;
}

function strings(value: unknown, at: string): readonly string[] {
  return array(value, at).map((item, i) => string(item, `${at}[${i}]`));
}

function array(value: unknown, at: string): readonly unknown[] {
  if (!Array.isArray(value)) throw bad(at, "not a list");
  if (value.length > MAX_ITEMS) throw bad(at, `more than ${MAX_ITEMS} items`);
  return value;
}

function object(value: unknown, at: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(at, "not an object");
  return value as Json;
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value);
}

/** Docker takes an empty list as none. */
function nonEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

const bad = (at: string, why: string): Error =>
  invalid(`read seccomp profile: ${at}`, why, "the profile must be docker's JSON: --security-opt seccomp=FILE");

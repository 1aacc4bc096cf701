import { readFileSync } from "node:fs";
import { BerthError, errnoOf } from "@berth/base";
import { parse } from "smol-toml";

/** What containers-registries.conf(5), version 2, says; all prefixes and locations as `host[:port][/path]`. */
export interface RegistriesConf {
  /** Full names of short ones. */
  readonly aliases: ReadonlyMap<string, string>;
  /** The longest prefix first. */
  readonly registries: readonly RegistryRule[];
}

export interface RegistryRule {
  /** `host[/path]`, or `*.domain` for all hosts below it. */
  readonly prefix: string;
  /** What stands in place of the prefix when it is spoken to. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly MirrorRule[];
}

export interface MirrorRule {
  readonly location: string;
  readonly insecure: boolean;
  readonly serves: "all" | "digest-only" | "tag-only";
}

type Table = Readonly<Record<string, unknown>>;

const NONE: RegistriesConf = { aliases: new Map(), registries: [] };

/**
 * Reads the file; an absent one says nothing.
 *
 * @throws {BerthError} InvalidArgument naming the entry; PermissionDenied
 */
export function readRegistriesConf(path: string): RegistriesConf {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return NONE;
    throw new BerthError("PermissionDenied", `read ${path}: ${errno ?? "failed"}`, { cause: error });
  }
  return parseRegistriesConf(text, path);
}

export function parseRegistriesConf(text: string, path: string): RegistriesConf {
  const fail = (why: string): BerthError =>
    new BerthError("InvalidArgument", `read ${path}: ${why}`, { hint: "see containers-registries.conf(5)" });
  let document: Table;
  try {
    document = parse(text);
  } catch (error) {
    throw fail(error instanceof Error ? (error.message.split("\n")[0] ?? "") : "not TOML");
  }
  const rules = listOf(document, "registry", fail).map((entry, i) => toRule(entry, `registry[${i}]`, fail));
  const aliases = document["aliases"] ?? {};
  if (!isTable(aliases)) throw fail("aliases is no table");
  return {
    aliases: new Map(Object.entries(aliases).map(([key, value]) => [key, textOf(value, `aliases.${key}`, fail)])),
    registries: rules.sort((a, b) => b.prefix.length - a.prefix.length),
  };
}

type Fail = (why: string) => BerthError;

function toRule(entry: Table, field: string, fail: Fail): RegistryRule {
  const location = entry["location"] === undefined ? "" : textOf(entry["location"], `${field}.location`, fail);
  const prefix = entry["prefix"] === undefined ? location : textOf(entry["prefix"], `${field}.prefix`, fail);
  if (prefix === "") throw fail(`${field} has neither prefix nor location`);
  if (prefix.startsWith("*.") && prefix.includes("/")) throw fail(`${field}.prefix: a wildcard takes no path`);
  return {
    prefix,
    location: location === "" ? prefix : location,
    insecure: flagOf(entry, "insecure", field, fail),
    blocked: flagOf(entry, "blocked", field, fail),
    mirrors: listOf(entry, "mirror", fail).map((mirror, i) => toMirror(mirror, `${field}.mirror[${i}]`, fail)),
  };
}

function toMirror(entry: Table, field: string, fail: Fail): MirrorRule {
  const serves = entry["pull-from-mirror"] ?? "all";
  if (serves !== "all" && serves !== "digest-only" && serves !== "tag-only") {
    throw fail(`${field}.pull-from-mirror is neither all, digest-only nor tag-only`);
  }
  const location = textOf(entry["location"], `${field}.location`, fail);
  return { location, insecure: flagOf(entry, "insecure", field, fail), serves };
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listOf(table: Table, key: string, fail: Fail): readonly Table[] {
  const value = table[key] ?? [];
  if (Array.isArray(value) && value.every(isTable)) return value;
  throw fail(`${key} is no list of tables`);
}

function textOf(value: unknown, field: string, fail: Fail): string {
  if (typeof value === "string" && /^[A-Za-z0-9.*:[\]/_-]{1,255}$/.test(value)) return value.replace(/\/$/, "");
  throw fail(`${field} is no registry or repository name`);
}

function flagOf(table: Table, key: string, field: string, fail: Fail): boolean {
  const value = table[key] ?? false;
  if (typeof value === "boolean") return value;
  throw fail(`${field}.${key} is neither true nor false`);
}

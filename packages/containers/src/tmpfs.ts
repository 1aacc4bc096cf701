import { invalid } from "./errors.ts";

const DEFAULTS = ["noexec", "nosuid", "nodev"];
/** Options of which the last one wins. */
const FLAGS: readonly (readonly string[])[] = [
  ["ro", "rw"],
  ["exec", "noexec"],
  ["suid", "nosuid"],
  ["dev", "nodev"],
  ["sync", "async"],
  ["atime", "noatime", "relatime", "strictatime"],
  ["diratime", "nodiratime"],
  ["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
];
/** Of tmpfs(5). */
const VALUES: Readonly<Record<string, RegExp>> = {
  size: /^\d+[kmg%]?$/i,
  mode: /^0?[0-7]{1,4}$/,
  uid: /^\d+$/,
  gid: /^\d+$/,
  nr_inodes: /^\d+[kmg]?$/i,
  nr_blocks: /^\d+[kmg]?$/i,
  mpol: /^[a-z:=,0-9-]+$/,
};

/**
 * Options of a tmpfs mount: docker's `noexec,nosuid,nodev` with the user's on top.
 *
 * @throws {BerthError} InvalidArgument if tmpfs does not know an option or its value
 */
export function planTmpfs(options: readonly string[]): readonly string[] {
  const chosen = new Map<string, string>();
  for (const option of [...DEFAULTS, ...options]) {
    if (option === "" || option === "defaults") continue;
    chosen.set(keyOf(option), option);
  }
  return [...chosen.values()];
}

function keyOf(option: string): string {
  const group = FLAGS.find((flags) => flags.includes(option));
  if (group !== undefined) return group.join(" ");
  const at = option.indexOf("=");
  const name = at < 0 ? option : option.slice(0, at);
  const pattern = Object.hasOwn(VALUES, name) ? VALUES[name] : undefined;
  if (at < 0 || pattern === undefined) throw invalid(`mount tmpfs with "${option}"`, "unknown option");
  if (!pattern.test(option.slice(at + 1))) throw invalid(`mount tmpfs with "${option}"`, "not a valid value");
  return name;
}

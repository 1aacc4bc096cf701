import { isAbsolute, normalize, resolve } from "node:path";
import { parseBytes } from "@berth/base";
import type { MountSpec } from "@berth/engine";
import { invalid, parseCsv, parseTruth } from "./values.ts";

const PROPAGATION = new Set(["rprivate", "private", "rshared", "shared", "rslave", "slave"]);
/** SELinux labels (z, Z) have no meaning here, and consistency only on macOS. */
const VOLUME_OPTIONS = new Set(["ro", "rw", "nocopy", "z", "Z", "consistent", "cached", "delegated"]);
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/**
 * `-v SOURCE:TARGET[:OPTIONS]` or `-v TARGET`. A source with a slash or dot in front is a directory, else a volume's name.
 *
 * @param cwd what relative sources are relative to
 * @throws {BerthError} InvalidArgument
 */
export function parseVolume(text: string, cwd: string): MountSpec {
  const fail = (why: string): Error =>
    invalid(
      `invalid argument "${text}" for "-v, --volume" flag: ${why}`,
      "write SOURCE:TARGET[:ro], for example /srv/data:/data:ro",
    );
  const parts = text.split(":");
  if (parts.length > 3 || parts.some((part) => part === "")) throw fail("invalid volume specification");
  const [first = "", second, third] = parts;
  const options = (third ?? "").split(",").filter(Boolean);
  for (const option of options) {
    if (!PROPAGATION.has(option) && !VOLUME_OPTIONS.has(option)) throw fail(`invalid mode: ${option}`);
  }
  const mount = { target: checkTarget(second ?? first, fail), readOnly: options.includes("ro") };
  const propagation = options.findLast((option) => PROPAGATION.has(option));
  const noCopy = options.includes("nocopy");
  if (second !== undefined && /^[./~]/.test(first)) {
    if (noCopy) throw fail("nocopy is for volumes");
    return { kind: "bind", source: resolve(cwd, first), ...mount, propagation, createSource: true };
  }
  if (propagation !== undefined) throw fail(`${propagation} is for directories of the host`);
  if (second !== undefined && !VOLUME_NAME.test(first)) throw fail(`"${first}" is no volume name`);
  return { kind: "volume", source: second === undefined ? undefined : first, ...mount, noCopy };
}

function checkTarget(target: string, fail: (why: string) => Error): string {
  if (!isAbsolute(target)) throw fail(`invalid mount path: '${target}' mount path must be absolute`);
  const clean = normalize(target).replace(/(.)\/$/, "$1");
  if (clean === "/") throw fail("invalid specification: destination can't be '/'");
  return clean;
}

/** `--tmpfs TARGET[:OPTIONS]`. */
export function parseTmpfs(text: string): MountSpec {
  const colon = text.indexOf(":");
  const fail = (why: string): Error => invalid(`invalid argument "${text}" for "--tmpfs" flag: ${why}`);
  const target = checkTarget(colon < 0 ? text : text.slice(0, colon), fail);
  return {
    kind: "tmpfs",
    target,
    options:
      colon < 0
        ? []
        : text
            .slice(colon + 1)
            .split(",")
            .filter(Boolean),
  };
}

/** Fields that may stand without a value. */
const SWITCHES = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive"]);
const SYNONYMS: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
};
const KEYS: Readonly<Record<MountSpec["kind"], readonly string[]>> = {
  bind: ["source", "target", "readonly", "bind-propagation", "bind-nonrecursive", "bind-recursive"],
  volume: ["source", "target", "readonly", "volume-nocopy"],
  tmpfs: ["target", "readonly", "tmpfs-size", "tmpfs-mode"],
};

type Fail = (why: string) => Error;

/** `--mount type=bind|volume|tmpfs,source=…,target=…[,readonly]…`; without type a volume. */
export function parseMount(text: string, cwd: string): MountSpec {
  const fail: Fail = (why) => invalid(`invalid argument "${text}" for "--mount" flag: ${why}`);
  const fields = parseFields(text, fail);
  const kind = fields.get("type") ?? "volume";
  if (kind !== "bind" && kind !== "volume" && kind !== "tmpfs") {
    throw fail(`mount type "${kind}" is not supported: bind, volume or tmpfs`);
  }
  for (const key of fields.keys()) {
    if (key !== "type" && !KEYS[kind].includes(key)) throw fail(`unexpected key '${key}' for a ${kind}`);
  }
  const target = fields.get("target");
  if (target === undefined || target === "") throw fail("target is required");
  const mount = { target: checkTarget(target, fail), readOnly: truthOf(fields, "readonly") };
  switch (kind) {
    case "tmpfs":
      return { kind, target: mount.target, options: tmpfsOptions(fields, mount.readOnly) };
    case "volume": {
      const source = fields.get("source") || undefined;
      if (source !== undefined && !VOLUME_NAME.test(source)) throw fail(`"${source}" is no volume name`);
      return { kind, source, ...mount, noCopy: truthOf(fields, "volume-nocopy") };
    }
    case "bind":
      return { kind, ...mount, createSource: false, ...bindFields(fields, cwd, fail) };
  }
}

function parseFields(text: string, fail: Fail): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const field of parseCsv(text)) {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    if (equals < 0 && !SWITCHES.has(key)) throw fail(`invalid field '${field}' must be a key=value pair`);
    if (key !== "consistency") fields.set(SYNONYMS[key] ?? key, equals < 0 ? "" : field.slice(equals + 1));
  }
  return fields;
}

function truthOf(fields: ReadonlyMap<string, string>, key: string): boolean {
  const value = fields.get(key);
  return value !== undefined && parseTruth(value, `--mount ${key}`);
}

function bindFields(
  fields: ReadonlyMap<string, string>,
  cwd: string,
  fail: Fail,
): { readonly source: string; readonly propagation: string | undefined; readonly nonRecursive: boolean } {
  const source = fields.get("source");
  if (source === undefined || source === "") throw fail("source is required for a bind");
  const propagation = fields.get("bind-propagation");
  if (propagation !== undefined && !PROPAGATION.has(propagation)) throw fail(`invalid propagation: ${propagation}`);
  const nonRecursive = truthOf(fields, "bind-nonrecursive") || fields.get("bind-recursive") === "disabled";
  return { source: resolve(cwd, source), propagation, nonRecursive };
}

function tmpfsOptions(fields: ReadonlyMap<string, string>, readOnly: boolean): readonly string[] {
  const size = fields.get("tmpfs-size");
  const mode = fields.get("tmpfs-mode");
  if (mode !== undefined && !/^[0-7]{1,4}$/.test(mode))
    throw invalid(`invalid tmpfs-mode "${mode}": write it in octal, for example 1777`);
  return [
    ...(size === undefined ? [] : [`size=${parseBytes(size)}`]),
    ...(mode === undefined ? [] : [`mode=${mode}`]),
    ...(readOnly ? ["ro"] : []),
  ];
}

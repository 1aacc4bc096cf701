import type { Variant } from "../dbus/marshal.ts";
import { runtimeError } from "../lib/errors.ts";
import { parseVariant } from "./gvariant.ts";

export interface Property {
  readonly name: string;
  readonly value: Variant;
}

/** The transient unit that a container's cgroup lies in; pure. */
export interface ScopePlan {
  /** `crio-ID.scope`. */
  readonly unit: string;
  readonly slice: string;
  /** Cgroup of the slice below that of systemd's manager: `/a.slice/a-b.slice`, "" for the root slice. */
  readonly slicePath: string;
  /** Name of the container's own cgroup below the scope's; "" when it lives in the scope's own. */
  readonly subgroup: string;
}

const FIELD = "linux.cgroupsPath";

/**
 * Where `slice:prefix:name` puts the container. An empty path is `:keel:ID`; an empty slice is system.slice, and
 * user.slice under a user's manager.
 */
export function planUnit(
  id: string,
  cgroupsPath: string | undefined,
  annotations: { readonly [key: string]: string },
  rootless: boolean,
): ScopePlan {
  const parts = cgroupsPath ? cgroupsPath.split(":") : ["", "keel", id.replace(/\+/g, "\\x2b")];
  if (parts.length !== 3) {
    throw runtimeError(
      "InvalidArgument",
      `invalid config.json: ${FIELD}: expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "${cgroupsPath}" instead`,
      "leave out --systemd-cgroup when the path is one of the file system",
    );
  }
  const [wanted, prefix, name] = parts as [string, string, string];
  if (/\.slice$/.test(name))
    throw runtimeError(
      "Unimplemented",
      `invalid config.json: ${FIELD}: "${name}" is a slice, which cannot hold processes`,
      "name a container in it: slice:prefix:name",
    );
  const unit = `${prefix}-${name}.scope`;
  if (name === "" || !/^[A-Za-z0-9:_.\\-]+$/.test(unit) || unit.length > 255)
    throw runtimeError(
      "InvalidArgument",
      `invalid config.json: ${FIELD}: "${unit}" is no name of a systemd unit`,
      'letters, digits and ":-_.\\" only, at most 255',
    );
  const slice = wanted === "" ? (rootless ? "user.slice" : "system.slice") : wanted === "-" ? "-.slice" : wanted;
  const annotated = annotations["run.oci.systemd.subgroup"];
  const subgroup = annotated === undefined ? "container" : annotated;
  if (subgroup === "." || subgroup === ".." || subgroup.indexOf("/") >= 0 || /^cgroup\./.test(subgroup))
    throw runtimeError(
      "InvalidArgument",
      `invalid config.json: annotations["run.oci.systemd.subgroup"]: must be a plain name, is "${subgroup}"`,
    );
  return { unit, slice, slicePath: expandSlice(slice), subgroup };
}

/** `a-b.slice` lies in `a.slice`: `/a.slice/a-b.slice`. */
export function expandSlice(slice: string): string {
  const stem = slice.replace(/\.slice$/, "");
  if (slice === "-.slice") return "";
  const components = stem.split("-");
  let path = "";
  let prefix = "";
  for (let i = 0; i < components.length; i++) {
    const component = components[i] as string;
    // "a--b" and "-a" have empty ones: systemd has no such slices
    if (stem === slice || !/^[A-Za-z0-9:_.\\]+$/.test(component)) {
      throw runtimeError(
        "InvalidArgument",
        `invalid config.json: ${FIELD}: invalid slice name "${slice}"`,
        "a slice is NAME.slice, its parents are before the dashes in it: a-b.slice lies in a.slice",
      );
    }
    path += `/${prefix}${component}.slice`;
    prefix += `${component}-`;
  }
  return path;
}

const PREFIX = "org.systemd.property.";
/** What keel itself decides on: another value would take the container out of its hands. */
const OWN = " Slice PIDs Delegate ";

/** Properties from `org.systemd.property.NAME` annotations; `NameSec` becomes `NameUSec`. */
export function annotatedProperties(annotations: { readonly [key: string]: string }): Property[] {
  const properties: Property[] = [];
  for (const key in annotations) {
    if (key.indexOf(PREFIX) !== 0) continue;
    const name = key.substring(PREFIX.length);
    const where = `invalid config.json: annotations["${key}"]`;
    if (!/^[A-Za-z]{3,}$/.test(name))
      throw runtimeError("InvalidArgument", `${where}: is no name of a systemd property`);
    if (OWN.indexOf(` ${name} `) >= 0) throw runtimeError("InvalidArgument", `${where}: is set by keel itself`);
    let value: Variant;
    try {
      value = parseVariant(annotations[key] as string);
    } catch (thrown) {
      throw runtimeError(
        "InvalidArgument",
        `${where}: ${(thrown as { message: string }).message}`,
        "values are written in GVariant's text format: true, 'text', uint64 5, ['a', 'b']",
      );
    }
    const seconds = /^(.*[a-z])Sec$/.exec(name);
    properties.push(seconds ? { name: `${seconds[1]}USec`, value: toMicroseconds(value, where) } : { name, value });
  }
  return properties;
}

function toMicroseconds(value: Variant, where: string): Variant {
  const digits = String(value.value);
  if (!/^[ynqiuxt]$/.test(value.type) || !/^\d+$/.test(digits))
    throw runtimeError("InvalidArgument", `${where}: must be a number of seconds`);
  return { type: "t", value: digits === "0" ? "0" : `${digits}000000` };
}

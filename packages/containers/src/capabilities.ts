import { CAPABILITIES } from "@berth/linux";
import { invalid, unsupported } from "./errors.ts";
import type { ContainerSpec } from "./types.ts";

/** Docker's 14. */
const DEFAULT: readonly string[] =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    .split(" ")
    .map((name) => `CAP_${name}`);
const ALL = "ALL";

/** `CAP_CHOWN` of `chown`, `Cap_Chown` and so on; `ALL` stays. @throws {BerthError} InvalidArgument */
export function parseCapability(text: string): string {
  const name = text.toUpperCase();
  if (name === ALL) return ALL;
  const full = name.startsWith("CAP_") ? name : `CAP_${name}`;
  if (!CAPABILITIES.includes(full)) throw invalid(`parse capability "${text}"`, "there is no such capability");
  return full;
}

/**
 * The container's bounding set, in the kernel's order, by docker's rules: `ALL` added counts before `ALL` dropped, and
 * a capability that is both added and dropped by name stays only if everything else is dropped.
 *
 * @param available bounding set of this process: defaults and `ALL` shrink to it
 * @throws {BerthError} FailedPrecondition if one is added by name that is not available
 */
export function planCapabilities(
  spec: Pick<ContainerSpec, "capAdd" | "capDrop" | "privileged">,
  available: readonly string[],
): readonly string[] {
  if (spec.privileged) return CAPABILITIES.filter((cap) => available.includes(cap));
  const add = spec.capAdd.map(parseCapability);
  const drop = spec.capDrop.map(parseCapability);
  const missing = add.find((cap) => cap !== ALL && !available.includes(cap));
  if (missing !== undefined) {
    throw unsupported(
      `add capability ${missing}`,
      "this process does not have it in its bounding set",
      "run Berth with it",
    );
  }
  const wanted = new Set(choose(add, drop));
  return CAPABILITIES.filter((cap) => wanted.has(cap) && available.includes(cap));
}

function choose(add: readonly string[], drop: readonly string[]): readonly string[] {
  if (add.includes(ALL)) return CAPABILITIES.filter((cap) => !drop.includes(cap));
  if (drop.includes(ALL)) return add;
  return [...DEFAULT.filter((cap) => !drop.includes(cap)), ...add];
}

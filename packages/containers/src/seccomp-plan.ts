import type { HostFacts } from "@berth/linux";
import { invalid, unsupported } from "./errors.ts";
import type { RuntimeSeccomp, RuntimeSeccompArg, RuntimeSeccompRule } from "./plan-types.ts";
import { DEFAULT_GROUPS } from "./seccomp-default.ts";
import { parseProfile } from "./seccomp-profile.ts";

/** System calls with one action, and when the group counts at all. */
export interface SeccompGroup {
  /** Separated by blanks. */
  readonly names: string;
  /** Default: SCMP_ACT_ALLOW. */
  readonly action?: string | undefined;
  readonly errno?: number | undefined;
  /** All must hold. */
  readonly args?: readonly RuntimeSeccompArg[] | undefined;
  /** The container has all of them. */
  readonly caps?: readonly string[] | undefined;
  /** The container has none of them. */
  readonly notCaps?: readonly string[] | undefined;
  /** Go's names of processors: the host is one of them. */
  readonly arches?: readonly string[] | undefined;
  readonly notArches?: readonly string[] | undefined;
  /** `major.minor`: the host's kernel is as new. */
  readonly minKernel?: string | undefined;
  readonly notMinKernel?: string | undefined;
}

export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrno?: number | undefined;
  /** Fixed architectures; undefined: those of the host's processor. */
  readonly architectures?: readonly string[] | undefined;
  readonly flags?: readonly string[] | undefined;
  readonly groups: readonly SeccompGroup[];
}

/** libseccomp's architectures for each of Go's: the native one first. */
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  amd64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  riscv64: ["SCMP_ARCH_RISCV64"],
  loong64: ["SCMP_ARCH_LOONGARCH64"],
  s390x: ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
};

const EPERM = 1;
const DEFAULT_PROFILE: SeccompProfile = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrno: EPERM,
  groups: DEFAULT_GROUPS,
};

/**
 * The container's system call filter; undefined: none.
 *
 * @param profile `default`, `unconfined`, or the text of a profile in docker's JSON
 * @param caps bounding set of the container
 * @throws {BerthError} InvalidArgument if the text is no profile; FailedPrecondition if the kernel has no seccomp
 */
export function planSeccomp(
  profile: string,
  caps: readonly string[],
  host: Pick<HostFacts, "arch" | "kernelRelease" | "seccomp">,
): RuntimeSeccomp | undefined {
  if (profile === "unconfined") return undefined;
  const isDefault = profile === "" || profile === "default" || profile === "builtin";
  if (!host.seccomp) {
    if (isDefault) return undefined;
    throw unsupported("load seccomp profile", "this kernel has no seccomp");
  }
  return build(isDefault ? DEFAULT_PROFILE : parseProfile(profile), caps, host);
}

function build(
  profile: SeccompProfile,
  caps: readonly string[],
  host: Pick<HostFacts, "arch" | "kernelRelease">,
): RuntimeSeccomp {
  const applies = (group: SeccompGroup): boolean =>
    (group.caps ?? []).every((cap) => caps.includes(cap)) &&
    !(group.notCaps ?? []).some((cap) => caps.includes(cap)) &&
    (group.arches === undefined || group.arches.includes(host.arch)) &&
    !(group.notArches ?? []).includes(host.arch) &&
    (group.minKernel === undefined || isAtLeast(host.kernelRelease, group.minKernel)) &&
    (group.notMinKernel === undefined || !isAtLeast(host.kernelRelease, group.notMinKernel));
  const architectures = profile.architectures ?? ARCHITECTURES[host.arch];
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrno === undefined ? {} : { defaultErrnoRet: profile.defaultErrno }),
    ...(architectures === undefined ? {} : { architectures }),
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    syscalls: merge(profile.groups.filter(applies)),
  };
}

/** One rule per action for all groups without conditions on arguments; a name is in it once. */
function merge(groups: readonly SeccompGroup[]): readonly RuntimeSeccompRule[] {
  const plain = new Map<string, { readonly group: SeccompGroup; readonly names: Set<string> }>();
  const rules: RuntimeSeccompRule[] = [];
  for (const group of groups) {
    if (group.args !== undefined && group.args.length > 0) {
      rules.push({ names: group.names.split(" "), ...actionOf(group), args: group.args });
      continue;
    }
    const key = `${group.action} ${group.errno}`;
    const entry = plain.get(key) ?? { group, names: new Set<string>() };
    plain.set(key, entry);
    for (const name of group.names.split(" ")) entry.names.add(name);
  }
  const whole = [...plain.values()].map(({ group, names }) => ({ names: [...names], ...actionOf(group) }));
  return [...whole, ...rules];
}

function actionOf(group: SeccompGroup): Pick<RuntimeSeccompRule, "action" | "errnoRet"> {
  const action = group.action ?? "SCMP_ACT_ALLOW";
  return group.errno === undefined ? { action } : { action, errnoRet: group.errno };
}

/** Compares `major.minor` of `release` (`6.1.0-18-amd64`) and `wanted` (`4.8`). */
export function isAtLeast(release: string, wanted: string): boolean {
  const [major, minor] = versionOf(release);
  const [wantedMajor, wantedMinor] = versionOf(wanted);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

function versionOf(text: string): readonly [number, number] {
  const match = /^(\d+)\.(\d+)/.exec(text);
  if (match === null)
    throw invalid(`read kernel version "${text}"`, "not a version", "write major.minor, for example 4.8");
  return [Number(match[1]), Number(match[2])];
}

import { runtimeError } from "../lib/errors.ts";
import { checkProcessRanges, checkRanges } from "./ranges.ts";
import { checkShape } from "./shape.ts";
import { mountsShape, processShape, resourcesShape, specShape } from "./shapes.ts";
import type { HookKind, Namespace, Process, Resources, Spec, SpecMount } from "./types.ts";

const NAMESPACES = "pid network mount ipc uts user cgroup time";
const HOOKS: readonly HookKind[] = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
];
const PROPAGATIONS = "private rprivate slave rslave shared rshared unbindable runbindable";

function has(words: string, word: string): boolean {
  return ` ${words} `.indexOf(` ${word} `) >= 0;
}

/** Every rule that can be told from the text alone, before anything is touched. Throws InvalidArgument with all problems. */
export function validateSpec(raw: unknown): Spec {
  const problems: string[] = [];
  if (typeof raw !== "object" || raw === null)
    throw runtimeError("InvalidArgument", "invalid config.json: must be an object");
  checkShape(raw, specShape, "", problems);
  if (problems.length === 0) {
    const spec = raw as Spec;
    checkRules(spec, problems);
    if (problems.length === 0) return spec;
  }
  throw runtimeError("InvalidArgument", `invalid config.json: ${problems.slice(0, 20).join("; ")}`);
}

/** The same for the process of an exec (`process.json`). */
export function validateProcess(raw: unknown, what: string): Process {
  const problems: string[] = [];
  if (typeof raw !== "object" || raw === null)
    throw runtimeError("InvalidArgument", `invalid ${what}: must be an object`);
  checkShape(raw, processShape, "process", problems);
  if (problems.length === 0) checkProcess(raw as Process, problems);
  if (problems.length > 0)
    throw runtimeError("InvalidArgument", `invalid ${what}: ${problems.slice(0, 20).join("; ")}`);
  return raw as Process;
}

/** The same for mounts that are added to or taken from a running container. */
export function validateMounts(raw: unknown, what: string): readonly SpecMount[] {
  const problems: string[] = [];
  checkShape(raw, mountsShape, what, problems);
  if (problems.length === 0) checkDestinations(raw as readonly SpecMount[], problems);
  if (raw === null || raw === undefined) problems.push(`${what}: must be an array`);
  if (problems.length > 0)
    throw runtimeError("InvalidArgument", `invalid ${what}: ${problems.slice(0, 20).join("; ")}`);
  return raw as readonly SpecMount[];
}

/** The same for the resources of an update (`what` names where they come from). */
export function validateResources(raw: unknown, what: string): Resources {
  const problems: string[] = [];
  if (typeof raw !== "object" || raw === null)
    throw runtimeError("InvalidArgument", `invalid ${what}: must be an object`);
  checkShape(raw, resourcesShape, "", problems);
  if (problems.length === 0) checkResources(raw as Resources, "", problems);
  if (problems.length > 0)
    throw runtimeError("InvalidArgument", `invalid ${what}: ${problems.slice(0, 20).join("; ")}`);
  return raw as Resources;
}

function checkRules(spec: Spec, problems: string[]): void {
  if (!/^\d+\.\d+\.\d+/.test(spec.ociVersion))
    problems.push(`ociVersion: must be a version such as 1.2.0, is "${spec.ociVersion}"`);
  if (spec.process) checkProcess(spec.process, problems);
  checkDestinations(spec.mounts || [], problems);
  const hooks = spec.hooks || {};
  for (let k = 0; k < HOOKS.length; k++) {
    const kind = HOOKS[k] as HookKind;
    const list = hooks[kind] || [];
    for (let i = 0; i < list.length; i++) {
      const entry = list[i] as { path: string; timeout?: number };
      if (entry.path.charAt(0) !== "/") problems.push(`hooks.${kind}[${i}].path: must be absolute, is "${entry.path}"`);
      if (entry.timeout === 0) problems.push(`hooks.${kind}[${i}].timeout: must be greater than zero`);
    }
  }
  checkLinux(spec, problems);
  checkRanges(spec, problems);
}

function checkDestinations(mounts: readonly SpecMount[], problems: string[]): void {
  for (let i = 0; i < mounts.length; i++) {
    if ((mounts[i] as SpecMount).destination === "") problems.push(`mounts[${i}].destination: must not be empty`);
  }
}

function checkProcess(process: Process, problems: string[]): void {
  if (!process.args || process.args.length === 0) problems.push("process.args: must name a program");
  if (process.cwd.charAt(0) !== "/") problems.push(`process.cwd: must be absolute, is "${process.cwd}"`);
  checkProcessRanges(process, problems);
  const seen: { [type: string]: boolean } = {};
  const rlimits = process.rlimits || [];
  for (let i = 0; i < rlimits.length; i++) {
    const limit = rlimits[i] as { type: string };
    if (seen[limit.type] === true) problems.push(`process.rlimits[${i}].type: ${limit.type} is there twice`);
    seen[limit.type] = true;
  }
  const adj = process.oomScoreAdj;
  if (adj !== undefined && (adj < -1000 || adj > 1000))
    problems.push(`process.oomScoreAdj: must be from -1000 to 1000, is ${adj}`);
}

function checkLinux(spec: Spec, problems: string[]): void {
  const linux = spec.linux || {};
  const namespaces: readonly Namespace[] = linux.namespaces || [];
  const types: { [type: string]: boolean } = {};
  for (let i = 0; i < namespaces.length; i++) {
    const ns = namespaces[i] as Namespace;
    if (!has(NAMESPACES, ns.type))
      problems.push(`linux.namespaces[${i}].type: must be one of ${NAMESPACES.replace(/ /g, ", ")}, is "${ns.type}"`);
    if (types[ns.type] === true) problems.push(`linux.namespaces[${i}].type: ${ns.type} is there twice`);
    if (ns.path && ns.path.charAt(0) !== "/")
      problems.push(`linux.namespaces[${i}].path: must be absolute, is "${ns.path}"`);
    types[ns.type] = true;
  }
  const mapped = (linux.uidMappings || []).length > 0 || (linux.gidMappings || []).length > 0;
  if (mapped && !types.user) problems.push("linux.uidMappings: need a user namespace in linux.namespaces");
  if (spec.hostname && !types.uts) problems.push("hostname: needs a uts namespace in linux.namespaces");
  if (spec.domainname && !types.uts) problems.push("domainname: needs a uts namespace in linux.namespaces");
  checkNetDevices(linux.netDevices || {}, types, problems);
  checkTimeOffsets(linux.timeOffsets || {}, types, problems);
  const propagation = linux.rootfsPropagation;
  if (propagation && !has(PROPAGATIONS, propagation))
    problems.push(`linux.rootfsPropagation: unknown value "${propagation}"`);
  const devices = linux.devices || [];
  for (let i = 0; i < devices.length; i++) {
    const device = devices[i] as { path: string; type: string };
    if (!has("c u b p", device.type))
      problems.push(`linux.devices[${i}].type: must be c, u, b or p, is "${device.type}"`);
    if (device.path.charAt(0) !== "/") problems.push(`linux.devices[${i}].path: must be absolute, is "${device.path}"`);
  }
  const lists = { maskedPaths: linux.maskedPaths || [], readonlyPaths: linux.readonlyPaths || [] };
  for (const field in lists) {
    const paths = lists[field as "maskedPaths"];
    for (let i = 0; i < paths.length; i++) {
      if ((paths[i] as string).charAt(0) !== "/")
        problems.push(`linux.${field}[${i}]: must be absolute, is "${paths[i]}"`);
    }
  }
  checkSysctl(linux.sysctl || {}, types, problems);
  checkNameTwice(spec, problems);
  if (linux.resources) checkResources(linux.resources, "linux.resources.", problems);
}

/** Names as the kernel takes them (dev_valid_name). */
function isInterfaceName(name: string): boolean {
  return name.length > 0 && name.length < 16 && name !== "." && name !== ".." && !/[\s/:]/.test(name);
}

function checkNetDevices(
  devices: { readonly [name: string]: { readonly name?: string } },
  types: { [type: string]: boolean },
  problems: string[],
): void {
  const taken: { [name: string]: boolean } = {};
  for (const from in devices) {
    const field = `linux.netDevices.${from}`;
    const to = (devices[from] as { name?: string }).name || from;
    if (!types["network"]) problems.push(`${field}: needs a network namespace in linux.namespaces`);
    if (!isInterfaceName(from) || !isInterfaceName(to))
      problems.push(`${field}: must be at most 15 characters without space, "/" and ":", is "${from}" to "${to}"`);
    if (taken[to] === true) problems.push(`${field}: the name ${to} is there twice`);
    taken[to] = true;
  }
}

function checkTimeOffsets(offsets: object, types: { [type: string]: boolean }, problems: string[]): void {
  for (const clock in offsets) {
    const field = `linux.timeOffsets.${clock}`;
    if (clock !== "monotonic" && clock !== "boottime") problems.push(`${field}: must be monotonic or boottime`);
    else if (!types["time"]) problems.push(`${field}: needs a new time namespace in linux.namespaces`);
  }
}

function checkResources(resources: Resources, prefix: string, problems: string[]): void {
  const unified = resources.unified || {};
  for (const file in unified) {
    if (file.indexOf("/") >= 0 || file === "." || file === "..")
      problems.push(`${prefix}unified["${file}"]: must be a file name without "/"`);
  }
  const pages = resources.hugepageLimits || [];
  for (let i = 0; i < pages.length; i++) {
    const { pageSize } = pages[i] as (typeof pages)[0];
    if (!/^[1-9]\d*[KMG]B$/.test(pageSize))
      problems.push(`${prefix}hugepageLimits[${i}].pageSize: must be a size such as 2MB, is "${pageSize}"`);
  }
  const weight = resources.blockIO && resources.blockIO.weight;
  if (weight && (weight < 10 || weight > 1000))
    problems.push(`${prefix}blockIO.weight: must be from 10 to 1000, is ${weight}`);
  const swappiness = resources.memory && resources.memory.swappiness;
  if (swappiness && swappiness > 100)
    problems.push(`${prefix}memory.swappiness: must be from 0 to 100, is ${swappiness}`);
}

/** Only sysctls that a namespace of the container holds may be set: the rest would change the host. */
function checkSysctl(
  sysctl: { readonly [name: string]: string },
  types: { [type: string]: boolean },
  problems: string[],
): void {
  for (const name in sysctl) {
    const needs = sysctlNamespace(name);
    if (needs === "") problems.push(`linux.sysctl["${name}"]: is not namespaced, it would change the host`);
    else if (!types[needs])
      problems.push(`linux.sysctl["${name}"]: needs a new ${needs} namespace in linux.namespaces`);
  }
}

/** Names have fields of their own: one of the two would win, and nobody could say which. As runc and crun have it. */
function checkNameTwice({ linux = {}, domainname }: Spec, problems: string[]): void {
  const sysctl = linux.sysctl || {};
  for (const name in sysctl) {
    const key = name.replace(/\//g, ".");
    if (key === "kernel.hostname") problems.push(`linux.sysctl["${name}"]: use the field hostname`);
    if (key === "kernel.domainname" && domainname && domainname !== sysctl[name])
      problems.push(`linux.sysctl["${name}"]: is "${sysctl[name]}", but domainname is "${domainname}"`);
  }
}

/** Type of the namespace that holds a sysctl, "" for those of the host. */
export function sysctlNamespace(name: string): string {
  const key = name.replace(/\//g, ".");
  if (/(^|[./])\.\.?([./]|$)/.test(name)) return "";
  if (/^net\./.test(key)) return "network";
  if (/^kernel\.(msg|sem|shm)/.test(key) || /^fs\.mqueue\./.test(key)) return "ipc";
  return key === "kernel.domainname" || key === "kernel.hostname" ? "uts" : "";
}

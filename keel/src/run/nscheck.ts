import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { NAMESPACE_FILES, NAMESPACE_FLAGS } from "../plan/namespaces.ts";
import type { Namespace, NamespaceType, Spec } from "../spec/types.ts";
import { sysctlNamespace } from "../spec/validate.ts";

const NSFS_MAGIC = 0x6e736673;
/** ioctl_ns(2): the CLONE_NEW* flag of the namespace behind a descriptor. */
const NS_GET_NSTYPE = 0xb703;

/** Every `path` of linux.namespaces is a namespace of its type; told before anything is made. */
export function checkNamespacePaths(spec: Spec): void {
  const namespaces: readonly Namespace[] = (spec.linux && spec.linux.namespaces) || [];
  for (let i = 0; i < namespaces.length; i++) {
    const ns = namespaces[i] as Namespace;
    if (ns.path) checkPath(ns.type, ns.path, `linux.namespaces[${i}].path`, spec);
  }
}

function invalid(field: string, rule: string): unknown {
  return runtimeError("InvalidArgument", `invalid config.json: ${field}: ${rule}`);
}

function checkPath(type: NamespaceType, path: string, field: string, spec: Spec): void {
  // by O_PATH first: opening what is no namespace may wait (a fifo) or act (a device)
  const handle = sys.open(path, c.O_PATH, 0);
  if (handle < 0) throw callError(`invalid config.json: ${field}: open ${path}`, handle);
  if (sys.fstatfsType(handle) !== NSFS_MAGIC) throw invalid(field, `${path} is no namespace`);
  const fd = must(sys.open(`/proc/self/fd/${handle}`, c.O_RDONLY, 0), `${field}: open ${path}`);
  const flag = must(
    sys.syscall(sys.syscallNumber("ioctl"), fd, NS_GET_NSTYPE),
    `${field}: ask for the type of ${path}`,
  );
  if (flag !== NAMESPACE_FLAGS[type]) throw invalid(field, `${path} is ${nameOf(flag)} namespace, type says ${type}`);
  if (isOwn(fd, type)) checkOwn(type, path, field, spec);
  sys.close(fd);
  sys.close(handle);
}

function nameOf(flag: number): string {
  for (const type in NAMESPACE_FLAGS) {
    if (NAMESPACE_FLAGS[type as NamespaceType] === flag)
      return `${type === "ipc" ? "an" : "a"} ${NAMESPACE_FILES[type as NamespaceType]}`;
  }
  return `a 0x${flag.toString(16)}`;
}

function isOwn(fd: number, type: NamespaceType): boolean {
  const theirs = sys.fstat(fd);
  const ours = sys.fstatat(c.AT_FDCWD, `/proc/self/ns/${NAMESPACE_FILES[type]}`, 0);
  return typeof theirs !== "number" && typeof ours !== "number" && theirs.ino === ours.ino && theirs.dev === ours.dev;
}

/** What the runtime's own namespace may not be joined with: settings that would be the host's. */
function checkOwn(type: NamespaceType, path: string, field: string, spec: Spec): void {
  if (type === "user") throw invalid(field, `${path} is the runtime's own user namespace: leave the entry out`);
  const host = `${path} of ${field} is the runtime's own: it would change the host`;
  if (type === "uts" && spec.hostname) throw invalid("hostname", host);
  if (type === "uts" && spec.domainname) throw invalid("domainname", host);
  const sysctl = (spec.linux && spec.linux.sysctl) || {};
  for (const name in sysctl) if (sysctlNamespace(name) === type) throw invalid(`linux.sysctl["${name}"]`, host);
}

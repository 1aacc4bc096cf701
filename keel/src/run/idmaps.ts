import * as c from "../lib/consts.ts";
import { callError, must, mustGet, runtimeError } from "../lib/errors.ts";
import type { IdMapping } from "../spec/types.ts";

/** Mappings of a user namespace, as config.json has them. */
export interface IdMaps {
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
}

/**
 * Writes uid_map and gid_map of a process in a new user namespace. Without root a user may map only itself, and must
 * give up setgroups for it; more than that is the affair of newuidmap and newgidmap, which know /etc/subuid.
 */
export function writeIdMaps(pid: number, { uidMappings, gidMappings }: IdMaps): void {
  const uids = uidMappings || [];
  const gids = gidMappings || [];
  const root = sys.geteuid() === 0;
  if (!root && !isOnly(gids, sys.getgid())) runMapper("newgidmap", pid, gids, "linux.gidMappings");
  else {
    if (!root) {
      const denied = sys.writeFileAt(c.AT_FDCWD, `/proc/${pid}/setgroups`, "deny", c.O_WRONLY, 0);
      must(denied, "deny setgroups in the user namespace");
    }
    writeMap(`/proc/${pid}/gid_map`, gids, "linux.gidMappings");
  }
  if (!root && !isOnly(uids, sys.geteuid())) runMapper("newuidmap", pid, uids, "linux.uidMappings");
  else writeMap(`/proc/${pid}/uid_map`, uids, "linux.uidMappings");
}

/** One id alone, the user's own. */
function isOnly(mappings: readonly IdMapping[], own: number): boolean {
  const [first] = mappings;
  return first === undefined || (mappings.length === 1 && first.size === 1 && first.hostID === own);
}

function writeMap(path: string, mappings: readonly IdMapping[], field: string): void {
  if (mappings.length === 0) return;
  const lines: string[] = [];
  for (let i = 0; i < mappings.length; i++) {
    const mapping = mappings[i] as IdMapping;
    lines.push(`${mapping.containerID} ${mapping.hostID} ${mapping.size}`);
  }
  const result = sys.writeFileAt(c.AT_FDCWD, path, `${lines.join("\n")}\n`, c.O_WRONLY, 0);
  if (result < 0)
    throw callError(
      `write ${field} to ${path}`,
      result,
      "ranges must not overlap and must be yours to map (/etc/subuid)",
    );
}

/** The set-id programs of package uidmap; what they complain of is told. */
function runMapper(name: string, pid: number, mappings: readonly IdMapping[], field: string): void {
  const [reader, writer] = mustGet(sys.pipe(), `make a pipe for ${name}`);
  const child = sys.clone(0, -1);
  if (child === 0) {
    sys.dup2(writer, 1);
    sys.dup2(writer, 2);
    sys.closeRange(3, 0x7fffffff, 0);
    sys.resetSignals();
    execMapper(name, pid, mappings);
  }
  sys.close(writer);
  let said = "";
  for (;;) {
    const text = child < 0 ? "" : sys.read(reader, 4096);
    if (text === -c.EINTR) continue;
    if (typeof text === "number" || text === "") break;
    said += text;
  }
  sys.close(reader);
  must(child, `start ${name}`);
  const out = [0];
  sys.waitpid(child, 0, out);
  if (out[0] === 0) return;
  const hint = `${name === "newuidmap" ? "/etc/subuid" : "/etc/subgid"} must give you these ids`;
  throw runtimeError("PermissionDenied", `write ${field} with ${name}: ${said.replace(/\s+$/, "")}`, hint);
}

function execMapper(name: string, pid: number, mappings: readonly IdMapping[]): never {
  const args = [name, String(pid)];
  for (let i = 0; i < mappings.length; i++) {
    const { containerID, hostID, size } = mappings[i] as IdMapping;
    args.push(String(containerID), String(hostID), String(size));
  }
  const dirs = ["/usr/bin", "/usr/local/bin", "/bin"];
  let result = 0;
  for (let i = 0; i < dirs.length; i++) result = sys.execve(`${dirs[i]}/${name}`, args, []);
  sys.writeAll(2, `${sys.errnoText(-result)} (package uidmap)\n`);
  return sys.exit(127);
}

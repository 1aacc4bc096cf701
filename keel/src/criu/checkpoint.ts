import { isFrozen } from "../cgroup/apply.ts";
import { numberFlag, oneId, parseArgs } from "../lib/args.ts";
import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { absolute, ensureDirs } from "../lib/files.ts";
import { deleteContainer, setFrozen } from "../run/kill.ts";
import type { Namespace } from "../spec/types.ts";
import { getRecord, type Record, readSpec, statusOf } from "../state/store.ts";
import { CHECKPOINT_FLAGS, emptyNamespaces, imagePath, parsePageServer, passedThrough } from "./flags.ts";
import { DUMP, encodeRequest, joinOptions, type Options, PRE_DUMP } from "./messages.ts";
import { bindMounts, externalMounts } from "./mounts.ts";
import { findCriu, request, startCriu } from "./service.ts";
import {
  configFile,
  DESCRIPTORS,
  describeStdio,
  joinedNamespaces,
  NAMESPACE_KEYS,
  ownNetwork,
  readMounts,
  resolveInContainer,
} from "./world.ts";

const LOG = "dump.log";

/** `keel checkpoint`: all of a container into files. Whatever fails, the container runs on and no image is left. */
export function checkpoint(args: readonly string[]): number {
  const parsed = parseArgs(args, CHECKPOINT_FLAGS);
  const id = oneId("checkpoint", parsed.rest);
  const what = `checkpoint container ${id}`;
  const { values } = parsed;
  const record = getRecord(id);
  const status = statusOf(record);
  if (status === "created" || status === "stopped")
    throw runtimeError("FailedPrecondition", `container cannot be checkpointed in ${status} state`);
  const passed = passedThrough(parsed);
  const empty = emptyNamespaces(parsed);
  const pageServer = values["page-server"] ? { pageServer: parsePageServer(values["page-server"]) } : {};
  const statusFd = values["status-fd"] === undefined ? -1 : numberFlag("status-fd", values["status-fd"], 0xffff);
  if (statusFd >= 0) mustBeOpen(statusFd);
  const program = findCriu(what);
  const images = imagePath(parsed);
  const work = values["work-path"] ? absolute(values["work-path"]) : images;
  ensureDirs(images, 0o700);
  ensureDirs(work, 0o700);
  const before = () => undefined;
  const service = startCriu({ program, dirs: [images, work], inherited: [], ready: before, before }, what);
  const [imagesDir, workDir] = service.dirs as [number, number];
  const old = namesIn(imagesDir);
  const preDump = values["pre-dump"] === "true";
  try {
    const own = { imagesDir, workDir, logFile: LOG, root: record.rootfs, pid: record.pid };
    const options = joinOptions<Options>([
      passed,
      pageServer,
      parentOf(values["parent-path"], images),
      configFile(record.annotations),
      outside(record, preDump ? -1 : imagesDir, empty),
      freezer(record),
      own,
    ]);
    request(service, encodeRequest(preDump ? PRE_DUMP : DUMP, options), `${work}/${LOG}`, what, ({ script }) => {
      if (script === "status-ready" && statusFd >= 0) {
        sys.write(statusFd, "\u0000");
        sys.close(statusFd);
      }
    });
  } catch (thrown) {
    if (status === "running" && isFrozen(record.cgroups)) setFrozen(record, false);
    removeImages(imagesDir, old);
    throw thrown;
  }
  if (!preDump && values["leave-running"] !== "true") deleteContainer(id, true);
  return 0;
}

/** Mounts, namespaces and stdio that are not saved, and in `imagesDir` (≥ 0) what stdio was. */
function outside(
  record: Record,
  imagesDir: number,
  empty: number,
): Pick<Options, "mounts" | "external" | "emptyNamespaces"> {
  const spec = readSpec(record.id);
  const external: string[] = [];
  const joined = joinedNamespaces(spec);
  for (let i = 0; i < joined.length; i++) {
    const [file, key] = NAMESPACE_KEYS[(joined[i] as Namespace).type] || ["", ""];
    const stat = file === "" ? -1 : sys.fstatat(c.AT_FDCWD, `/proc/${record.pid}/ns/${file}`, 0);
    if (typeof stat !== "number") external.push(`${file}[${stat.ino}]:${key}`);
  }
  const mounted = readMounts(record.pid);
  const binds = bindMounts(spec, record.bundle);
  const destinations: string[] = [];
  for (let i = 0; i < binds.length; i++) destinations.push((binds[i] as readonly [string, string])[0]);
  const stdio = describeStdio(record.pid, mounted);
  for (let i = 0; i < stdio.length; i++) {
    const name = stdio[i] as string;
    if (name.indexOf("file[") === 0 && external.indexOf(name) < 0) external.push(name);
  }
  if (imagesDir >= 0) {
    const flags = c.O_WRONLY | c.O_CREAT | c.O_TRUNC | c.O_NOFOLLOW;
    must(sys.writeFileAt(imagesDir, DESCRIPTORS, JSON.stringify(stdio), flags, 0o600), `write ${DESCRIPTORS}`);
  }
  const mounts = externalMounts(mounted, resolveInContainer(record.pid, destinations));
  return { mounts, external, emptyNamespaces: empty | ownNetwork(spec) };
}

/** Where CRIU stops all processes at once; without one it stops them one by one. */
function freezer(record: Record): { readonly freezeCgroup?: string } {
  for (let i = 0; i < record.cgroups.length; i++) {
    const path = record.cgroups[i] as string;
    if (path.indexOf("/freezer/") >= 0) return { freezeCgroup: path };
  }
  return record.unified && record.cgroups[0] ? { freezeCgroup: record.cgroups[0] } : {};
}

function parentOf(
  path: string | undefined,
  images: string,
): { readonly parentImage?: string; readonly trackMem?: true } {
  if (!path) return {};
  if (path.charAt(0) === "/")
    throw runtimeError("InvalidArgument", `--parent-path: must be relative to --image-path, is "${path}"`);
  const fd = sys.open(`${images}/${path}`, c.O_PATH | c.O_DIRECTORY, 0);
  if (fd < 0) throw callError(`--parent-path: open ${images}/${path}`, fd);
  sys.close(fd);
  return { parentImage: path, trackMem: true };
}

function mustBeOpen(fd: number): void {
  const stat = sys.fstat(fd);
  if (typeof stat === "number") throw callError(`--status-fd ${fd}`, stat);
}

function namesIn(dir: number): readonly string[] {
  sys.lseek(dir, 0, 0);
  const names = sys.readdir(dir);
  return typeof names === "number" ? [] : names;
}

/** Half a checkpoint looks like a whole one; the log stays. */
function removeImages(dir: number, before: readonly string[]): void {
  const names = namesIn(dir);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const image = name === DESCRIPTORS || /\.img$/.test(name);
    if (image && before.indexOf(name) < 0) sys.unlinkat(dir, name, 0);
  }
}

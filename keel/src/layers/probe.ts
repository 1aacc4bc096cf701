import type { LayerProbe } from "@berth/protocol";
import { apart } from "../host/apart.ts";
import { mountStep } from "../host/mount.ts";
import { uncommon } from "../host/uncommon.ts";
import * as c from "../lib/consts.ts";
import { asRuntimeError, callError, must, runtimeError } from "../lib/errors.ts";
import { inUserNamespace } from "../lib/userns.ts";
import { needsFileMarks } from "../unpack/marks.ts";

/**
 * Tries in the empty directory `dir` which ways there are to show layers as one tree: mounts them really, in a mount
 * namespace that is gone afterwards. What is made in `dir` stays.
 *
 * @param options of the overlay mounts that are to come
 */
export function probeLayers(dir: string, options: readonly string[]): LayerProbe {
  const names = ["lower", "upper", "work", "merged"];
  for (let i = 0; i < names.length; i++)
    must(sys.mkdirat(c.AT_FDCWD, `${dir}/${names[i]}`, 0o700), `make ${dir}/${names[i]}`);
  const files = ["overlayfs", "fuse", "idmap"];
  for (let i = 0; i < files.length; i++)
    must(sys.writeFileAt(c.AT_FDCWD, `${dir}/lower/${files[i]}`, "", c.O_WRONLY | c.O_CREAT, 0o600), "make a file");
  const dirs = [`lowerdir=${dir}/lower`, `upperdir=${dir}/upper`, `workdir=${dir}/work`];
  const target = `${dir}/merged`;
  const overlayfs = attempt(() => {
    const lower = must(sys.open(`${dir}/lower`, c.O_RDONLY | c.O_DIRECTORY, 0), `open ${dir}/lower`);
    if (needsFileMarks(lower)) throw runtimeError("FailedPrecondition", "the file system takes no whiteouts");
    sys.close(lower);
    apart(() => {
      mountStep({ op: "mount", type: "overlay", source: "overlay", target, options: dirs.concat(options) });
      return tryWriting(`${target}/overlayfs`);
    });
  });
  const fuse = attempt(() => {
    apart(() => {
      uncommon().mountFuse(target, dirs);
      return tryWriting(`${target}/fuse`);
    });
  });
  const isHere = overlayfs === "" && !inUserNamespace();
  const idmap = isHere ? attempt(() => tryMapping(dir, dirs)) : "needs overlayfs, outside of user namespaces";
  return { overlayfs, fuse, idmap };
}

const MAPPED = 100000;

/** "" or why not. */
function attempt(body: () => void): string {
  try {
    body();
    return "";
  } catch (thrown) {
    return asRuntimeError(thrown).message;
  }
}

/** A mount that cannot change a file of a lower layer, or remove one, is none. */
function tryWriting(file: string): { readonly text: string; readonly fd: Fd } {
  must(sys.fchmodat(c.AT_FDCWD, file, 0o640), "change a file of a lower layer");
  must(sys.unlinkat(c.AT_FDCWD, file, 0), "remove a file of a lower layer");
  return { text: "", fd: -1 };
}

function tryMapping(dir: string, options: readonly string[]): void {
  const map = [{ containerID: 0, hostID: MAPPED, size: 65536 }];
  const idmap = { uid: map, gid: map, layers: "all" } as const;
  const fd = uncommon().makeMapped({ type: "overlay", source: "overlay", target: `${dir}/merged`, options }, idmap);
  const stat = sys.fstatat(fd, "idmap", 0);
  sys.close(fd);
  if (typeof stat === "number") throw callError("look at a file of an id-mapped layer", stat);
  if (stat.uid !== MAPPED) throw runtimeError("FailedPrecondition", "the kernel does not map owners");
}

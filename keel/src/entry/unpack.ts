import type { UnpackResult } from "@berth/protocol";
import { parseArgs } from "../lib/args.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { asRuntimeError, must, runtimeError } from "../lib/errors.ts";
import { print } from "../lib/report.ts";
import { inUserNamespace } from "../lib/userns.ts";
import { applyLayer } from "../unpack/apply.ts";
import { needsFileMarks, useFileMarks } from "../unpack/marks.ts";
import { Tree } from "../unpack/tree.ts";

const DIRECTORY: number = c.O_RDONLY | c.O_DIRECTORY;
const RLIMIT_DATA = 2;
const RLIMIT_NOFILE = 7;
/** More than any layer needs (zstd's window may take 128 MiB): one that makes us grow without end is refused, the host is not. */
const MEMORY = 256 << 20;
const GIB = 1 << 30;
/** With --growing: a pipe whose bytes say that the file on stdin has grown, and whose end says that it is whole. */
const GROWS = 3;
/** With --lowers-later: a pipe whose end says that the lower layers are complete. */
const LOWERS = 4;

/** `keel unpack`: applies the layer on stdin to an overlayfs upper directory. */
function unpack(): void {
  const { values, lists } = parseArgs(context().args, {
    flags: {
      target: "string",
      lower: "list",
      "max-bytes": "string",
      "max-entries": "string",
      "max-ratio": "string",
      "free-bytes": "string",
      growing: "bool",
      "marks-in-files": "bool",
      "lowers-later": "bool",
    },
  });
  const target = values["target"];
  if (!target) throw runtimeError("InvalidArgument", "keel unpack: --target DIR is missing");
  const limit = (name: string, fallback: number): number => {
    const value = values[name] === undefined ? fallback : Math.floor(Number(values[name]));
    if (!(value >= 1)) throw runtimeError("InvalidArgument", `keel unpack: --${name} ${values[name]} is no limit`);
    return value;
  };
  const limits = {
    entries: limit("max-entries", 1e6),
    bytes: limit("max-bytes", GIB),
    freeBytes: limit("free-bytes", GIB),
    ratio: limit("max-ratio", 200),
    devices: !inUserNamespace(),
  };
  sys.prlimit(0, RLIMIT_DATA, MEMORY, MEMORY);
  sys.prlimit(0, RLIMIT_NOFILE, 65536, 65536); // deep trees and long chains; without the right to raise it, less deep ones
  sys.umask(0);
  const root = openDirectory(target);
  const paths = lists["lower"] || [];
  const lowers: Fd[] = [];
  for (let i = 0; i < paths.length; i++) lowers.push(openDirectory(paths[i] as string));
  // Nothing below uses a path that leads out; a mistake of ours shall not either.
  must(sys.chroot(target), `chroot to ${target}`);
  must(sys.chdir("/"), `change directory to ${target}`);
  if (values["marks-in-files"] || needsFileMarks(root)) useFileMarks();
  const tree = new Tree(root, lowers, values["lowers-later"] ? LOWERS : -1);
  const source = { fd: 0, grows: values["growing"] ? GROWS : -1 };
  const { diffId, digest, compressedBytes, tarBytes, entries } = applyLayer(tree, source, limits);
  const result: UnpackResult = { diffId, digest, compressedBytes, tarBytes, entries };
  print(`${JSON.stringify(result)}\n`);
}

function openDirectory(path: string): Fd {
  return must(sys.open(path, DIRECTORY, 0), `open ${path}`);
}

/** The caller is a program: it gets the error whole. */
function main(): never {
  try {
    unpack();
  } catch (thrown) {
    const { code, message, hint, errno, step } = asRuntimeError(thrown);
    sys.writeAll(2, `${JSON.stringify({ code, message, hint, errno, step })}\n`);
    return sys.exit(1);
  }
  return sys.exit(0);
}

main();

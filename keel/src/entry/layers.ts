// What is done with unpacked layers without mounting them; its callers are programs, which get errors whole.
import { Differ } from "../layers/diff.ts";
import { mergeLayers } from "../layers/merge.ts";
import { probeLayers } from "../layers/probe.ts";
import { parseArgs } from "../lib/args.ts";
import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { asRuntimeError, must, runtimeError } from "../lib/errors.ts";
import { print } from "../lib/report.ts";
import type { IdMapping } from "../spec/types.ts";
import { useFileMarks } from "../unpack/marks.ts";

const RLIMIT_NOFILE = 7;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const FLAGS = {
  target: "string",
  layer: "list",
  option: "list",
  "uid-map": "list",
  "gid-map": "list",
} as const;

function layers(): void {
  const { args, command } = context();
  const { values, lists } = parseArgs(args, { flags: FLAGS });
  const target = values["target"] || "";
  if (target === "" && command !== "diff")
    throw runtimeError("InvalidArgument", `keel ${command}: --target DIR is missing`);
  sys.umask(0);
  useFileMarks(); // no other file of a layer has such a name
  sys.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); // whoever cleans up after a killed caller shall find nobody at work
  sys.prlimit(0, RLIMIT_NOFILE, 65536, 65536); // long chains; without the right to raise it, shorter ones
  if (command === "probe") {
    print(`${JSON.stringify(probeLayers(target, lists["option"] || []))}\n`);
    return;
  }
  const dirs = openAll(lists["layer"] || []);
  if (dirs.length === 0) throw runtimeError("InvalidArgument", `keel ${command}: --layer DIR is missing`);
  if (command === "diff") new Differ().run(dirs[0] as Fd, dirs.slice(1));
  else {
    const owners = { uid: mappings(lists["uid-map"] || []), gid: mappings(lists["gid-map"] || []) };
    mergeLayers(dirs, openAll([target])[0] as Fd, owners);
  }
}

function openAll(paths: readonly string[]): Fd[] {
  const fds: Fd[] = [];
  for (let i = 0; i < paths.length; i++)
    fds.push(must(sys.open(paths[i] as string, c.O_RDONLY | c.O_DIRECTORY, 0), `open ${paths[i]}`));
  return fds;
}

/** `containerID:hostID:size`. */
function mappings(texts: readonly string[]): IdMapping[] {
  const list: IdMapping[] = [];
  for (let i = 0; i < texts.length; i++) {
    const match = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(texts[i] as string);
    if (!match) throw runtimeError("InvalidArgument", `keel merge: "${texts[i]}" is no mapping ID:HOST:SIZE`);
    list.push({ containerID: Number(match[1]), hostID: Number(match[2]), size: Number(match[3]) });
  }
  return list;
}

try {
  layers();
} catch (thrown) {
  const { code, message, hint, errno, step } = asRuntimeError(thrown);
  sys.writeAll(2, `${JSON.stringify({ code, message, hint, errno, step })}\n`);
  sys.exit(1);
}
sys.exit(0);

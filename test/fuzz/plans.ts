/** keel's pure parts, in this process: a document becomes a plan or an error that names its place, never anything else. */
import "./kernel.ts";
import "../../keel/src/entry/rare.ts";
import type { CgroupLayout } from "../../keel/src/cgroup/layout.ts";
import { planCgroup } from "../../keel/src/cgroup/plan.ts";
import { checkId, parseArgs } from "../../keel/src/lib/args.ts";
import { parseJson } from "../../keel/src/lib/files.ts";
import { parseMountOptions } from "../../keel/src/lib/mountopts.ts";
import { planNamespaces } from "../../keel/src/plan/namespaces.ts";
import { planProcess } from "../../keel/src/plan/process.ts";
import { planRootfs } from "../../keel/src/plan/rootfs.ts";
import { planSchedule } from "../../keel/src/plan/schedule.ts";
import { filterFor } from "../../keel/src/seccomp/filter.ts";
import type { Process } from "../../keel/src/spec/types.ts";
import { validateProcess, validateResources, validateSpec } from "../../keel/src/spec/validate.ts";
import { parseRecord } from "../../keel/src/state/record.ts";
import { type Json, SPECS } from "./corpus.ts";
import { anyString, mutate, textOf } from "./mutate.ts";
import type { Random } from "./random.ts";

const LAYOUTS: readonly CgroupLayout[] = [
  { unified: true, v1: [], v2Mount: "/sys/fs/cgroup", v2Own: "/own" },
  {
    unified: false,
    v1: ["cpu,cpuacct", "memory", "pids", "devices", "freezer", "blkio", "cpuset", "hugetlb", "name=systemd"].map(
      (name) => ({
        controllers: name,
        mountpoint: `/sys/fs/cgroup/${name.replace("name=", "")}`,
        own: "/own",
      }),
    ),
    v2Mount: "",
    v2Own: "/",
  },
];

/** Plans must hold nothing that a binding would refuse or cut. */
function checkPlan(value: Json, path: string): void {
  if (typeof value === "number" && !Number.isFinite(value)) throw new Error(`plan holds ${value} at ${path}`);
  if (typeof value === "string" && value.includes("\u0000")) throw new Error(`plan holds NUL at ${path}`);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  for (const key of Object.keys(value)) checkPlan(value[key], `${path}.${key}`);
}

function checkContained(steps: readonly Json[]): void {
  for (const step of steps) {
    for (const field of ["dest", "path"]) {
      const path = step[field];
      if (step.op === "root" || typeof path !== "string") continue;
      if (!path.startsWith("/")) throw new Error(`step ${step.op} has a relative ${field}: ${path}`);
    }
  }
}

function planAll(text: string, random: Random): void {
  const spec = validateSpec(parseJson(text, "config.json"));
  const linux = spec.linux ?? {};
  const namespaces = planNamespaces(spec);
  const layout = random.pick(LAYOUTS);
  const cgroup = planCgroup("id", linux.cgroupsPath, linux.resources, layout);
  for (const { path, mountpoint } of cgroup.dirs) {
    if (!path.startsWith(`${mountpoint}/`) || path.split("/").includes(".."))
      throw new Error(`the cgroup ${path} is not below ${mountpoint}`);
  }
  const facts = {
    bundle: "/bundle",
    cgroup: layout,
    cgroupDirs: cgroup.dirs,
    cgroupNamespace: namespaces.newCgroup,
    userNamespace: namespaces.newUser,
    noPivot: random.once(2),
    selinux: random.once(2),
    hostMounts: !namespaces.mount,
  };
  const steps = planRootfs(spec, facts);
  checkContained(steps);
  checkPlan({ namespaces, cgroup, steps }, "plan");
  if (spec.process) {
    checkPlan(planProcess(spec.process, linux.seccomp), "process");
    checkPlan(planSchedule(spec.process, linux), "schedule");
  }
  if (linux.seccomp) filterFor(linux.seccomp, random.once(2) ? "" : "/root");
}

const FLAGS = {
  flags: { bundle: "string", tty: "bool", env: "list" },
  short: { b: "bundle", t: "tty", e: "env" },
} as const;

const RECORD: Json = {
  id: "x",
  pid: 77,
  startTime: "1234",
  bundle: "/b",
  rootfs: "/b/rootfs",
  created: "2026-01-01T00:00:00Z",
  ociVersion: "1.2.0",
  annotations: { a: "b" },
  cgroups: ["/sys/fs/cgroup/memory/x"],
  unified: false,
  poststart: false,
  poststop: true,
  userNamespace: false,
  namespaces: 0,
};

/** One round of each target; throws what is a fault of keel's. */
export const TARGETS: { readonly [name: string]: (random: Random) => string } = {
  config: (random) => {
    const text = textOf(mutate(random.pick(SPECS)(), random), random);
    attempt(() => planAll(text, random), text);
    return text;
  },
  process: (random) => {
    const { process } = mutate(random.pick(SPECS)(), random);
    const text = textOf(process ?? null, random);
    attempt(() => {
      const valid: Process = validateProcess(parseJson(text, "process.json"), "process");
      checkPlan(planProcess(valid, undefined), "process");
    }, text);
    return text;
  },
  resources: (random) => {
    const text = textOf(mutate(random.pick(SPECS)(), random)?.linux?.resources ?? null, random);
    attempt(() => {
      const valid = validateResources(parseJson(text, "resources"), "resources");
      checkPlan(planCgroup("id", undefined, valid, random.pick(LAYOUTS)), "cgroup");
    }, text);
    return text;
  },
  "mount options": (random) => {
    // a NUL is refused with the shape already
    const options = Array.from({ length: random.below(8) }, () => anyString(random).replaceAll("\u0000", ""));
    attempt(() => checkPlan(parseMountOptions(options), "options"), JSON.stringify(options));
    return JSON.stringify(options);
  },
  "cgroup path": (random) => {
    const path = Array.from({ length: random.below(4) }, () => anyString(random)).join("/");
    attempt(() => {
      const { dirs } = planCgroup("id", path, undefined, random.pick(LAYOUTS));
      for (const { path: made, mountpoint } of dirs) {
        if (!made.startsWith(`${mountpoint}/`) || made.length < mountpoint.length + 2 || made.split("/").includes(".."))
          throw new Error(`the cgroup ${made} is not below ${mountpoint}`);
      }
    }, path);
    return path;
  },
  "command line": (random) => {
    const words = Array.from({ length: random.below(6) }, () => `${random.pick(["", "-", "--"])}${anyString(random)}`);
    attempt(() => {
      const { rest } = parseArgs(words, FLAGS);
      const id = checkId(rest[0] ?? "");
      if (id.includes("/") || id.startsWith(".")) throw new Error(`the id ${id} is a path`);
    }, JSON.stringify(words));
    return JSON.stringify(words);
  },
  state: (random) => {
    const text = textOf(mutate(structuredClone(RECORD), random), random);
    attempt(() => {
      const record = parseRecord(text, "x");
      if (!(record.pid > 0) || !Array.isArray(record.cgroups)) throw new Error("a state that cannot be used is taken");
    }, text);
    return text;
  },
};

const CODES = ["InvalidArgument", "FailedPrecondition", "Unimplemented", "PermissionDenied", "NotFound", "DataLoss"];

/** What is refused has a code, and says where. */
function attempt(body: () => void, input: string): void {
  try {
    body();
  } catch (thrown) {
    const { runtimeError, code, message } = thrown as { runtimeError?: boolean; code?: string; message?: string };
    if (runtimeError !== true) throw new Error(`keel throws ${String(thrown)} for ${input}`, { cause: thrown });
    if (code === undefined || !CODES.includes(code)) throw new Error(`keel says ${code}: ${message} for ${input}`);
    const named =
      message?.startsWith("invalid config.json: ") !== true || /^invalid config\.json: [\s\S]+: /.test(message);
    if (!named && message !== "invalid config.json: must be an object")
      throw new Error(`no place is named in "${message}" for ${input}`);
  }
}

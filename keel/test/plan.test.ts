import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bundle, keel, type Loose, run, skip, stateDir } from "./harness.ts";

interface Planned {
  readonly by: string;
  readonly op: string;
  readonly [detail: string]: unknown;
}

const MAPPINGS = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

const cases: readonly [string, (spec: Loose) => void][] = [
  ["the default spec", () => {}],
  [
    "a user namespace",
    (spec) => {
      spec.linux.namespaces.push({ type: "user" });
      spec.linux.uidMappings = MAPPINGS;
      spec.linux.gidMappings = MAPPINGS;
    },
  ],
  [
    "hooks, a filter and scheduling",
    (spec) => {
      const hook = [{ path: "/bin/true" }];
      spec.hooks = {
        prestart: hook,
        createRuntime: hook,
        createContainer: hook,
        poststart: hook,
        startContainer: hook,
      };
      spec.linux.seccomp = {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO" }],
      };
      spec.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 2 };
      spec.process.noNewPrivileges = false;
    },
  ],
  [
    "no cgroup namespace, no network namespace",
    (spec) => {
      spec.hostname = undefined;
      spec.linux.namespaces = [{ type: "mount" }, { type: "pid" }];
    },
  ],
];

for (const [name, change] of cases) {
  test(`plan: it lists what --trace then tells, step by step: ${name}`, { skip }, () => {
    const made = bundle(["true"], change);
    for (const dir of ["sys/fs/cgroup", "dev/pts", "dev/shm", "dev/mqueue"])
      mkdirSync(join(made.rootfs, dir), { recursive: true });
    const planned = JSON.parse(keel("plan", "-f", "json", "--id", made.id, made.dir).out) as Planned[];
    const ran = run(made, "--trace");
    assert.equal(ran.code, 0, ran.err);
    const told = [...ran.err.matchAll(/^ *\d+ us {2}(\w+) +(hook \w+|\w+).*: ok$/gm)].map((match) => [
      match[1],
      match[2],
    ]);
    for (const actor of ["runtime", "init"]) {
      assert.deepEqual(
        told.filter(([by]) => by === actor).map(([, op]) => op),
        planned.filter(({ by }) => by === actor).map(({ op }) => op),
        ran.err,
      );
    }
  });
}

test("plan: nothing is touched, and a bundle that cannot be run says why", { skip }, () => {
  const made = bundle(["true"], (spec) => {
    spec.linux.resources.memory = { limit: 1 << 25 };
  });
  const text = keel("plan", "--id", made.id, made.dir);
  assert.equal(text.code, 0, text.err);
  assert.match(text.out, /^\d+\tinit\tmount fstype=proc source=proc dest=\/proc/m);
  assert.match(text.out, /memory\.(max|limit_in_bytes)=33554432/);
  assert.match(text.out, /\tinit\texecve/);
  assert.ok(!existsSync(stateDir(made.id)));
  writeFileSync(join(made.dir, "config.json"), "{}");
  const told = keel("plan", made.dir);
  assert.equal(told.code, 1);
  assert.match(told.err, /invalid config\.json: ociVersion: is required/);
});

test("trace: the step that failed is told with its reason", { skip }, () => {
  const made = bundle(["true"], (spec) => {
    spec.mounts.push({ destination: "/x", type: "bind", source: "/nowhere", options: ["bind"] });
  });
  const ran = run(made, "--trace");
  assert.equal(ran.code, 1);
  assert.match(ran.err, /^ *\d+ us {2}init +bind .*"\/nowhere".*: bind \/nowhere at \/x: no such file or directory$/m);
});

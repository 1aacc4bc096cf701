import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  bundle,
  inUserNamespace,
  keel,
  keelDetached,
  type Loose,
  run,
  skip,
  sleeping,
  state,
  stateDir,
  until,
} from "./harness.ts";

/** Texts and small behaviours that callers of runc and crun count on, in our own words. */
const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

const V1 = existsSync("/sys/fs/cgroup/memory/memory.limit_in_bytes");
const config = (change: (s: Loose) => void): string => run(bundle(["true"], change)).err;

t("memory policy: what is wrong with one is told in runc's words", () => {
  const policy = (memoryPolicy: object): string =>
    config((s) => {
      s.linux.memoryPolicy = memoryPolicy;
    });
  assert.match(policy({}), /invalid memory policy mode ""/);
  assert.match(policy({ mode: "BIND", nodes: "0" }), /invalid memory policy mode "BIND"/);
  assert.match(policy({ mode: "MPOL_BIND", nodes: "0", flags: ["X"] }), /invalid memory policy flag "X"/);
  assert.match(policy({ mode: "MPOL_BIND", nodes: "0-99999" }), /invalid memory policy node list "0-99999"/);
  assert.match(policy({ mode: "MPOL_LOCAL", nodes: "0-2,9" }), /MPOL_LOCAL mode requires 0 nodes but got 4/);
});

t("scheduler: a deadline that cannot be met is refused with its rule", () => {
  const scheduler = (rest: object): string =>
    config((s) => {
      s.process.scheduler = { policy: "SCHED_DEADLINE", ...rest };
    });
  assert.match(
    scheduler({ deadline: 20000 }),
    /scheduler\.runtime: sched_setattr: `SCHED_DEADLINE` requires `runtime`/,
  );
  assert.match(
    scheduler({ runtime: 20000 }),
    /scheduler\.deadline: sched_setattr: `SCHED_DEADLINE` requires `deadline`/,
  );
  assert.match(scheduler({ runtime: 3000, deadline: 2000 }), /runtime \(3000\) must be <= deadline \(2000\)/);
  assert.match(scheduler({ runtime: 1, deadline: 3000, period: 2000 }), /deadline \(3000\) must be <= period \(2000\)/);
  assert.match(scheduler({ runtime: 0, deadline: 3000 }), /runtime must be greater than 0/);
  assert.match(scheduler({ runtime: 1023, deadline: 3000 }), /runtime \(1023\) must be between 1024 and 2\^63/);
});

t("scheduler: a deadline on some CPUs only is refused with the reason", () => {
  const error = config((s) => {
    s.process.scheduler = { policy: "SCHED_DEADLINE", runtime: 42_000, deadline: 1_000_000, period: 1_000_000 };
    s.linux.resources = { cpu: { cpus: "0" } };
  });
  assert.match(error, /process scheduler can't be used together with AllowedCPUs/);
});

t("devices: those that are bound into a user namespace hold no programs", () => {
  const made = bundle(["grep", " /dev/null ", "/proc/self/mountinfo"], inUserNamespace);
  assert.match(run(made).out, / \/dev\/null rw,nosuid,noexec,/);
});

t("bind mounts: an access time option takes the place of all of the source's", () => {
  const source = "/run/keel-test-times";
  const shown = (before: string, options: string[]): string => {
    spawnSync("mount", ["-t", "tmpfs", "-o", before, "none", source]);
    const made = bundle(["grep", " /mnt ", "/proc/self/mounts"], (s) => {
      s.mounts.push({ destination: "/mnt", source, options: ["bind", ...options] });
    });
    const { out } = run(made);
    spawnSync("umount", [source]);
    return out.split(" ")[3] ?? "";
  };
  mkdirSync(source, { recursive: true });
  assert.match(shown("noatime", ["nodiratime"]), /^rw,nodiratime,relatime/);
  assert.doesNotMatch(shown("nodiratime", ["strictatime"]), /(^|,)(nodir|rel|no)/);
  rmSync(source, { recursive: true });
});

t("exec --debug: tells the mask of CPUs that the process begins with", () => {
  const made = sleeping();
  const file = join(made.dir, "process.json");
  writeFileSync(file, JSON.stringify({ args: ["true"], cwd: "/", execCPUAffinity: { initial: "0" } }));
  const ran = keel("--debug", "exec", "--process", file, made.id);
  assert.match(ran.err, /level=debug msg="nsexec[^"]*: affinity: 0x1"/);
  keel("delete", "-f", made.id);
});

t("seccomp: a profile without flags is loaded with SPEC_ALLOW, one with none of them without", () => {
  const flags = (rest: object): string => {
    const made = bundle(["true"], (s) => {
      s.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", ...rest };
    });
    return keel("--debug", "run", "-b", made.dir, made.id).err;
  };
  assert.match(flags({}), /seccomp filter flags: 4"/);
  assert.match(flags({ flags: [] }), /seccomp filter flags: 0"/);
});

t("update --memory -1: takes the limit of memory and swap away too", () => {
  const made = sleeping((s) => {
    s.linux.resources = { memory: { limit: 33554432, swap: 67108864 } };
  });
  const ran = keel("update", "--memory", "-1", made.id);
  assert.equal(ran.code, 0, ran.err);
  const written = JSON.parse(readFileSync(join(stateDir(made.id), "config.json"), "utf8")) as Loose;
  assert.deepEqual(written.linux.resources.memory, { limit: -1, swap: -1 });
  keel("delete", "-f", made.id);
});

test("update devices: a letter that is no access gives nothing, and refuses all", {
  skip: skip || (V1 ? false : "cgroup v1 only"),
}, () => {
  const made = sleeping((s) => {
    s.linux.resources = {
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 11, access: "ra" },
        { allow: false, type: "c", major: 5, minor: 0, access: "ra" },
      ],
    };
  });
  const path = (state(made.id) as Loose).pid as number;
  const own = /^\d+:devices:(.*)$/m.exec(readFileSync(`/proc/${path}/cgroup`, "utf8"))?.[1] as string;
  const list = readFileSync(`/sys/fs/cgroup/devices${own}/devices.list`, "utf8");
  assert.match(list, /^c 1:11 r$/m);
  keel("delete", "-f", made.id);
});

t("create: a container that waits for its start ends by TERM", async () => {
  const made = bundle(["true"]);
  assert.equal(keelDetached("create", "-b", made.dir, made.id).code, 0);
  assert.equal(keel("kill", made.id, "TERM").code, 0);
  await until(() => (state(made.id) as Loose).status === "stopped");
  assert.equal(keel("delete", made.id).code, 0);
});

t("start, run: a poststart hook that fails stops and deletes the container", () => {
  const change = (s: Loose): void => {
    s.hooks = { poststart: [{ path: "/bin/false" }] };
  };
  const created = bundle(["sleep", "100"], change);
  assert.equal(keelDetached("create", "-b", created.dir, created.id).code, 0);
  assert.match(keel("start", created.id).err, /error running poststart hook #0/);
  assert.equal(existsSync(stateDir(created.id)), false);
  const direct = bundle(["sleep", "100"], change);
  assert.equal(keelDetached("run", "-d", "-b", direct.dir, direct.id).code, 1);
  assert.equal(existsSync(stateDir(direct.id)), false);
});

t("config.json: a mapping of all ids but the last; a name that its sysctl contradicts", () => {
  const error = config((s) => {
    s.linux.namespaces.push({ type: "user" });
    s.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 4294967295 }];
    s.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 4294967295 }];
  });
  assert.equal(error, "");
  const twice = config((s) => {
    s.domainname = "one";
    s.linux.sysctl = { "kernel.domainname": "two" };
  });
  assert.match(
    config((s) => {
      s.linux.sysctl = { "kernel/hostname": "two" };
    }),
    /use the field hostname/,
  );
  assert.match(twice, /linux\.sysctl\["kernel\.domainname"\]: is "two", but domainname is "one"/);
});

t("--log, --log-format: what cannot be written to is refused before anything is done", () => {
  assert.match(keel("--log-format", "xml", "list").err, /invalid log-format "xml"/);
  const ran = keel("--log", "/none/log", "list");
  assert.equal(ran.code, 1);
  assert.match(ran.err, /open log file \/none\/log: no such file or directory/);
});

t("COMMAND --help: begins with the command itself", () => {
  for (const command of ["create", "run", "pause", "resume", "delete", "update", "checkpoint", "restore"])
    assert.match(keel(command, "--help").out, new RegExp(`^NAME:\\n   keel ${command} `), command);
});

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { newId } from "@berth/base";
import { readDevices, readHostFacts } from "@berth/linux";
import { type ContainerSpec, formatSpec, planContainerMount, planSpec, type SpecInput } from "../src/index.ts";
import { imageOf, specOf } from "../src/testing.ts";

const BUSYBOX = "/usr/bin/busybox";
const KEEL = resolve(import.meta.dirname, "../../../keel/build/keel");
const TOOLS = [
  "sh",
  "cat",
  "ls",
  "grep",
  "id",
  "hostname",
  "mount",
  "unshare",
  "touch",
  "pwd",
  "env",
  "stat",
  "wc",
  "ps",
  "ping",
];
const host = readHostFacts();
const dir = mkdtempSync(join(tmpdir(), "berth-spec-"));

/** Runtimes that are here: the plan is for all of them. crun refuses hybrid cgroups. */
const runtimes: readonly (readonly [name: string, path: string])[] = (
  [
    ["keel", KEEL],
    ["runc", "/usr/sbin/runc"],
    ["crun", "/usr/bin/crun"],
  ] as const
).filter(([name, path]) => existsSync(path) && !(name === "crun" && host.cgroup.version === "hybrid"));

const skip =
  process.getuid?.() !== 0
    ? "needs root"
    : existsSync(BUSYBOX) && existsSync("/dev/fuse") && runtimes.length > 0
      ? false
      : "needs busybox, /dev/fuse and a runtime";

before(() => {
  if (skip) return;
  const rootfs = join(dir, "rootfs");
  for (const name of ["bin", "etc", "proc", "dev", "sys", "tmp"]) mkdirSync(join(rootfs, name), { recursive: true });
  cpSync(realpathSync(BUSYBOX), join(rootfs, "bin/busybox"));
  for (const name of TOOLS) symlinkSync("busybox", join(rootfs, "bin", name));
});

after(() => rmSync(dir, { recursive: true }));

/** Runs `script` in a container that differs from docker's defaults by `spec` and `more`. */
function run(runtime: string, script: string, spec: Partial<ContainerSpec> = {}, more: Partial<SpecInput> = {}) {
  const id = newId();
  const bundle = join(dir, id);
  mkdirSync(bundle);
  const planned = planSpec({
    id,
    spec: specOf({ network: "none", command: ["sh", "-c", script], ...spec }),
    image: imageOf(),
    host,
    user: { uid: 0, gid: 0, additionalGids: [0], home: "/root" },
    rootfs: join(dir, "rootfs"),
    mounts: [],
    devices: [],
    files: {},
    hostname: "box",
    netnsPath: undefined,
    cgroupsPath: `/berth-spec/${id}`,
    keelPath: KEEL,
    ...more,
  });
  writeFileSync(join(bundle, "config.json"), formatSpec(planned));
  const args = ["--root", join(dir, "state"), "run", "--bundle", bundle, id];
  const done = spawnSync(runtime, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 30_000 });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

for (const [name, path] of runtimes) {
  const t = (what: string, body: () => void): void => void test(`${name}: ${what}`, { skip }, body);

  t("default security as docker's, seen from inside", () => {
    const script =
      "grep -E '^(Cap(Eff|Bnd|Inh)|Seccomp|NoNewPrivs):' /proc/self/status; wc -c </proc/keys; touch /proc/sys/kernel/hostname; ls /sys/firmware; unshare -U true";
    const { out, err } = run(path, script);
    assert.match(out, /CapInh:\s+0{16}\nCapEff:\s+00000000a80425fb\nCapBnd:\s+00000000a80425fb\n/, err);
    assert.match(out, /NoNewPrivs:\s+0\nSeccomp:\s+2\n0\n$/);
    assert.match(err, /hostname: Read-only[\s\S]*unshare.*Operation not permitted/);
  });

  t("default devices and mounts, and nothing more", () => {
    const { out, err } = run(path, "ls /dev; echo; mount | grep -E ' on /(sys|dev/shm|proc) '");
    const devices = out
      .slice(0, out.indexOf("\n\n"))
      .split("\n")
      .filter((one) => one !== "core");
    assert.equal(
      devices.join(" "),
      "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
      err,
    );
    assert.match(out, /sysfs on \/sys type sysfs \(ro,nosuid,nodev,noexec/);
    assert.match(out, /on \/dev\/shm type tmpfs \(rw,nosuid,nodev,noexec,relatime,size=65536k/);
  });

  t("user, groups, hostname, environment, working directory", () => {
    const user = { uid: 33, gid: 50, additionalGids: [50, 44], home: "/var/www" };
    const { out, err } = run(
      path,
      "id; hostname; pwd; echo $A $HOME $HOSTNAME; grep CapEff /proc/self/status",
      { env: ["A=1"], workdir: "/made" },
      { user },
    );
    assert.equal(out, "uid=33 gid=50 groups=44,50\nbox\n/made\n1 /var/www box\nCapEff:\t0000000000000000\n", err);
  });

  t("limits reach the control group and the process", () => {
    const resources = { memoryBytes: 64 * 1024 ** 2, pidsLimit: 7, cpus: 0.5 };
    const ulimits = [{ name: "nofile", soft: 100, hard: 200 }];
    const script =
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max; ulimit -n; ulimit -Hn";
    const { out, err } = run(path, script, { resources, ulimits });
    assert.match(out, /^67108864\n7\n50000( 100000)?\n100\n200\n$/, err);
  });

  t("bind, read-only bind, tmpfs, read-only root, files of /etc", () => {
    const source = join(dir, `bind-${name}`);
    mkdirSync(source);
    writeFileSync(join(source, "f"), "host\n");
    const bind = { kind: "bind", source, createSource: true } as const;
    const mounts = [
      planContainerMount({ ...bind, target: "/ro", readOnly: true }, source, ""),
      planContainerMount({ ...bind, target: "/rw", readOnly: false }, source, ""),
      planContainerMount({ kind: "tmpfs", target: "/t", options: ["size=1m"] }, "", ""),
    ];
    const script = "cat /etc/hosts; touch /ro/x; touch /rw/y && touch /t/z && echo ok; touch /q; mount | grep ' /t '";
    const { out, err } = run(path, script, { readOnly: true }, { mounts, files: { hosts: join(source, "f") } });
    assert.match(out, /^host\nok\ntmpfs on \/t type tmpfs \(rw,nosuid,nodev,noexec,relatime,size=1024k/, err);
    assert.match(err, /\/ro\/x: Read-only[\s\S]*\/q: Read-only/);
    assert.ok(existsSync(join(source, "y")));
  });

  t("a device is there with the access asked for; privileged has the host's", () => {
    const devices = readDevices("/dev/fuse").map((one) => ({ ...one, path: "/dev/other", access: "r" }));
    const numbers = devices.map((one) => `${one.major.toString(16)}:${one.minor.toString(16)}`).join();
    const script = "stat -c %t:%T /dev/other; : </dev/other && echo read; : >/dev/other";
    const { out, err } = run(path, script, {}, { devices });
    assert.equal(out, `${numbers}\nread\n`, err);
    assert.match(err, /Operation not permitted/);
    const inside =
      "grep Seccomp: /proc/self/status; : >/dev/other && echo written; touch /proc/sys/kernel/hostname && echo open";
    const all = run(path, inside, { privileged: true }, { devices });
    assert.match(all.out, /Seccomp:\s+0\nwritten\nopen\n/, all.err);
  });

  t("a custom profile, and none", () => {
    const profile = JSON.stringify({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
    });
    const security = { ...specOf().security, seccomp: profile };
    assert.match(run(path, "/bin/busybox mkdir /tmp/x", { security }).err, /No space left on device/);
    const unconfined = { ...security, seccomp: "unconfined" };
    assert.match(run(path, "grep Seccomp: /proc/self/status", { security: unconfined }).out, /Seccomp:\s+0/);
  });

  t("no-new-privileges, dropped capabilities, sysctls", () => {
    const security = { ...specOf().security, noNewPrivileges: true };
    const script =
      "grep -E 'CapEff|NoNewPrivs' /proc/self/status; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
    const { out, err } = run(path, script, {
      security,
      capDrop: ["ALL"],
      capAdd: ["CHOWN"],
      sysctls: { "kernel.msgmax": "9999" },
    });
    assert.match(out, /CapEff:\s+0000000000000001\nNoNewPrivs:\s+1\n0\n9999\n/, err);
  });
}

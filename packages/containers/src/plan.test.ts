import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { CAPABILITIES } from "@berth/linux";
import { formatSpec, planContainerMount, planHostname, planMounts, planSpec, planStopSignal } from "./index.ts";
import type { RuntimeMount, RuntimeSpec, SpecInput } from "./plan-types.ts";
import { HOST, ID, imageOf, specOf } from "./testing.ts";
import type { ContainerSpec, MountSpec } from "./types.ts";

function plan(spec: Partial<ContainerSpec> = {}, more: Partial<SpecInput> = {}): RuntimeSpec {
  return planSpec({
    id: ID,
    spec: specOf(spec),
    image: imageOf(),
    host: HOST,
    user: { uid: 0, gid: 0, additionalGids: [0], home: "/root" },
    rootfs: "/run/berth/x/rootfs",
    mounts: [],
    devices: [],
    files: {},
    hostname: "box",
    netnsPath: "/run/berth/x/netns",
    cgroupsPath: `/berth/${ID}`,
    keelPath: "/opt/keel",
    ...more,
  });
}

const mountAt = (spec: RuntimeSpec, target: string): RuntimeMount | undefined =>
  spec.mounts.find((mount) => mount.destination === target);

const refuses =
  (code: "InvalidArgument" | "FailedPrecondition", text: RegExp) =>
  (error: unknown): boolean =>
    isCode(error, code) && text.test(error.message);

test("planSpec: docker's default security: 14 capabilities, a filter, masked paths, no devices, own namespaces", () => {
  const spec = plan();
  assert.equal(spec.process.capabilities.bounding.length, 14);
  assert.deepEqual(spec.process.capabilities.effective, spec.process.capabilities.bounding);
  assert.deepEqual(spec.process.capabilities.inheritable, []);
  assert.equal(spec.linux.seccomp?.defaultAction, "SCMP_ACT_ERRNO");
  assert.deepEqual(spec.linux.resources, { devices: [{ allow: false, access: "rwm" }] });
  assert.ok(spec.linux.maskedPaths.includes("/proc/kcore") && spec.linux.readonlyPaths.includes("/proc/sys"));
  assert.deepEqual(
    spec.linux.namespaces.map((one) => one.type),
    ["pid", "ipc", "uts", "mount", "cgroup", "network"],
  );
  assert.equal("rlimits" in spec.process, false);
  assert.equal("devices" in spec.linux, false);
});

test("planSpec: a user other than root has an empty effective and permitted set, as after execve", () => {
  const { capabilities, user } = plan({}, { user: { uid: 33, gid: 50, additionalGids: [50], home: "" } }).process;
  assert.deepEqual(user, { uid: 33, gid: 50, additionalGids: [50] });
  assert.equal(capabilities.bounding.length, 14);
  assert.deepEqual([capabilities.effective, capabilities.permitted, capabilities.ambient], [[], [], []]);
});

test("planSpec: capabilities this process lacks are left out of defaults, and named if asked for", () => {
  const host = { ...HOST, capabilities: CAPABILITIES.filter((cap) => cap !== "CAP_MKNOD") };
  assert.equal(plan({}, { host }).process.capabilities.bounding.length, 13);
  assert.throws(() => plan({ capAdd: ["mknod"] }, { host }), refuses("FailedPrecondition", /CAP_MKNOD/));
});

test("planSpec: namespaces follow the network mode and the cgroup version", () => {
  const network = (spec: Partial<ContainerSpec>, more: Partial<SpecInput> = {}): unknown =>
    plan(spec, more).linux.namespaces.find((one) => one.type === "network");
  assert.deepEqual(network({}), { type: "network", path: "/run/berth/x/netns" });
  assert.deepEqual(network({ network: "none" }, { netnsPath: undefined }), { type: "network" });
  assert.equal(network({ network: "host" }, { netnsPath: undefined }), undefined);
  const v1 = { ...HOST, cgroup: { ...HOST.cgroup, version: "hybrid" as const } };
  assert.equal(
    plan({}, { host: v1 }).linux.namespaces.some((one) => one.type === "cgroup"),
    false,
  );
});

test("planSpec: privileged: everything this process may, host's devices, nothing masked, read-only or filtered", () => {
  const sda = { path: "/dev/sda", type: "b", major: 8, minor: 0, mode: 0o660, uid: 0, gid: 6, access: "rwm" } as const;
  const nothing = { ...sda, path: "/dev/null", type: "c" as const };
  const spec = plan({ privileged: true }, { devices: [sda, nothing] });
  assert.deepEqual(spec.process.capabilities.bounding, CAPABILITIES);
  assert.equal(spec.linux.seccomp, undefined);
  assert.deepEqual([spec.linux.maskedPaths, spec.linux.readonlyPaths], [[], []]);
  assert.deepEqual(spec.linux.resources.devices, [{ allow: true, access: "rwm" }]);
  assert.deepEqual(spec.linux.devices, [
    { path: "/dev/sda", type: "b", major: 8, minor: 0, fileMode: 0o660, uid: 0, gid: 6 },
  ]);
  assert.ok(mountAt(spec, "/sys")?.options.includes("rw"));
  assert.ok(mountAt(spec, "/sys/fs/cgroup")?.options.includes("rw"));
});

test("planSpec: a device is made and allowed with the access asked for", () => {
  const fuse = {
    path: "/dev/fuse",
    type: "c",
    major: 10,
    minor: 229,
    mode: 0o666,
    uid: 0,
    gid: 0,
    access: "rw",
  } as const;
  const { devices, resources } = plan({}, { devices: [fuse] }).linux;
  assert.equal(devices?.[0]?.path, "/dev/fuse");
  assert.deepEqual(resources.devices[1], { allow: true, type: "c", major: 10, minor: 229, access: "rw" });
});

test("planSpec: read-only root: own file systems stay writable, /sys and the files of /etc do not", () => {
  const spec = plan({ readOnly: true }, { files: { hosts: "/x/hosts" } });
  assert.equal(spec.root.readonly, true);
  for (const target of ["/dev", "/dev/shm", "/proc"])
    assert.equal(mountAt(spec, target)?.options.includes("ro"), false);
  assert.ok(mountAt(spec, "/etc/hosts")?.options.includes("ro"));
  assert.equal(mountAt(plan({}, { files: { hosts: "/x/hosts" } }), "/etc/hosts")?.options.includes("ro"), false);
});

const resolved = (mount: MountSpec, source = "/host"): SpecInput["mounts"][number] =>
  planContainerMount(mount, source, mount.kind === "volume" ? "vol" : "");
const bind = (target: string, more: object = {}): MountSpec => ({
  kind: "bind",
  source: "/host",
  target,
  readOnly: false,
  createSource: true,
  ...more,
});

test("planSpec: mounts come after the defaults, outer before inner, and replace a default at the same place", () => {
  const mounts = [bind("/a/b/c"), bind("/a"), bind("/dev/shm"), bind("/etc/hosts")].map((one) => resolved(one));
  const spec = plan({}, { mounts, files: { hosts: "/x/hosts", hostname: "/x/hostname" } });
  const targets = spec.mounts.map((mount) => mount.destination);
  assert.deepEqual(targets.slice(-5), ["/a", "/etc/hostname", "/dev/shm", "/etc/hosts", "/a/b/c"]);
  assert.equal(targets.filter((target) => target === "/dev/shm").length, 1);
  assert.equal(mountAt(spec, "/etc/hosts")?.source, "/host");
  const dev = plan({}, { mounts: [resolved(bind("/dev"))] });
  assert.deepEqual(
    dev.mounts.map((mount) => mount.destination).filter((target) => target.startsWith("/dev")),
    ["/dev"],
  );
});

test("planSpec: bind mounts: read-only also below where the kernel can, propagation, not recursive", () => {
  const options = (more: object, host = HOST): readonly string[] | undefined =>
    mountAt(plan({}, { mounts: [resolved(bind("/m", more))], host }), "/m")?.options;
  assert.deepEqual(options({}), ["rbind", "rprivate"]);
  assert.deepEqual(options({ readOnly: true }), ["rbind", "rprivate", "ro", "rro"]);
  assert.deepEqual(options({ readOnly: true }, { ...HOST, kernelRelease: "5.4.0" }), ["rbind", "rprivate", "ro"]);
  assert.deepEqual(options({ readOnly: true, nonRecursive: true }), ["bind", "rprivate", "ro"]);
  assert.deepEqual(options({ propagation: "rshared" }), ["rbind", "rshared"]);
  const propagation = (word: string): unknown =>
    plan({}, { mounts: [resolved(bind("/m", { propagation: word }))] }).linux.rootfsPropagation;
  assert.deepEqual(["rprivate", "shared", "rslave"].map(propagation), [undefined, "shared", "rslave"]);
});

test("planContainerMount: tmpfs has docker's options with the user's on top; a volume is filled unless it must not be", () => {
  const tmpfs = (...options: string[]): readonly string[] => resolved({ kind: "tmpfs", target: "/t", options }).options;
  assert.deepEqual(tmpfs(), ["noexec", "nosuid", "nodev"]);
  assert.deepEqual(tmpfs("exec", "size=64m", "mode=1777"), ["exec", "nosuid", "nodev", "size=64m", "mode=1777"]);
  assert.equal(resolved({ kind: "tmpfs", target: "/t", options: ["ro"] }).readOnly, true);
  for (const bad of ["size=x", "nosuch", "lowerdir=/", "mode=9", "__proto__=1"]) {
    assert.throws(() => tmpfs(bad), refuses("InvalidArgument", /tmpfs/));
  }
  const volume = { kind: "volume", source: "vol", target: "/v", readOnly: true } as const;
  assert.equal(resolved({ ...volume, noCopy: false }).copyUp, true);
  assert.equal(resolved({ ...volume, noCopy: true }).copyUp, false);
});

test("planMounts: the image's volumes are added unless something is mounted there; targets are clean", () => {
  const image = imageOf({ Volumes: { "/data/": {}, "/over": {}, rel: {} } });
  const mounts = planMounts(specOf({ mounts: [bind("//over/./x/..")] }), image);
  assert.deepEqual(
    mounts.map((mount) => [mount.kind, mount.target]),
    [
      ["bind", "/over"],
      ["volume", "/data"],
      ["volume", "/rel"],
    ],
  );
});

test("planMounts: a target that is relative, the root, or there twice is refused", () => {
  const targets: readonly (readonly string[])[] = [["rel"], ["/"], ["/a/.."], [""], ["/x\0"], ["/a", "/a/"]];
  for (const list of targets) {
    const mounts = list.map((target) => bind(target));
    assert.throws(() => planMounts(specOf({ mounts }), imageOf()), refuses("InvalidArgument", /mount at/), list.join());
  }
});

test("planSpec: init runs before the command and is bound read-only", () => {
  const spec = plan({ init: true, command: ["a", "b"] });
  assert.deepEqual(spec.process.args, ["/sbin/docker-init", "init", "--", "a", "b"]);
  assert.deepEqual(mountAt(spec, "/sbin/docker-init"), {
    destination: "/sbin/docker-init",
    type: "bind",
    source: "/opt/keel",
    options: ["rbind", "rprivate", "ro"],
  });
});

test("planSpec: sysctls: ping and low ports as docker, the user's over them, none of the network on the host's", () => {
  assert.deepEqual(plan().linux.sysctl, {
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.ip_unprivileged_port_start": "0",
  });
  const own = { "net.ipv4.ip_unprivileged_port_start": "1024" };
  assert.equal(plan({ sysctls: own }).linux.sysctl["net.ipv4.ip_unprivileged_port_start"], "1024");
  assert.deepEqual(plan({ network: "host" }).linux.sysctl, {});
});

test("planSpec: AppArmor's profile only where it is enabled; a named one is refused elsewhere", () => {
  const security = { ...specOf().security, apparmor: "mine" };
  assert.equal(plan({ security }, { host: { ...HOST, apparmor: true } }).process.apparmorProfile, "mine");
  assert.throws(() => plan({ security }), refuses("FailedPrecondition", /mine.*AppArmor/));
  assert.equal(plan({ security: { ...security, apparmor: "unconfined" } }).process.apparmorProfile, undefined);
});

test("formatSpec: numbers beyond 2^53 stay exact", () => {
  const text = formatSpec(plan({ ulimits: [{ name: "nofile", soft: 1024, hard: -1 }] }));
  assert.match(text, /\{"type":"RLIMIT_NOFILE","soft":1024,"hard":18446744073709551615\}/);
});

test("planHostname and planStopSignal: the user's, else the host's on its network or the short id; the image's, else TERM", () => {
  assert.equal(planHostname({ hostname: "mine", network: "host" }, ID, "vm"), "mine");
  assert.equal(planHostname({ network: "host" }, ID, "vm"), "vm");
  assert.equal(planHostname({ network: "bridge" }, ID, "vm"), "0123456789ab");
  assert.equal(planStopSignal({}, imageOf()), 15);
  assert.equal(planStopSignal({}, imageOf({ StopSignal: "SIGQUIT" })), 3);
  assert.equal(planStopSignal({ stopSignal: "9" }, imageOf({ StopSignal: "SIGQUIT" })), 9);
});

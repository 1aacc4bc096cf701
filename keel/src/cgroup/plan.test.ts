import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { planDeviceProgram } from "./bpf.ts";
import type { CgroupLayout } from "./layout.ts";
import { planCgroup } from "./plan.ts";
import { cpuWeight } from "./resources.ts";

const v1: CgroupLayout = {
  unified: false,
  v1: [
    { controllers: "cpu,cpuacct", mountpoint: "/sys/fs/cgroup/cpu,cpuacct", own: "/me" },
    { controllers: "memory", mountpoint: "/sys/fs/cgroup/memory", own: "/me" },
    { controllers: "devices", mountpoint: "/sys/fs/cgroup/devices", own: "/" },
  ],
  v2Mount: "/sys/fs/cgroup/unified",
  v2Own: "/me",
};
const v2: CgroupLayout = { unified: true, v1: [], v2Mount: "/sys/fs/cgroup", v2Own: "/me/session.scope" };

test("cgroup plan: an absolute path is below the mount, a relative one below the own cgroup, with version 2 beside it", () => {
  assert.equal(planCgroup("a", "/x/a", {}, v1).dirs[0]?.path, "/sys/fs/cgroup/cpu,cpuacct/x/a");
  assert.equal(planCgroup("a", "x/a", {}, v1).dirs[0]?.path, "/sys/fs/cgroup/cpu,cpuacct/me/x/a");
  assert.equal(planCgroup("a", undefined, {}, v2).dirs[0]?.path, "/sys/fs/cgroup/me/a");
});

test("cgroup plan: beside version 1 the version 2 hierarchy gets a cgroup without limits, when it is mounted", () => {
  const { hybrid, dirs } = planCgroup("a", "x/a", { pids: { limit: 1 } }, v1);
  assert.deepEqual([hybrid?.path, hybrid?.writes], ["/sys/fs/cgroup/unified/me/x/a", []]);
  assert.equal(dirs.length, 3);
  assert.equal(planCgroup("a", "x/a", {}, { ...v1, v2Mount: "" }).hybrid, undefined);
});

test("cgroup plan: a path with .. is refused", () => {
  assert.throws(() => planCgroup("a", "/x/../../y", {}, v1), /./);
});

test("cgroup plan: limits go to the right v1 files, with all digits", () => {
  const plan = planCgroup(
    "a",
    "/a",
    {
      memory: { limit: "9223372036854771712" },
      cpu: { quota: 50000, period: 100000 },
      devices: [{ allow: false, access: "rwm" }],
    },
    v1,
  );
  assert.deepEqual(plan.dirs[1]?.writes[0], {
    file: "memory.limit_in_bytes",
    lines: ["9223372036854771712"],
    field: "linux.resources.memory.limit",
    pair: true,
  });
  assert.deepEqual(
    plan.dirs[0]?.writes.map((w) => w.file),
    ["cpu.cfs_period_us", "cpu.cfs_quota_us"],
  );
  assert.deepEqual(plan.dirs[2]?.writes[0], { file: "devices.deny", lines: ["a"], field: "linux.resources.devices" });
  assert.ok(plan.dirs[2]?.writes[1]?.lines.includes("c 1:3 rwm"));
});

test("cgroup plan: no device rules without the host's root, who alone may set them", () => {
  const devices = [{ allow: false, access: "rwm" }];
  assert.deepEqual(planCgroup("a", "/a", { devices }, v1, true).dirs[2]?.writes, []);
  assert.equal(planCgroup("a", "/a", { devices }, v2, true).devices, undefined);
  assert.notEqual(planCgroup("a", "/a", { devices }, v2).devices, undefined);
});

test("cgroup plan: v2 swap is what is left of memory + swap, and -1 is max", () => {
  const files = (memory: object) =>
    Object.fromEntries((planCgroup("a", "/a", { memory }, v2).dirs[0]?.writes ?? []).map((w) => [w.file, w.lines[0]]));
  assert.deepEqual(files({ limit: 100, swap: 250 }), { "memory.max": "100", "memory.swap.max": "150" });
  assert.deepEqual(files({ limit: -1, swap: -1 }), { "memory.max": "max", "memory.swap.max": "max" });
});

test("cgroup plan: block devices, huge pages and RDMA in both versions", () => {
  const resources = {
    blockIO: {
      weight: 500,
      throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }],
      throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 0 }],
    },
    hugepageLimits: [{ pageSize: "2MB", limit: "9223372036854771712" }],
    rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10000 } },
  };
  const controllers = ["blkio", "hugetlb", "rdma"].map((controllers) => ({
    controllers,
    mountpoint: `/sys/fs/cgroup/${controllers}`,
    own: "/",
  }));
  const files = (layout: CgroupLayout) =>
    planCgroup("a", "/a", resources, layout).dirs.flatMap(({ writes }) =>
      writes.map(({ file, lines }) => `${file} ${lines.join()}`),
    );
  assert.deepEqual(files({ ...v1, v1: controllers }), [
    "blkio.bfq.weight 500",
    "blkio.throttle.read_bps_device 8:0 1000",
    "blkio.throttle.write_iops_device 8:0 0",
    "hugetlb.2MB.limit_in_bytes 9223372036854771712",
    "hugetlb.2MB.rsvd.limit_in_bytes 9223372036854771712",
    "rdma.max mlx5_1 hca_handle=3 hca_object=10000",
  ]);
  assert.deepEqual(files(v2), [
    "io.bfq.weight 500",
    "io.max 8:0 rbps=1000",
    "io.max 8:0 wiops=max",
    "hugetlb.2MB.max 9223372036854771712",
    "hugetlb.2MB.rsvd.max 9223372036854771712",
    "rdma.max mlx5_1 hca_handle=3 hca_object=10000",
  ]);
});

test("cgroup plan: what only the other version has is refused before anything is made", () => {
  assert.throws(() => planCgroup("a", "/a", { network: { classID: 1 } }, v2), { message: /net_cls/ });
  assert.throws(() => planCgroup("a", "/a", { cpu: { realtimeRuntime: 1 } }, v2), { message: /realtime/ });
  assert.throws(() => planCgroup("a", "/a", { unified: { "memory.high": "1" } }, v1), { message: /cgroup v1/ });
});

test("cpu.weight: the ends and the default of cpu.shares map to the ends and the default", () => {
  assert.deepEqual([2, 1024, 262144].map(cpuWeight), [1, 100, 10000]);
});

/** Interprets the few instructions the program uses. */
function allowed(program: number[], type: number, access: number, major: number, minor: number): number {
  const r = [0, 0, 0, 0, 0, 0, 0];
  const context = [(access << 16) | type, major, minor];
  for (let pc = 0; pc * 8 < program.length; pc++) {
    const [op, regs, lo, hi, ...imm] = program.slice(pc * 8, pc * 8 + 8) as number[];
    const dst = (regs as number) & 15;
    const src = (regs as number) >> 4;
    const offset = ((((hi as number) << 8) | (lo as number)) << 16) >> 16;
    const value =
      (imm[0] as number) | ((imm[1] as number) << 8) | ((imm[2] as number) << 16) | ((imm[3] as number) << 24);
    const d = r[dst] as number;
    if (op === 0x61) r[dst] = context[offset / 4] as number;
    else if (op === 0x54) r[dst] = d & value;
    else if (op === 0x74) r[dst] = d >>> value;
    else if (op === 0xbc) r[dst] = r[src] as number;
    else if (op === 0xb7) r[dst] = value;
    else if (op === 0x55) pc += d !== value ? offset : 0;
    else if (op === 0x5d) pc += d !== r[src] ? offset : 0;
    else if (op === 0x15) pc += d === value ? offset : 0;
    else if (op === 0x95) return r[0] as number;
    else throw new Error(`unknown instruction ${op}`);
  }
  throw new Error("fell off the end");
}

test("device program: the last rule that applies decides, as in cgroup v1", () => {
  const program = planDeviceProgram([
    { allow: false, access: "rwm" },
    { allow: true, type: "c", access: "m" },
    { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
    { allow: false, type: "c", major: 1, minor: 3, access: "w" },
  ]);
  assert.equal(allowed(program, 2, 2, 1, 3), 1);
  assert.equal(allowed(program, 2, 4, 1, 3), 0);
  assert.equal(allowed(program, 2, 6, 1, 3), 0);
  assert.equal(allowed(program, 2, 1, 8, 0), 1);
  assert.equal(allowed(program, 1, 1, 8, 0), 0);
  assert.equal(allowed(program, 1, 2, 1, 3), 0);
});

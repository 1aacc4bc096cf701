import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { planSpec } from "./plan.ts";
import { HOST, ID, imageOf, specOf } from "./testing.ts";
import type { UserNamespaceSpec } from "./types.ts";
import { checkUserns, planAutoUserns } from "./userns.ts";

const map = (containerID: number, hostID: number, size: number) => ({ containerID, hostID, size });
const both = (...ranges: readonly ReturnType<typeof map>[]): UserNamespaceSpec => ({
  kind: "map",
  uid: ranges,
  gid: ranges,
});

test("planAutoUserns: the lowest ids that nobody has, from containers' own in /etc/subuid or systemd's range", () => {
  const none = { subuid: "", subgid: "" };
  assert.deepEqual(planAutoUserns(65_536, [], none), both(map(0, 524_288, 65_536)));
  assert.deepEqual(planAutoUserns(1000, [both(map(0, 524_288, 65_536))], none), both(map(0, 589_824, 1000)));
  const others = "alice:500000:65536\n# x\nbob:600000:65536\n";
  assert.deepEqual(planAutoUserns(65_536, [], { subuid: others, subgid: others }), both(map(0, 665_536, 65_536)));
  const own = "root:1:5\ncontainers:1000000:100000\n";
  assert.deepEqual(planAutoUserns(65_536, [], { subuid: own, subgid: own }), both(map(0, 1_000_000, 65_536)));
  assert.throws(
    () => planAutoUserns(65_536, [both(map(0, 1_000_000, 65_536))], { subuid: own, subgid: own }),
    (e) => isCode(e, "FailedPrecondition") && /other containers have them all/.test(e.message),
  );
});

test("checkUserns: overlapping, empty and rootless mappings are refused", () => {
  checkUserns(both(map(0, 1000, 1), map(1, 100_000, 65_535)));
  for (const [ranges, why] of [
    [[map(0, 0, 0)], /at least one id/],
    [[map(0, 4_294_967_000, 1000)], /none above/],
    [[map(0, 1000, 10), map(5, 5000, 10)], /overlaps another --uidmap/],
    [[map(0, 1000, 10), map(20, 1005, 10)], /overlaps/],
    [[map(1, 1000, 10)], /no id 0/],
  ] as const)
    assert.throws(() => checkUserns(both(...ranges)), why);
  assert.throws(() => checkUserns({ kind: "auto", size: 0 }), /size 0/);
});

test("planSpec: a user namespace is made with its mappings, or joined where it owns the network", () => {
  const input = {
    id: ID,
    image: imageOf(),
    host: HOST,
    user: { uid: 0, gid: 0, additionalGids: [], home: "/root" },
    rootfs: "/r",
    mounts: [],
    devices: [],
    files: {},
    hostname: "h",
    cgroupsPath: "/c",
    keelPath: "/keel",
  };
  const userns = both(map(0, 524_288, 1000));
  const own = planSpec({ ...input, spec: specOf({ network: "none", userns }), netnsPath: undefined });
  assert.deepEqual(
    own.linux.namespaces.find(({ type }) => type === "user"),
    { type: "user" },
  );
  assert.deepEqual(own.linux.uidMappings, [map(0, 524_288, 1000)]);
  assert.equal(own.linux.sysctl["net.ipv4.ping_group_range"], "0 999");
  const inside = { ...input, host: { ...input.host, groups: 65_536 } };
  const outer = planSpec({ ...inside, spec: specOf({ network: "none" }), netnsPath: undefined });
  assert.equal(outer.linux.sysctl["net.ipv4.ping_group_range"], "0 65535");
  const joined = planSpec({ ...input, spec: specOf({ userns }), netnsPath: "/n", usernsPath: "/u" });
  assert.deepEqual(
    joined.linux.namespaces.find(({ type }) => type === "user"),
    { type: "user", path: "/u" },
  );
  assert.equal(joined.linux.uidMappings, undefined);
  const host = planSpec({ ...input, spec: specOf({ network: "host", userns }), netnsPath: undefined });
  assert.equal(host.mounts.find(({ destination }) => destination === "/sys")?.type, "bind");
});

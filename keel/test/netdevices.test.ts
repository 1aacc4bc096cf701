import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, test } from "node:test";
import { bundle, KEEL, type Loose, sh, skip, stateRoot } from "./harness.ts";

const NETNS = `keel-test-${process.pid}`;
const ip = (...args: readonly string[]) => spawnSync("ip", args, { encoding: "utf8" });
const needsIp = skip || (ip("netns", "add", NETNS).status === 0 ? false : "needs ip (package iproute2) and its netns");
after(() => void ip("netns", "del", NETNS));

/** Runs a container from within the test's own network namespace, in which a pair of interfaces is made first. */
function inNetns(script: string, change: (spec: Loose) => void): { code: number | null; out: string; err: string } {
  ip("-n", NETNS, "link", "del", "kt0");
  assert.equal(ip("-n", NETNS, "link", "add", "kt0", "type", "veth", "peer", "name", "kt1").status, 0);
  for (const address of ["10.77.0.2/24", "fd77::2/64"]) ip("-n", NETNS, "addr", "add", address, "dev", "kt1");
  ip("-n", NETNS, "link", "set", "kt1", "up");
  const made = bundle(["sh", "-c", script], change);
  const run = [KEEL, "--root", stateRoot, "run", "-b", made.dir, made.id];
  const ran = spawnSync("nsenter", [`--net=/run/netns/${NETNS}`, ...run], { encoding: "utf8" });
  return { code: ran.status, out: ran.stdout, err: ran.stderr };
}

const show =
  "ip -o addr show dev eth7 scope global | sed 's/.* \\(inet6\\?\\) \\([^ ]*\\).*/\\1 \\2/'; ip -o link show dev eth7 | grep -o ',UP'";
const move = (spec: Loose): void => {
  spec.linux.netDevices = { kt1: { name: "eth7" } };
};

test("netDevices: an interface moves in under its new name, with its addresses, and is up", { skip: needsIp }, () => {
  const ran = inNetns(show, move);
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual(ran.out.trim().split("\n"), ["inet 10.77.0.2/24", "inet6 fd77::2/64", ",UP"]);
  assert.doesNotMatch(ip("-n", NETNS, "link").stdout, /kt1/);
});

test("netDevices: the same into a user namespace, whose root has no rights on the host", { skip: needsIp }, () => {
  const ran = inNetns(show, (spec) => {
    move(spec);
    spec.linux.namespaces.push({ type: "user" });
    const mappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    spec.linux.uidMappings = mappings;
    spec.linux.gidMappings = mappings;
  });
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /^inet 10\.77\.0\.2\/24$/m);
});

test("netDevices: what is not there, has no name or no namespace is told with its field", { skip: needsIp }, () => {
  const missing = inNetns("true", (spec) => {
    spec.linux.netDevices = { nothing0: {} };
  });
  assert.match(missing.err, /find linux\.netDevices\.nothing0: no such device/);
  const told = (netDevices: Loose, change: (spec: Loose) => void = () => {}) =>
    sh("true", (spec) => {
      spec.linux.netDevices = netDevices;
      change(spec);
    }).err;
  assert.match(told({ eth0: { name: "a/b" } }), /linux\.netDevices\.eth0: must be at most 15 characters/);
  assert.match(told({ a: { name: "x" }, b: { name: "x" } }), /linux\.netDevices\.b: the name x is there twice/);
  const host = told({ eth0: {} }, (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }: { type: string }) => type !== "network");
  });
  assert.match(host, /linux\.netDevices\.eth0: needs a network namespace/);
});

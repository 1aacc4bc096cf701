import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import type { HostFacts } from "@berth/linux";
import { checkSpec } from "./check.ts";
import { planResources } from "./resources.ts";
import { HOST, specOf } from "./testing.ts";
import type { ContainerSpec, PortMapping, Resources } from "./types.ts";

const BASE = specOf();

const port = (more: Partial<PortMapping> = {}): PortMapping => ({
  hostIp: "",
  hostPort: 8080,
  containerPort: 80,
  protocol: "tcp",
  ...more,
});

test("checkSpec: what docker takes", () => {
  checkSpec(BASE);
  checkSpec({
    ...BASE,
    name: "web-1",
    hostname: "box.example.com",
    env: ["A=b", "REMOVED", "EMPTY="],
    workdir: "/srv",
    ports: [
      port(),
      port({ protocol: "udp" }),
      port({ hostIp: "127.0.0.1" }),
      port({ hostPort: 0 }),
      port({ hostPort: 0 }),
    ],
    dns: ["10.0.0.1", "fd00::53"],
    addHosts: ["db:10.0.0.1", "up:host-gateway", "v6:::1"],
    resources: { memorySwapBytes: -1, cpus: 0.5, pidsLimit: -1, cpusetCpus: "0-1,3", oomScoreAdj: -1000 },
    ulimits: [{ name: "nofile", soft: 10, hard: -1 }],
    sysctls: { "net.core.somaxconn": "1", "kernel/shmmax": "1" },
    devices: [{ hostPath: "/dev/fuse", containerPath: "/dev/fuse", access: "rwm" }],
    capAdd: ["ALL"],
    capDrop: ["chown"],
    stopSignal: "SIGINT",
  });
});

test("checkSpec: each wrong value is InvalidArgument and named", () => {
  const device = { hostPath: "/dev/x", containerPath: "/dev/x", access: "r" };
  const bind = { kind: "bind", source: "/h", target: "/t", readOnly: false, createSource: true } as const;
  const table: readonly (readonly [Partial<ContainerSpec>, RegExp])[] = [
    [{ name: "../x" }, /\.\.\/x/],
    [{ hostname: "-box" }, /-box/],
    [{ hostname: "x".repeat(64) }, /xxx/],
    [{ env: ["=x"] }, /"=x"/],
    [{ workdir: "srv" }, /srv/],
    [{ mounts: [{ ...bind, source: "rel" }] }, /rel/],
    [{ mounts: [{ ...bind, propagation: "wide" }] }, /wide/],
    [{ mounts: [{ kind: "tmpfs", target: "/t", options: ["sizes=1"] }] }, /sizes=1/],
    [{ ports: [port({ hostPort: 65_536 })] }, /65536/],
    [{ ports: [port({ containerPort: 0 })] }, /8080:0/],
    [{ ports: [port({ hostIp: "localhost" })] }, /localhost/],
    [{ ports: [port({ hostIp: "1.2.3.256" })] }, /1\.2\.3\.256/],
    [{ ports: [port(), port({ containerPort: 81 })] }, /twice/],
    [{ dns: ["dns.example"] }, /dns\.example/],
    [{ addHosts: ["noaddress"] }, /noaddress/],
    [{ addHosts: ["a:b"] }, /"b"/],
    [{ resources: { cpus: 0.001 } }, /0\.001/],
    [{ resources: { cpusetCpus: "all" } }, /all/],
    [{ resources: { oomScoreAdj: 1001 } }, /1001/],
    [{ ulimits: [{ name: "nofiles", soft: 1, hard: 1 }] }, /nofiles/],
    [{ ulimits: [{ name: "nofile", soft: 2, hard: 1 }] }, /soft limit/],
    [{ ulimits: [{ name: "nofile", soft: -1, hard: 1 }] }, /soft limit/],
    [{ sysctls: { "a b": "1" } }, /a b/],
    [{ network: "host", sysctls: { "net.core.somaxconn": "1" } }, /somaxconn/],
    [{ devices: [{ ...device, access: "rr" }] }, /"rr"/],
    [{ devices: [{ ...device, access: "x" }] }, /"x"/],
    [{ devices: [{ ...device, containerPath: "dev/x" }] }, /dev\/x/],
    [{ capAdd: ["FLY"] }, /FLY/],
    [{ stopSignal: "NOPE" }, /NOPE/],
  ];
  for (const [more, text] of table) {
    assert.throws(
      () => checkSpec({ ...BASE, ...more }),
      (e) => isCode(e, "InvalidArgument") && text.test(e.message),
      JSON.stringify(more),
    );
  }
});

const MIB = 1024 ** 2;

function resources(wanted: Resources, cgroup: Partial<HostFacts["cgroup"]> = {}): unknown {
  const host = { ...HOST, cgroup: { ...HOST.cgroup, ...cgroup } };
  const { devices: _, ...rest } = planResources({ ...BASE, resources: wanted }, [], host);
  return rest;
}

test("planResources: limits in the kernel's units; nothing asked, nothing set", () => {
  assert.deepEqual(resources({}), {});
  assert.deepEqual(resources({ memoryBytes: 64 * MIB }), { memory: { limit: 64 * MIB, swap: 128 * MIB } });
  assert.deepEqual(resources({ memoryBytes: 64 * MIB }, { swap: false }), { memory: { limit: 64 * MIB } });
  assert.deepEqual(resources({ memoryBytes: 64 * MIB, memorySwapBytes: -1 }), {
    memory: { limit: 64 * MIB, swap: -1 },
  });
  assert.deepEqual(resources({ memoryReservationBytes: MIB }), { memory: { reservation: MIB } });
  assert.deepEqual(resources({ cpus: 1.5, cpuShares: 512, cpusetCpus: "0", cpusetMems: "0" }), {
    cpu: { shares: 512, period: 100_000, quota: 150_000, cpus: "0", mems: "0" },
  });
  assert.deepEqual(resources({ pidsLimit: 5 }), { pids: { limit: 5 } });
  assert.deepEqual(resources({ pidsLimit: -1 }), {});
});

test("planResources: limits that contradict each other or this host are InvalidArgument", () => {
  const table: readonly (readonly [Resources, RegExp])[] = [
    [{ memoryBytes: MIB }, /minimum/],
    [{ memorySwapBytes: 64 * MIB }, /no memory limit/],
    [{ memoryBytes: 64 * MIB, memorySwapBytes: 32 * MIB }, /less than/],
    [{ memoryBytes: 64 * MIB, memoryReservationBytes: 65 * MIB }, /more than/],
    [{ cpus: 3 }, /this host has 2/],
  ];
  for (const [wanted, text] of table) {
    assert.throws(
      () => resources(wanted),
      (e) => isCode(e, "InvalidArgument") && text.test(e.message),
    );
  }
});

test("planResources: a limit that this host cannot hold is FailedPrecondition, naming the controller", () => {
  const table: readonly (readonly [Resources, RegExp])[] = [
    [{ memoryBytes: 64 * MIB }, /memory/],
    [{ cpus: 1 }, /cpu/],
    [{ cpusetCpus: "0" }, /cpuset/],
    [{ pidsLimit: 3 }, /pids/],
  ];
  for (const [wanted, text] of table) {
    assert.throws(
      () => resources(wanted, { controllers: [] }),
      (e) => isCode(e, "FailedPrecondition") && text.test(e.message),
    );
  }
  assert.throws(
    () => resources({ memoryBytes: 64 * MIB, memorySwapBytes: -1 }, { swap: false }),
    (e) => isCode(e, "FailedPrecondition") && /swap/.test(e.message),
  );
});

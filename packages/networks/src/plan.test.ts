import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { planHosts } from "./hosts.ts";
import { chainName, splitRule } from "./masquerade.ts";
import { planPlugins, readResult } from "./plan.ts";
import { isStubOnly, planResolvConf } from "./resolv.ts";
import { addressIn, chooseSubnet, formatSubnet, parseRoutes, parseSubnet } from "./subnet.ts";

const ROUTES = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
vpn0\t0000630A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
`;

test("parseRoutes: the kernel's little endian numbers become networks; the default route is left out", () => {
  const routes = parseRoutes(ROUTES);
  assert.deepEqual(
    routes.map((route) => [route.device, formatSubnet(route)]),
    [
      ["eth0", "192.0.2.0/24"],
      ["vpn0", "10.99.0.0/16"],
    ],
  );
  assert.deepEqual(parseRoutes(""), []);
});

test("chooseSubnet: the bridge's own network, else the first that overlaps no route and holds no name server", () => {
  const route = (text: string, device = "x") => ({ device, ...parseSubnet(text) });
  const choose = (routes: readonly ReturnType<typeof route>[], servers: readonly string[] = []): string => {
    const subnet = chooseSubnet("berth0", routes, servers);
    return subnet === undefined ? "none" : formatSubnet(subnet);
  };
  assert.equal(choose([]), "10.99.0.0/16");
  assert.equal(choose([route("10.1.2.0/24", "berth0"), route("10.99.0.0/16")]), "10.1.2.0/24");
  assert.equal(choose([route("10.99.7.0/24")]), "10.187.0.0/16");
  assert.equal(choose([route("10.0.0.0/8")]), "172.29.0.0/16");
  assert.equal(choose([], ["10.99.0.53"]), "10.187.0.0/16");
  assert.equal(choose([route("10.0.0.0/8"), route("172.16.0.0/12"), route("192.168.0.0/16")]), "100.101.0.0/16");
  assert.equal(choose([route("0.0.0.0/1"), route("128.0.0.0/1")]), "none");
  assert.equal(addressIn(parseSubnet("192.168.208.9/20"), 1), "192.168.208.1");
});

test("planResolvConf: the host's, without servers that a container cannot reach", () => {
  const plan = (host: string, more: { hostNetwork?: boolean; dns?: readonly string[] } = {}): string =>
    planResolvConf({ host, hostNetwork: more.hostNetwork ?? false, dns: more.dns ?? [] });
  const host =
    "# by hand\nnameserver 127.0.0.1\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nsearch a b\noptions ndots:2\n";
  assert.equal(plan(host), "nameserver 10.0.0.2\nsearch a b\noptions ndots:2\n");
  assert.equal(plan(host, { hostNetwork: true }), host);
  assert.equal(
    plan(host, { dns: ["9.9.9.9", "::1"] }),
    "nameserver 9.9.9.9\nnameserver ::1\nsearch a b\noptions ndots:2\n",
  );
  assert.equal(
    plan(host, { hostNetwork: true, dns: ["9.9.9.9"] }),
    "nameserver 9.9.9.9\nsearch a b\noptions ndots:2\n",
  );
  assert.equal(plan("nameserver ::1\n"), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  assert.equal(plan(""), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
});

test("isStubOnly: only when systemd-resolved's stub is all there is", () => {
  assert.equal(isStubOnly("nameserver 127.0.0.53\n"), true);
  assert.equal(isStubOnly("nameserver 127.0.0.53\nnameserver 10.0.0.1\n"), false);
  assert.equal(isStubOnly(""), false);
});

test("planHosts: loopback, then what the user adds, then the container's own name and short name", () => {
  const text = planHosts({
    hostname: "box.example.com",
    ipAddress: "10.99.0.2",
    addHosts: ["db:10.1.1.1", "v6:fd00::1", "up:host-gateway"],
    gateway: "10.99.0.1",
  });
  assert.match(text, /^127\.0\.0\.1\tlocalhost\n::1\tlocalhost /);
  assert.match(text, /\n10\.1\.1\.1\tdb\nfd00::1\tv6\n10\.99\.0\.1\tup\n10\.99\.0\.2\tbox\.example\.com box\n$/);
  assert.doesNotMatch(planHosts({ hostname: "box", addHosts: [] }), /box/);
  assert.equal(
    planHosts({ hostname: "h", addHosts: ["a:1.2.3.4"], host: "127.0.0.1 me" }),
    "127.0.0.1 me\n1.2.3.4\ta\n",
  );
});

test("planPlugins: portmap only for ports, its address only when it is a certain one", () => {
  const base = { name: "berth0", subnet: "10.99.0.0/16", ipamDir: "/run/x/ipam", firewall: false };
  assert.deepEqual(
    planPlugins({ ...base, ports: [] }).map((plugin) => plugin["type"]),
    ["bridge"],
  );
  const port = { hostPort: 8080, containerPort: 80, protocol: "tcp" as const };
  const ports = ["", "0.0.0.0", "127.0.0.1"].map((hostIp) => ({ ...port, hostIp }));
  const plugins = planPlugins({ ...base, firewall: true, ports });
  assert.deepEqual(
    plugins.map((plugin) => plugin["type"]),
    ["bridge", "firewall", "portmap"],
  );
  assert.deepEqual(plugins[2]?.["runtimeConfig"], { portMappings: [port, port, { ...port, hostIP: "127.0.0.1" }] });
});

test("readResult: address, gateway and the interface that has them; without an IPv4 address it is refused", () => {
  const reply = {
    interfaces: [
      { name: "berth0", mac: "aa" },
      { name: "veth1", mac: "bb" },
      { name: "eth0", mac: "cc", sandbox: "/n" },
    ],
    ips: [
      { version: "6", address: "fd00::2/64" },
      { version: "4", interface: 2, address: "10.99.0.2/16", gateway: "10.99.0.1" },
    ],
  };
  assert.deepEqual(readResult(reply, []), {
    ipAddress: "10.99.0.2",
    prefixLength: 16,
    gateway: "10.99.0.1",
    macAddress: "cc",
    ports: [],
  });
  for (const bad of [undefined, null, {}, { ips: "x" }, { ips: [{}] }]) {
    assert.throws(
      () => readResult(bad, []),
      (e) => isCode(e, "FailedPrecondition"),
    );
  }
});

test("chainName and splitRule: as plugins name chains, and as iptables -S quotes", () => {
  assert.equal(chainName("btest", "id1"), "CNI-cc218eb508df512a14178443");
  assert.deepEqual(
    splitRule('-A POSTROUTING -s 10.0.0.2/32 -m comment --comment "name: \\"n\\" id: \\"i\\"" -j CNI-1'),
    ["-A", "POSTROUTING", "-s", "10.0.0.2/32", "-m", "comment", "--comment", 'name: "n" id: "i"', "-j", "CNI-1"],
  );
});

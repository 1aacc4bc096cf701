import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isCode, newId } from "@berth/base";
import { freePort } from "../../../test/docker-registry.ts";
import { chainName } from "../src/masquerade.ts";
import { openNetworks } from "../src/open.ts";
import type { Networks } from "../src/types.ts";

const CHILD = join(import.meta.dirname, "child.ts");
const NAME = `bt${process.pid}`;
const skip = whyNot();
const dir = mkdtempSync(join(tmpdir(), "berth-networks-"));
const namespaces: string[] = [];
let networks: Networks;

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  if (!["/usr/lib/cni", "/opt/cni/bin"].some((path) => existsSync(join(path, "bridge"))))
    return "needs the CNI plugins";
  return spawnSync("iptables", ["-V"]).status === 0 && spawnSync("ip", ["-V"]).status === 0
    ? false
    : "needs iptables and ip";
}

function sh(command: string, ...args: readonly string[]): string {
  const done = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(done.status, 0, `${command} ${args.join(" ")}: ${done.stderr}`);
  return done.stdout;
}

function newNamespace(): { readonly containerId: string; readonly netnsPath: string; readonly name: string } {
  const containerId = newId();
  const name = `bt-${containerId.slice(0, 10)}`;
  sh("ip", "netns", "add", name);
  sh("ip", "-n", name, "link", "set", "lo", "up");
  namespaces.push(name);
  return { containerId, name, netnsPath: `/var/run/netns/${name}` };
}

/** A node server in a namespace that answers every request with `text`. */
async function serve(name: string, text: string): Promise<ChildProcess> {
  const code = `require("node:http").createServer((q, r) => r.end(${JSON.stringify(text)})).listen(80, () => console.log("up"))`;
  const child = spawn("ip", ["netns", "exec", name, process.execPath, "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return child;
}

const rules = (): string => `${sh("iptables", "-w", "-t", "nat", "-S")}${sh("iptables", "-w", "-S")}`;
const addresses = (): readonly string[] =>
  existsSync(join(dir, "ipam", NAME)) ? readdirSync(join(dir, "ipam", NAME)).filter((file) => /^\d+\./.test(file)) : [];

async function listen(port: number): Promise<Server> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function get(url: string): Promise<string> {
  return (await fetch(url, { signal: AbortSignal.timeout(3000), headers: { connection: "close" } })).text();
}

before(() => {
  if (!skip) networks = openNetworks({ dir, name: NAME });
});

after(() => {
  if (skip) return;
  networks[Symbol.dispose]();
  for (const name of namespaces) spawnSync("ip", ["netns", "del", name]);
  spawnSync("ip", ["link", "del", NAME]);
  rmSync(dir, { recursive: true });
});

const t = (name: string, body: () => Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

t(
  "attach: the namespace has the address, a route out, and its published port answers on loopback; detach leaves nothing",
  async () => {
    const one = newNamespace();
    const hostPort = await freePort();
    const result = await networks.attach({
      ...one,
      ports: [{ hostIp: "127.0.0.1", hostPort, containerPort: 80, protocol: "tcp" }],
    });
    assert.deepEqual(networks.find(one.containerId), result);
    assert.match(
      sh("ip", "-n", one.name, "-4", "-o", "addr", "show", "eth0"),
      new RegExp(`${result.ipAddress}/${result.prefixLength}`),
    );
    assert.match(sh("ip", "-n", one.name, "route"), new RegExp(`default via ${result.gateway}`));
    assert.match(sh("ip", "-n", one.name, "link", "show", "eth0"), new RegExp(result.macAddress));
    const server = await serve(one.name, "inside");
    assert.equal(await get(`http://127.0.0.1:${hostPort}/`), "inside");
    assert.equal(await get(`http://${result.ipAddress}/`), "inside");
    server.kill("SIGKILL");
    await networks.detach(one.containerId);
    await networks.detach(one.containerId);
    assert.equal(networks.find(one.containerId), undefined);
    assert.doesNotMatch(rules(), new RegExp(`${one.containerId}|${result.ipAddress}/|dport ${hostPort} `));
    assert.deepEqual(addresses(), []);
    assert.doesNotMatch(sh("ip", "-n", one.name, "link"), /eth0/);
  },
);

t("attach: two containers reach each other, by address and through a port published on all addresses", async () => {
  const [a, b] = [newNamespace(), newNamespace()];
  const first = await networks.attach({
    ...a,
    ports: [{ hostIp: "", hostPort: 0, containerPort: 80, protocol: "tcp" }],
  });
  const second = await networks.attach({ ...b, ports: [] });
  const port = first.ports[0]?.hostPort ?? 0;
  assert.ok(port > 0);
  const server = await serve(a.name, "neighbour");
  const code = (url: string): string => `fetch("${url}").then((r) => r.text()).then((t) => console.log(t))`;
  const inB = (url: string): string => sh("ip", "netns", "exec", b.name, process.execPath, "-e", code(url));
  assert.equal(inB(`http://${first.ipAddress}/`), "neighbour\n");
  assert.equal(inB(`http://${second.gateway}:${port}/`), "neighbour\n");
  server.kill("SIGKILL");
  await networks.detach(a.containerId);
  await networks.detach(b.containerId);
});

t("attach: a port of another container, and one where a process listens, are named and leave nothing", async () => {
  const [a, b] = [newNamespace(), newNamespace()];
  const hostPort = await freePort();
  const port = { hostIp: "", hostPort, containerPort: 80, protocol: "tcp" as const };
  await networks.attach({ ...a, ports: [port] });
  using other = openNetworks({ dir, name: NAME });
  for (const hostIp of ["", "0.0.0.0", "127.0.0.1"]) {
    await assert.rejects(
      other.attach({ ...b, ports: [{ ...port, hostIp }] }),
      (e) =>
        isCode(e, "FailedPrecondition") &&
        e.message.includes(`:${hostPort}/tcp`) &&
        e.message.includes(a.containerId.slice(0, 12)),
    );
  }
  await networks.detach(a.containerId);
  const server = await listen(hostPort);
  await assert.rejects(
    networks.attach({ ...b, ports: [port] }),
    (e) => isCode(e, "FailedPrecondition") && e.message.includes(`:${hostPort}/tcp`) && /process/.test(e.message),
  );
  server.close();
  await once(server, "close");
  assert.equal(networks.find(b.containerId), undefined);
  assert.doesNotMatch(rules(), new RegExp(b.containerId));
  await networks.attach({ ...b, ports: [port] });
  await networks.detach(b.containerId);
});

t("attach: many at once, in several processes, get different addresses and free ports", async () => {
  const all = Array.from({ length: 12 }, () => newNamespace());
  const children = all.map(async (one) => {
    const child = spawn(process.execPath, [CHILD, dir, NAME, one.containerId, one.netnsPath], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      out += chunk;
    });
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0);
    return JSON.parse(out) as { ipAddress: string; ports: { hostPort: number }[] };
  });
  const results = await Promise.all(children);
  assert.equal(new Set(results.map((r) => r.ipAddress)).size, all.length);
  assert.equal(new Set(results.map((r) => r.ports[0]?.hostPort)).size, all.length);
  assert.equal((rules().match(/-A FORWARD .*-j CNI-FORWARD/g) ?? []).length, 1);
  await Promise.all(all.map((one) => networks.detach(one.containerId)));
  assert.deepEqual(addresses(), []);
  for (const one of all) assert.doesNotMatch(rules(), new RegExp(one.containerId));
});

t("detach: works when the namespace is gone; and the next attach does it if nobody else will", async () => {
  for (const reaped of [false, true]) {
    const one = newNamespace();
    const hostPort = await freePort();
    await networks.attach({ ...one, ports: [{ hostIp: "", hostPort, containerPort: 80, protocol: "tcp" }] });
    assert.match(rules(), new RegExp(chainName(NAME, one.containerId)));
    sh("ip", "netns", "del", one.name);
    if (reaped) {
      const next = newNamespace();
      await networks.attach({ ...next, ports: [] });
      await networks.detach(next.containerId);
    } else {
      await networks.detach(one.containerId);
    }
    assert.equal(networks.find(one.containerId), undefined);
    assert.doesNotMatch(rules(), new RegExp(`${one.containerId}|${chainName(NAME, one.containerId)}`));
    assert.deepEqual(addresses(), []);
  }
});

t("attach: interrupted, it is Cancelled and nothing is left", async () => {
  for (let ms = 1; ms < 120; ms += 17) {
    const one = newNamespace();
    const signal = AbortSignal.timeout(ms);
    try {
      await networks.attach({ ...one, ports: [], signal });
    } catch (error) {
      assert.ok(isCode(error, "Cancelled"), String(error));
      assert.equal(networks.find(one.containerId), undefined);
      assert.doesNotMatch(rules(), new RegExp(one.containerId));
    }
    await networks.detach(one.containerId);
    assert.deepEqual(addresses(), []);
  }
});

t("kill -9 in the middle of attach, then detach at once: no rule, no address, no interface is left", async () => {
  for (let ms = 30; ms < 230; ms += 11) {
    const one = newNamespace();
    const child = spawn(process.execPath, [CHILD, dir, NAME, one.containerId, one.netnsPath], { stdio: "ignore" });
    await sleep(ms);
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "close");
    await networks.detach(one.containerId);
    assert.deepEqual(addresses(), [], `killed after ${ms} ms`);
    assert.doesNotMatch(
      rules(),
      new RegExp(`${one.containerId}|${chainName(NAME, one.containerId)}`),
      `killed after ${ms} ms`,
    );
    assert.doesNotMatch(sh("ip", "-n", one.name, "link"), /eth0/, `killed after ${ms} ms`);
  }
});

t("attach: again after a crash without detach, the old one is undone first", async () => {
  const one = newNamespace();
  await networks.attach({ ...one, ports: [] });
  await networks.attach({ ...one, ports: [] });
  assert.equal(addresses().length, 1);
  await networks.detach(one.containerId);
  assert.deepEqual(addresses(), []);
});

t("attach: a missing plugin and a missing namespace are named", async () => {
  using none = openNetworks({ dir, name: NAME, pluginDirs: [dir] });
  const one = newNamespace();
  await assert.rejects(
    none.attach({ ...one, ports: [] }),
    (e) => isCode(e, "FailedPrecondition") && /bridge/.test(e.message),
  );
  await assert.rejects(networks.attach({ ...one, netnsPath: "/no/such", ports: [] }), (e) =>
    isCode(e, "FailedPrecondition"),
  );
  await assert.rejects(
    networks.attach({ ...one, ports: [{ hostIp: "::1", hostPort: 80, containerPort: 80, protocol: "tcp" }] }),
    (e) => isCode(e, "Unimplemented"),
  );
  await assert.rejects(
    networks.attach({ ...one, ports: [{ hostIp: "203.0.113.9", hostPort: 80, containerPort: 80, protocol: "tcp" }] }),
    (e) => isCode(e, "FailedPrecondition") && /EADDRNOTAVAIL/.test(e.message),
  );
});

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../docker-registry.ts";
import { busyboxLayout, twoPlatforms } from "./fixtures.ts";
import { HELLO_TAR, helloSkip, probe, Store, tool, until } from "./harness.ts";
import { Registry } from "./registry.ts";

const plugins = ["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"].some((path) => existsSync(path));
const skip =
  probe("umoci", "iptables") || (plugins ? false : "needs the CNI plugins (package containernetworking-plugins)");
const dir = mkdtempSync(join(tmpdir(), "berth-net-"));
let store: Store;

before(() => {
  if (skip) return;
  store = new Store();
  const layout = busyboxLayout(dir);
  const loaded = store.berth("load", "-i", layout);
  assert.equal(loaded.code, 0, loaded.err);
});

after(async () => {
  if (skip) return;
  await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

t("bridge: a published port is answered by a server in the container, on loopback too", async () => {
  const port = await freePort();
  const started = store.berth(
    "run",
    "-d",
    "--name",
    "www",
    "-p",
    `127.0.0.1:${port}:80`,
    "busybox",
    "busybox",
    "httpd",
    "-f",
    "-p",
    "80",
    "-h",
    "/www",
  );
  assert.equal(started.code, 0, started.err);
  const text = await until("the server", async () => {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/index.html`)).text();
    } catch {
      return "";
    }
  });
  assert.equal(text, "served from a container\n");
  assert.match(store.berth("ps").out, new RegExp(`127\\.0\\.0\\.1:${port}->80/tcp`));
  const address = JSON.parse(store.berth("inspect", "www").out)[0].NetworkSettings.IPAddress;
  assert.match(address, /^\d+\.\d+\.\d+\.\d+$/);
  const peer = store.berth("run", "--rm", "busybox", "wget", "-q", "-O", "-", `http://${address}/index.html`);
  assert.equal(peer.out, "served from a container\n", peer.err);
  assert.equal(store.berth("rm", "-f", "www").code, 0);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
  assert.doesNotMatch(tool("iptables-save", "-t", "nat"), new RegExp(`--dport ${port} `));
});

const served = probe("docker-registry", "skopeo") || helloSkip();

test("bridge: images pulled from a registry serve on a published port: the hello image, and one of an index", {
  skip: skip || served,
}, async () => {
  await using registry = await Registry.start();
  const layout = join(dir, "layout");
  twoPlatforms(layout, "busybox", "two");
  const images = [
    [registry.fill(`oci-archive:${HELLO_TAR}`, "served/hello:1"), "/etc/group", "root:x:0:"],
    [registry.fill(`oci:${layout}:two`, "served/two:1", "--all"), "/www/index.html", "served from a container"],
  ] as const;
  for (const [image, file, text] of images) {
    const port = await freePort();
    const serve = ["busybox", "httpd", "-f", "-p", "80", "-h", "/"];
    const started = store.berth("run", "-d", "--name", "served", "-p", `127.0.0.1:${port}:80`, image, ...serve);
    assert.equal(started.code, 0, started.err);
    const answer = await until("the server", async () => {
      try {
        return await (await fetch(`http://127.0.0.1:${port}${file}`)).text();
      } catch {
        return "";
      }
    });
    assert.equal(answer.split("\n")[0], text);
    assert.equal(store.berth("rm", "-f", "served").code, 0);
  }
});

t("bridge: the container has an address, a default route and resolves its own name", () => {
  const ran = store.berth(
    "run",
    "--rm",
    "--hostname",
    "me",
    "busybox",
    "sh",
    "-c",
    "ip -4 -o addr show eth0 | wc -l; ip route | grep -c default; grep -c me /etc/hosts",
  );
  assert.equal(ran.out, "1\n1\n1\n", ran.err);
});

t("none and host: only loopback, and the host's own interfaces", () => {
  assert.equal(store.berth("run", "--rm", "--network", "none", "busybox", "sh", "-c", "ls /sys/class/net").out, "lo\n");
  const host = store.berth("run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net").out.trim();
  assert.equal(host, tool("readlink", "/proc/self/ns/net").trim());
});

t("publishing a port that is taken names it and leaves nothing", async () => {
  const port = await freePort();
  const first = store.berth("run", "-d", "-p", `127.0.0.1:${port}:80`, "busybox", "sleep", "100");
  assert.equal(first.code, 0, first.err);
  const second = store.berth("run", "-d", "-p", `127.0.0.1:${port}:80`, "busybox", "sleep", "100");
  assert.equal(second.code, 125);
  assert.match(second.err, new RegExp(String(port)));
  store.berth("rm", "-f", first.out.trim());
});

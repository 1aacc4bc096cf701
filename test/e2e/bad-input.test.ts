import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../docker-registry.ts";
import { blobPath, busyboxLayout } from "./fixtures.ts";
import { probe, Store, tool } from "./harness.ts";
import { Registry } from "./registry.ts";

const skip = probe("docker-registry", "skopeo", "umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-bad-"));
let registry: Registry;
let store: Store;
let layout = "";

before(async () => {
  if (skip) return;
  layout = busyboxLayout(dir);
  registry = await Registry.start();
  registry.fill(`oci:${layout}:busybox`, "test/busybox:1");
  store = new Store();
});

after(async () => {
  if (skip) return;
  await store[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

function nothingStored(): void {
  assert.equal(store.berth("images", "-q").out, "");
  assert.equal(store.berth("ps", "-aq").out, "");
}

t("an unknown image is named, with a remedy, and nothing changes", () => {
  const ran = store.berth("run", "--rm", `${registry.host}/no/such:1`, "true");
  assert.equal(ran.code, 125);
  assert.match(ran.err, /no\/such/);
  nothingStored();
  assert.equal(store.berth("run", "--rm", "--pull", "never", "UPPER/case", "true").code, 125);
});

t("a blob whose bytes changed in the registry is refused by its digest", () => {
  registry.fill(`oci:${layout}:busybox`, "test/broken:1");
  const manifest = JSON.parse(
    tool("skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${registry.host}/test/broken:1`),
  );
  const digest: string = manifest.layers[0].digest;
  const data = join(
    registry.dir,
    "storage/docker/registry/v2/blobs/sha256",
    digest.slice(7, 9),
    digest.slice(7),
    "data",
  );
  const good = readFileSync(data);
  const bad = Buffer.from(good);
  bad[100] = (bad[100] ?? 0) ^ 1;
  writeFileSync(data, bad);
  const changed = store.berth("pull", `${registry.host}/test/broken:1`);
  assert.notEqual(changed.code, 0);
  assert.match(changed.err, /digest|sha256/);
  nothingStored();
  truncateSync(data, good.length - 1000);
  const short = store.berth("pull", `${registry.host}/test/broken:1`);
  assert.notEqual(short.code, 0);
  nothingStored();
  writeFileSync(data, good);
  assert.equal(store.berth("pull", "-q", `${registry.host}/test/broken:1`).code, 0);
  assert.equal(store.berth("rmi", `${registry.host}/test/broken:1`).code, 0);
  nothingStored();
});

t("a layer whose diff id is not the config's is never committed", () => {
  const evil = join(dir, "evil");
  tool("cp", "-a", layout, evil);
  const index = JSON.parse(readFileSync(join(evil, "index.json"), "utf8"));
  const manifest = JSON.parse(readFileSync(blobPath(evil, index.manifests[0].digest), "utf8"));
  const config = JSON.parse(readFileSync(blobPath(evil, manifest.config.digest), "utf8"));
  config.rootfs.diff_ids[0] = `sha256:${"0".repeat(64)}`;
  const put = (value: unknown) => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    writeFileSync(blobPath(evil, digest), bytes);
    return { digest, size: bytes.length };
  };
  Object.assign(manifest.config, put(config));
  Object.assign(index.manifests[0], put(manifest));
  writeFileSync(join(evil, "index.json"), JSON.stringify(index));
  const loaded = store.berth("load", "-i", evil);
  assert.notEqual(loaded.code, 0);
  assert.match(loaded.err, /diff/i);
  nothingStored();
});

t("a registry that wants credentials we do not have: unauthorized, with a remedy", async () => {
  const port = await freePort();
  const server: Server = createServer((_request, response) => {
    response.writeHead(401, { "www-authenticate": 'Basic realm="closed"', "content-type": "application/json" });
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  // spawned without blocking this process, which is the server
  const child = store.spawn("pull", `127.0.0.1:${port}/private/x:1`);
  let err = "";
  child.stderr?.on("data", (chunk) => {
    err += String(chunk);
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  server.close();
  assert.notEqual(code, 0);
  assert.match(err, /unauthori[sz]ed|authentication|credentials|log ?in/i);
  nothingStored();
});

t("a full disk is named, and what is there afterwards still works", () => {
  const small = join(dir, "small");
  mkdirSync(small);
  tool("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small);
  try {
    const env = { ...process.env, BERTH_ROOT: join(small, "data"), BERTH_RUN_ROOT: join(dir, "small-run") };
    const pulled = spawnSync(join(import.meta.dirname, "../../berth"), ["pull", `${registry.host}/test/busybox:1`], {
      env,
      encoding: "utf8",
    });
    assert.notEqual(pulled.status, 0);
    assert.match(pulled.stderr, /ENOSPC|no space|full/i);
    tool("mount", "-o", "remount,size=100m", small);
    const again = spawnSync(
      join(import.meta.dirname, "../../berth"),
      ["pull", "-q", `${registry.host}/test/busybox:1`],
      { env, encoding: "utf8" },
    );
    assert.equal(again.status, 0, again.stderr);
  } finally {
    tool("umount", "-l", small);
  }
});

t("broken archives are refused whole", () => {
  const truncated = join(dir, "truncated.tar");
  tool("sh", "-c", `tar -C ${layout} -cf - . | head -c 200000 > ${truncated}`);
  assert.notEqual(store.berth("load", "-i", truncated).code, 0);
  writeFileSync(join(dir, "noise"), Buffer.alloc(5000, 7));
  assert.notEqual(store.berth("load", "-i", join(dir, "noise")).code, 0);
  nothingStored();
});

t("names: a taken name and a bad one leave the others alone", () => {
  const image = `${registry.host}/test/busybox:1`;
  assert.equal(store.berth("create", "--network", "none", "--name", "a", image, "true").code, 0);
  const taken = store.berth("create", "--network", "none", "--name", "a", image, "true");
  assert.equal(taken.code, 125);
  assert.match(taken.err, /"?\/?a"? is already in use/);
  assert.equal(store.berth("create", "--name", "../x", image, "true").code, 125);
  assert.equal(store.berth("ps", "-aq").out.split("\n").filter(Boolean).length, 1);
  assert.equal(store.berth("rm", "a").code, 0);
});

t("temporary files: none are left in the store after all this", () => {
  const ingest = join(store.dir, "data/ingest");
  let left: string[] = [];
  try {
    left = readdirSync(ingest);
  } catch {
    // no directory is fine too
  }
  assert.deepEqual(left, []);
});

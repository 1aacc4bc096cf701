import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxLayout, twoPlatforms } from "./fixtures.ts";
import { BERTH, probe, REPO, Store, tool } from "./harness.ts";
import { Registry } from "./registry.ts";
import { Served } from "./served.ts";

const skip = probe("skopeo", "umoci");
const CONFORMANCE = join(REPO, ".tools/go-bin/conformance");
const skipConformance =
  skip ||
  (existsSync(CONFORMANCE) ? false : "needs the conformance program of the specification (set-up builds it with Go)");
/** `secret`, by bcrypt. */
const SECRET = "$2b$05$THbMEFmhJNSzJzZ8A2KKZe6bNybsnLABL2hi7oJ.YmiqhJak.4/ja";
const ORAS = join(REPO, ".tools/go-bin/oras");
const skipOras = probe("docker-registry") || (existsSync(ORAS) ? false : "needs oras (set-up builds it with Go)");
// In memory where that is possible: each stored blob is synced, which a disk may take long for.
const dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "berth-served-"));
let layout = "";
let roots = 0;

const rootEnv = (name = `root-${roots++}`): NodeJS.ProcessEnv => ({
  ...process.env,
  BERTH_ROOT: join(dir, name),
  BERTH_RUN_ROOT: join(dir, `${name}-run`),
});

before(() => {
  if (skip) return;
  layout = busyboxLayout(dir);
  twoPlatforms(layout, "busybox", "multi");
});

after(() => rmSync(dir, { recursive: true, force: true }));

/** Runs the program of the specification; returns its report. */
async function conform(served: Served, env: Record<string, string>): Promise<string> {
  const results = join(dir, "results");
  mkdirSync(results, { recursive: true });
  const child = spawn(CONFORMANCE, [], {
    cwd: results,
    env: { ...process.env, OCI_REGISTRY: served.host, OCI_RESULTS_DIR: results, OCI_DATA_SPARSE: "true", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.equal(await ended, 0, `${out.slice(-20_000)}\n${err}`);
  return out;
}

function assertAllPassed(report: string): void {
  const count = (name: string): number => Number(new RegExp(`^  ${name}\\.*: +(\\d+)$`, "m").exec(report)?.[1]);
  assert.deepEqual([count("Skip"), count("FAIL"), count("Error")], [0, 0, 0]);
  assert.ok(count("Pass") > 900, `only ${count("Pass")} checks`);
}

test("the specification's conformance program passes, the development version with all data sets", {
  skip: skipConformance,
  timeout: 300_000,
}, async () => {
  await using served = await Served.start(rootEnv());
  const report = await conform(served, { OCI_TLS: "disabled", OCI_VERSION: "dev" });
  assertAllPassed(report);
  assert.doesNotMatch(report, /: +(Disabled|Unsupported|FAIL|Error|Skip)$/m);
});

test("the specification's conformance program passes over TLS with users, version 1.1", {
  skip: skipConformance,
  timeout: 300_000,
}, async (t) => {
  const [cert, key, users] = ["cert.pem", "key.pem", "users"].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  args.push("-subj", "/CN=berth test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert);
  if (spawnSync("openssl", args).status !== 0) return t.skip("needs openssl");
  writeFileSync(users, `ann:${SECRET}\n`);
  await using served = await Served.start(rootEnv(), "--tls-cert", cert, "--tls-key", key, "--htpasswd", users);
  assert.match(served.url, /^https:/);
  const auth = { OCI_USERNAME: "ann", OCI_PASSWORD: "secret", OCI_CACHE_AUTH: "false", SSL_CERT_FILE: cert };
  const report = await conform(served, { OCI_TLS: "enabled", OCI_VERSION: "1.1", ...auth });
  assert.match(report, /OCI Conformance Result: Pass/);
});

test("skopeo copies an image of several platforms in and out, and the digests are the same", {
  skip,
  timeout: 120_000,
}, async () => {
  await using served = await Served.start(rootEnv());
  const name = `docker://${served.host}/test/multi:1`;
  const copy = (...args: readonly string[]) =>
    tool("skopeo", "copy", "--quiet", "--insecure-policy", "--all", "--preserve-digests", ...args);
  copy("--dest-tls-verify=false", `oci:${layout}:multi`, name);
  copy("--src-tls-verify=false", "--dest-tls-verify=false", name, `docker://${served.host}/other/place:2`);
  copy("--src-tls-verify=false", `docker://${served.host}/other/place:2`, `oci:${join(dir, "back")}:multi`);
  const digestIn = (path: string): string =>
    JSON.parse(readFileSync(join(path, "index.json"), "utf8")).manifests.find(
      (one: { annotations?: Record<string, string> }) =>
        one.annotations?.["org.opencontainers.image.ref.name"] === "multi",
    ).digest;
  assert.equal(digestIn(join(dir, "back")), digestIn(layout));
  copy("--dest-tls-verify=false", `oci:${layout}:busybox`, `docker://${served.host}/test/multi:one`);
  copy("--src-tls-verify=false", `docker://${served.host}/test/multi:one`, `oci:${join(dir, "back")}:one`);
  tool("umoci", "unpack", "--image", `${join(dir, "back")}:one`, join(dir, "bundle"));
  assert.equal(readFileSync(join(dir, "bundle/rootfs/www/index.html"), "utf8"), "served from a container\n");
  const tags = JSON.parse(tool("skopeo", "list-tags", "--tls-verify=false", `docker://${served.host}/test/multi`));
  assert.deepEqual(tags.Tags, ["1", "one"]);
  tool("skopeo", "delete", "--tls-verify=false", name);
  assert.equal((await fetch(`${served.url}/v2/test/multi/manifests/1`)).status, 404);
});

test("images pulled from it by a client on the same data root share its blobs, and outlive its repositories", {
  skip,
  timeout: 120_000,
}, async () => {
  await using store = new Store();
  await using served = await Served.start(store.env);
  tool(
    "skopeo",
    "copy",
    "--quiet",
    "--insecure-policy",
    "--dest-tls-verify=false",
    `oci:${layout}:busybox`,
    `docker://${served.host}/app:1`,
  );
  const ref = `${served.host}/app:1`;
  assert.equal(store.berth("pull", "-q", ref).code, 0);
  const digest = (await fetch(`${served.url}/v2/app/manifests/1`)).headers.get("docker-content-digest");
  const blobs = readdirSync(join(store.dir, "data/content/sha256")).length;
  await fetch(`${served.url}/v2/app/manifests/${digest}`, { method: "DELETE" });
  assert.equal(await served.end("SIGTERM"), 0);
  assert.equal(readdirSync(join(store.dir, "data/content/sha256")).length, blobs);
  assert.equal(store.berth("run", "--rm", "--network", "none", "--pull", "never", ref, "true").code, 0);
});

test("a blob of 300 MB passes in both directions in bounded memory", { skip, timeout: 120_000 }, async () => {
  await using served = await Served.start(rootEnv());
  const piece = randomBytes(1 << 20);
  const digest = createHash("sha256");
  const body = async function* () {
    for (let i = 0; i < 300; i++) {
      digest.update(piece);
      yield piece;
    }
  };
  const begun = await fetch(`${served.url}/v2/big/blobs/uploads/`, { method: "POST" });
  const path = begun.headers.get("location");
  const init = { method: "PATCH", body: ReadableStream.from(body()), duplex: "half" } as RequestInit;
  assert.equal((await fetch(`${served.url}${path}`, init)).status, 202);
  const name = `sha256:${digest.digest("hex")}`;
  assert.equal((await fetch(`${served.url}${path}?digest=${name}`, { method: "PUT" })).status, 201);
  const got = createHash("sha256");
  const response = await fetch(`${served.url}/v2/big/blobs/${name}`);
  for await (const chunk of response.body ?? []) got.update(chunk);
  assert.equal(`sha256:${got.digest("hex")}`, name);
  const peak = served.peakBytes();
  assert.ok(peak < 160e6, `the server needed ${peak} bytes`);
});

test("oras and berth read each other's artifacts and what refers to them, at our registry and at Debian's", {
  skip: skipOras,
  timeout: 120_000,
}, async () => {
  await using debian = await Registry.start();
  await using store = new Store();
  await using served = await Served.start(store.env);
  const work = join(dir, "oras");
  mkdirSync(work);
  writeFileSync(join(work, "hello.txt"), "hello\n");
  const oras = (...args: readonly string[]): string => {
    const done = spawnSync(ORAS, args, { cwd: work, encoding: "utf8" });
    assert.equal(done.status, 0, `oras ${args.join(" ")}: ${done.stderr}`);
    return done.stdout;
  };
  const berth = (...args: readonly string[]): string => {
    const done = store.berth(...args);
    assert.equal(done.code, 0, done.err);
    return done.out;
  };
  const into = (): string => mkdtempSync(join(work, "into-"));
  for (const host of [served.host, debian.host]) {
    oras("push", "--plain-http", "--artifact-type", "text/oras", `${host}/art:oras`, "hello.txt:text/plain");
    const fromOras = into();
    berth("artifact", "pull", "-o", fromOras, `${host}/art:oras`);
    assert.equal(readFileSync(join(fromOras, "hello.txt"), "utf8"), "hello\n");
    berth("artifact", "push", "--type", "text/berth", `${host}/art:berth`, `${join(work, "hello.txt")}:text/plain`);
    const fromBerth = into();
    oras("pull", "--plain-http", "-o", fromBerth, `${host}/art:berth`);
    assert.equal(readFileSync(join(fromBerth, "hello.txt"), "utf8"), "hello\n");
    oras("attach", "--plain-http", "--artifact-type", "text/by-oras", `${host}/art:berth`, "hello.txt:text/plain");
    const subject = ["--subject", `${host}/art:berth`];
    berth("artifact", "push", "--type", "text/by-berth", ...subject, `${host}/art:second`, join(work, "hello.txt"));
    const ours = berth("registry", "referrers", `${host}/art:berth`);
    const theirs = oras("discover", "--plain-http", `${host}/art:berth`);
    for (const list of [ours, theirs]) {
      assert.match(list, /text\/by-oras/);
      assert.match(list, /text\/by-berth/);
    }
  }
  oras("cp", "--from-plain-http", "--to-plain-http", "-r", `${debian.host}/art:berth`, `${served.host}/copied:1`);
  assert.match(berth("registry", "referrers", `${served.host}/copied:1`), /text\/by-berth/);
});

test("pushes beside pulls and removals on the same data root: nothing that was pushed is lost", {
  skip,
  timeout: 120_000,
}, async () => {
  const env = rootEnv();
  await using served = await Served.start(env);
  let busy = true;
  let removals = 0;
  const berth = async (...args: readonly string[]): Promise<number | null> => {
    const child = spawn(BERTH, args, { env, stdio: "ignore" });
    return await new Promise((resolve) => child.on("exit", resolve));
  };
  // Each removal collects garbage.
  const removing = (async () => {
    for (; busy; removals++) {
      assert.equal(await berth("load", "-q", "-i", layout), 0);
      assert.equal(await berth("rmi", "-f", "busybox", "multi"), 0);
    }
  })();
  const pushed = new Map<string, readonly string[]>();
  for (let i = 0; i < 40; i++) {
    const layers: { mediaType: string; digest: string; size: number }[] = [];
    for (let n = 0; n < 3; n++) {
      const bytes = randomBytes(50_000);
      const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
      const path = `${served.url}/v2/app/blobs/uploads/?digest=${digest}`;
      assert.equal((await fetch(path, { method: "POST", body: bytes })).status, 201);
      layers.push({ mediaType: "application/octet-stream", digest, size: bytes.length });
    }
    const headers = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
    const body = JSON.stringify({ schemaVersion: 2, layers });
    assert.equal((await fetch(`${served.url}/v2/app/manifests/t${i}`, { method: "PUT", body, headers })).status, 201);
    pushed.set(
      `t${i}`,
      layers.map((layer) => layer.digest),
    );
  }
  busy = false;
  await removing;
  assert.ok(removals > 0);
  for (const [tag, digests] of pushed) {
    assert.equal((await fetch(`${served.url}/v2/app/manifests/${tag}`)).status, 200);
    for (const digest of digests) {
      const got = Buffer.from(await (await fetch(`${served.url}/v2/app/blobs/${digest}`)).arrayBuffer());
      assert.equal(`sha256:${createHash("sha256").update(got).digest("hex")}`, digest);
    }
  }
});

test("kill -9 at any time: what was acknowledged is there, whole, and uploads go on", {
  skip,
  timeout: 120_000,
}, async () => {
  const env = rootEnv();
  const blobs = new Map<string, Buffer>();
  const tags = new Map<string, string>();
  let going: { readonly path: string; readonly bytes: Buffer; readonly sent: number } | undefined;
  for (let round = 0; round < 8; round++) {
    await using served = await Served.start(env);
    const { url } = served;
    for (const [digest, bytes] of blobs) {
      const got = Buffer.from(await (await fetch(`${url}/v2/app/blobs/${digest}`)).arrayBuffer());
      assert.deepEqual(got, bytes, digest);
    }
    for (const [tag, manifest] of tags) {
      assert.equal(await (await fetch(`${url}/v2/app/manifests/${tag}`)).text(), manifest, tag);
    }
    if (going !== undefined) {
      const status = await fetch(`${url}${going.path}`);
      const last = Number(/^0-(\d+)$/.exec(status.headers.get("range") ?? "")?.[1] ?? -1);
      // 0-0 is said of one byte and of none; one alone was never sent.
      const have = last === 0 ? 0 : last + 1;
      assert.ok(status.status === 204 && have >= going.sent, `${status.status} ${have} ${going.sent}`);
      const rest = new Uint8Array(going.bytes.subarray(have));
      const digest = `sha256:${createHash("sha256").update(going.bytes).digest("hex")}`;
      const done = await fetch(`${url}${going.path}?digest=${digest}`, { method: "PUT", body: rest });
      assert.equal(done.status, 201);
      blobs.set(digest, going.bytes);
      going = undefined;
    }
    const killed = sleep(30 + Math.random() * 200).then(() => served.end("SIGKILL"));
    try {
      for (;;) {
        const bytes = randomBytes(200_000);
        const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
        const posted = await fetch(`${url}/v2/app/blobs/uploads/?digest=${digest}`, { method: "POST", body: bytes });
        assert.equal(posted.status, 201);
        blobs.set(digest, bytes);
        const manifest = JSON.stringify({ schemaVersion: 2, layers: [], random: digest });
        const headers = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
        const tag = `t${blobs.size % 5}`;
        tags.delete(tag); // until it is acknowledged it may be the old one or the new one
        const put = await fetch(`${url}/v2/app/manifests/${tag}`, { method: "PUT", body: manifest, headers });
        assert.equal(put.status, 201);
        tags.set(tag, manifest);
        const path = (await fetch(`${url}/v2/app/blobs/uploads/`, { method: "POST" })).headers.get("location") ?? "";
        const half = randomBytes(100_000);
        going = { path, bytes: half, sent: 0 };
        assert.equal((await fetch(`${url}${path}`, { method: "PATCH", body: half.subarray(0, 60_000) })).status, 202);
        going = { path, bytes: half, sent: 60_000 };
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // fetch failed: it was killed
    }
    await killed;
  }
  assert.ok(blobs.size > 8 && tags.size > 0, `${blobs.size} blobs, ${tags.size} tags`);
});

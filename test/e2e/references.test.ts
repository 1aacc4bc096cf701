/** Names of every form, as far as a registry on loopback can tell them apart. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { file, tar } from "../../keel/test/tar-writer.ts";
import { Evil } from "./evil.ts";
import { ok, probe, type Ran, Store } from "./harness.ts";

const skip = probe();
const layer = tar(file("a", "1\n".repeat(200_000)));
const store = new Store();

after(() => store[Symbol.asyncDispose]());

/** The registry is in this process: berth must not block it. */
const berth = (...args: readonly string[]): Promise<Ran> => store.run(...args);

async function done(...args: readonly string[]): Promise<string> {
  return ok(await berth(...args));
}

test("an IPv6 host with a port: pull, find, tag and remove", { skip, timeout: 60_000 }, async (t) => {
  const evil = await Evil.start("::1").catch(() => undefined);
  if (evil === undefined) return t.skip("no IPv6 loopback here");
  await using _evil = evil;
  assert.match(evil.host, /^\[::1\]:\d+$/);
  evil.image("1", [{ tar: layer }]);
  assert.equal(await done("pull", "-q", evil.name("1")), `${evil.name("1")}\n`);
  assert.match(await done("images", "--format", "{{.Repository}}:{{.Tag}}"), /^\[::1\]:\d+\/test\/evil:1$/m);
  await done("tag", evil.name("1"), `${evil.host}/other:2`);
  await done("rmi", evil.name("1"), `${evil.host}/other:2`);
  assert.equal(await done("images", "-q"), "");
});

test("tag and digest together: the digest decides, whatever the tag has become", {
  skip,
  timeout: 60_000,
}, async () => {
  await using evil = await Evil.start();
  const first = evil.image("moving", [{ tar: layer }]);
  evil.image("moving", [{ tar: tar(file("b", "2\n")) }]);
  const both = `${evil.name("moving")}@${first.digest}`;
  await done("pull", "-q", both);
  assert.equal(evil.asked[0]?.what, `manifests/${first.digest}`);
  assert.match(
    await done("images", "--digests", "--format", "{{.Tag}} {{.Digest}}"),
    new RegExp(`^<none> ${first.digest}$`, "m"),
  );
  const wrong = await berth("pull", "-q", `${evil.name("moving")}@sha256:${"0".repeat(64)}`);
  assert.equal(wrong.code, 1);
  assert.match(wrong.err, /not found/);
  await done("rmi", both);
});

test("mirrors: one that breaks in the middle of a layer is replaced by the next host, which goes on from there", {
  skip,
  timeout: 60_000,
}, async () => {
  await using mirror = await Evil.start();
  await using upstream = await Evil.start();
  for (const evil of [mirror, upstream]) evil.image("1", [{ tar: layer }]);
  const { digest } = upstream.blob(layer);
  mirror.answer = (_, response, what) => {
    if (what !== `blobs/${digest}`) return false;
    if (mirror.gets(digest).length > 1) response.writeHead(404).end();
    else {
      response.writeHead(200, { "content-length": layer.length });
      response.write(layer.subarray(0, 200_000), () => response.destroy());
    }
    return true;
  };
  const conf = join(store.dir, "registries.conf");
  const [up, down] = [upstream.host, mirror.host];
  writeFileSync(conf, `[[registry]]\nlocation = "${up}"\n[[registry.mirror]]\nlocation = "${down}"\ninsecure = true\n`);
  store.env["BERTH_REGISTRIES_CONF"] = conf;
  try {
    assert.equal(await done("pull", "-q", upstream.name("1")), `${upstream.name("1")}\n`);
    assert.equal(upstream.gets(digest)[0]?.range, "bytes=200000-");
    assert.ok(!upstream.asked.some(({ what }) => what.startsWith("manifests/")), "the mirror had the manifest");
  } finally {
    delete store.env["BERTH_REGISTRIES_CONF"];
    rmSync(conf);
  }
});

test("progress: plain lines without a terminal, none with --quiet, up to date the second time", {
  skip,
  timeout: 60_000,
}, async () => {
  await using evil = await Evil.start();
  evil.image("1", [{ tar: layer }]);
  const { err, out } = await berth("pull", evil.name("1"));
  assert.equal(out, `${evil.name("1")}\n`);
  assert.match(err, /Status: Downloaded newer image for /);
  assert.ok(!err.includes("\u001b") && !err.includes("\r"), "nothing that moves a cursor");
  assert.match((await berth("pull", evil.name("1"))).err, /Status: Image is up to date for /);
  const quiet = await berth("pull", "-q", evil.name("1"));
  assert.deepEqual([quiet.out, quiet.err], [`${evil.name("1")}\n`, ""]);
});

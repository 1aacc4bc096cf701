import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, derive } from "./fixtures.ts";
import { BERTH, ok, probe, Store, tool } from "./harness.ts";

const skip = probe("skopeo", "umoci", "tar");
const dir = mkdtempSync(join(tmpdir(), "berth-archives-"));
const at = (name: string): string => join(dir, name);
let layout = "";
let store: Store;

before(() => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "second", changeEverything);
  store = new Store();
  ok(store.berth("load", "-q", "-i", layout));
});

after(async () => {
  if (!skip) await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

const digestAt = (where: string): string =>
  tool("skopeo", "inspect", "--format", "{{.Digest}}", where, "--no-tags").trim();
const idOf = (of: Store, name: string): string => ok(of.berth("image", "inspect", "-f", "{{.Id}}", name));

t("save: several images in one archive come back under their names, with the same digests", async () => {
  const before = digestAt(`oci:${layout}:second`);
  assert.equal(ok(store.berth("save", "-o", at("two.tar"), "busybox", "second")), "");
  await using other = new Store();
  assert.equal(
    ok(other.berth("load", "-q", "-i", at("two.tar"))),
    "Loaded image: busybox:latest\nLoaded image: second:latest\n",
  );
  for (const name of ["busybox", "second"]) assert.equal(idOf(other, name), idOf(store, name));
  assert.equal(ok(other.berth("run", "--rm", "--network", "none", "second", "cat", "/www/new")), "new\n");
  ok(other.berth("save", "-o", at("again.tar"), "busybox", "second"));
  assert.ok(readFileSync(at("again.tar")).equals(readFileSync(at("two.tar"))));
  ok(other.berth("save", "--format", "oci-dir", "-o", at("dir"), "second"));
  assert.equal(digestAt(`oci:${at("dir")}:latest`), before);
  const refused = other.berth("save", "--format", "oci-dir", "-o", at("dir"), "second");
  assert.equal(refused.code, 1);
  assert.match(refused.err, /write directory .*dir: it is not empty\nhint: /);
});

t("save: to a pipe as to a file, and by id without a name", async () => {
  ok(store.berth("save", "-o", at("one.tar"), "second"));
  const piped = execFileSync(BERTH, ["save", "second"], { env: store.env, maxBuffer: 1 << 28 });
  assert.ok(piped.equals(readFileSync(at("one.tar"))));
  assert.equal(tool("tar", "-xOf", at("one.tar"), "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const id = idOf(store, "second").trim();
  ok(store.berth("save", "-o", at("id.tar"), id));
  await using other = new Store();
  assert.equal(ok(other.berth("load", "-q", "-i", at("id.tar"))), `Loaded image ID: ${id}\n`);
});

t("save: skopeo copies it with the same digest, umoci unpacks it", () => {
  ok(store.berth("save", "-o", at("s.tar"), "second"));
  tool("skopeo", "copy", "-q", "--insecure-policy", `oci-archive:${at("s.tar")}:latest`, `oci:${at("copied")}:x`);
  assert.equal(digestAt(`oci:${at("copied")}:x`), digestAt(`oci:${layout}:second`));
  ok(store.berth("save", "--format", "oci-dir", "-o", at("layout2"), "second"));
  for (const [from, to] of [
    [`${at("layout2")}:latest`, at("ours")],
    [`${layout}:second`, at("theirs")],
  ] as const)
    tool("umoci", "unpack", "--image", from, to);
  assert.equal(tool("diff", "-r", "--no-dereference", at("ours/rootfs"), at("theirs/rootfs")), "");
});

t("save --format docker-archive: plain layers that skopeo takes; the image id stays", async () => {
  ok(store.berth("save", "--format", "docker-archive", "-o", at("d.tar"), "busybox", "second"));
  for (const name of ["busybox", "second"]) {
    const config = tool("skopeo", "inspect", "--raw", "--config", `docker-archive:${at("d.tar")}:${name}:latest`);
    assert.equal(`sha256:${createHash("sha256").update(config).digest("hex")}\n`, idOf(store, name));
    const from = `docker-archive:${at("d.tar")}:${name}:latest`;
    tool("skopeo", "copy", "-q", "--insecure-policy", from, `oci:${at(`d-${name}`)}:x`);
  }
  await using other = new Store();
  ok(other.berth("load", "-q", "-i", at("d.tar")));
  assert.equal(idOf(other, "second"), idOf(store, "second"));
});

t("save: damaged content, a missing image, and a full disk leave no archive behind", async () => {
  await using own = new Store();
  ok(own.berth("load", "-q", "-i", layout));
  const manifest = JSON.parse(tool("skopeo", "inspect", "--raw", `oci:${layout}:second`));
  const file = join(own.dir, "data/content", manifest.layers[0].digest.replace(":", "/"));
  const bytes = readFileSync(file);
  writeFileSync(
    file,
    bytes.map((byte, i) => (i === 100 ? byte ^ 1 : byte)),
  );
  const changed = own.berth("save", "-o", at("bad.tar"), "second");
  assert.equal(changed.code, 1);
  assert.match(changed.err, /save blob sha256:\w+: its stored bytes have digest sha256:\w+ now\nhint: repair/);
  truncateSync(file, 10);
  assert.match(own.berth("save", "-o", at("bad.tar"), "second").err, /is missing or has another size/);
  const missing = own.berth("save", "-o", at("bad.tar"), "nosuch");
  assert.deepEqual([missing.code, missing.err.split("\n")[0]], [1, "berth: find image nosuch: no such image"]);
  mkdirSync(at("small"));
  tool("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", at("small"));
  try {
    const full = store.berth("save", "-o", at("small/x.tar"), "second");
    assert.equal(full.code, 1);
    assert.match(full.err, /x\.tar: no space left \(ENOSPC\)/);
    assert.equal(tool("ls", "-A", at("small")), "");
  } finally {
    tool("umount", at("small"));
  }
  assert.equal(spawnSync("sh", ["-c", `ls ${at("bad.tar")}*`]).status, 2);
  assert.equal(existsSync(at("bad.tar")), false);
  ok(store.berth("save", "-o", "/dev/null", "second"));
  assert.ok(statSync("/dev/null").isCharacterDevice());
});

t("save: refuses a terminal, and a layout without a directory", () => {
  const terminal = spawnSync("script", ["-qec", `${BERTH} save second`, "/dev/null"], {
    env: store.env,
    encoding: "utf8",
  });
  assert.equal(terminal.status, 1, terminal.stdout);
  assert.match(terminal.stdout, /cowardly refusing to write an archive to a terminal/);
  const none = store.berth("save", "--format", "oci-dir", "second");
  assert.equal(none.code, 1);
  assert.match(none.err, /a directory is needed/);
});

/** Path, type and mode, owner, size, link of every member, sorted. */
function listed(tar: string): readonly string[] {
  const out = tool("tar", "--numeric-owner", "--full-time", "-tvf", tar);
  return out
    .trim()
    .split("\n")
    .map((line) => line.replace(/ \d{4}-\d\d-\d\d [\d:.]+/, ""))
    .sort();
}

t("export: a stopped and a running container give their files, without what is mounted", () => {
  tool("umoci", "unpack", "--image", `${layout}:second`, at("bundle"));
  tool("sh", "-c", `cd ${at("bundle/rootfs")} && tar --sort=name --numeric-owner -cf ${at("want.tar")} *`);
  const made = ok(store.berth("create", "--network", "none", "second", "true")).trim();
  ok(store.berth("export", "-o", at("made.tar"), made));
  assert.deepEqual(listed(at("made.tar")), listed(at("want.tar")));
  const script = "echo data >/vol/file; echo own >/etc/own; rm /etc/abs; echo -n >/-x; touch '/two\nlines'; sleep 1000";
  const run = ["run", "-d", "--network", "none", "-v", "/vol", "second", "sh", "-c", `${script}`];
  const id = ok(store.berth(...run)).trim();
  while (!/own/.test(store.berth("exec", id, "ls", "/etc", "/two*").out));
  const running = execFileSync(BERTH, ["export", id], { env: store.env, maxBuffer: 1 << 28 });
  writeFileSync(at("running.tar"), running);
  ok(store.berth("stop", "-t", "0", id));
  ok(store.berth("export", "--output", at("stopped.tar"), id));
  assert.deepEqual(listed(at("running.tar")), listed(at("stopped.tar")));
  const names = tool("tar", "-tf", at("stopped.tar")).split("\n");
  for (const name of ["etc/own", "-x", "vol/", "proc/", "bin/su-busybox"]) assert.ok(names.includes(name), name);
  for (const name of ["etc/abs", "vol/file", "proc/1/"]) assert.ok(!names.includes(name), name);
  ok(store.berth("rm", "-v", made, id));
  assert.equal(store.berth("export", "-o", at("none.tar"), id).code, 1);
  assert.equal(existsSync(at("none.tar")), false);
  assert.equal(spawnSync("ls", ["-A", join(store.dir, "run/x")], { encoding: "utf8" }).stdout, "");
});

t("import: of a file and a compressed pipe, with changes; what was exported runs", async () => {
  await using own = new Store();
  ok(own.berth("load", "-q", "-i", layout));
  const id = ok(own.berth("create", "--network", "none", "second", "true")).trim();
  ok(own.berth("export", "-o", at("root.tar"), id));
  const changes = ["-c", 'CMD ["cat", "/www/new"]', "-c", "ENV PATH=/bin A=1", "--change", "LABEL from=import"];
  const made = ok(own.berth("import", ...changes, "-m", "by hand", at("root.tar"), "app:1"));
  assert.match(made, /^sha256:[0-9a-f]{64}\n$/);
  assert.equal(ok(own.berth("run", "--rm", "--network", "none", "app:1")), "new\n");
  assert.equal(
    ok(own.berth("image", "inspect", "-f", "{{.Config.Labels.from}} {{index .Config.Env 1}}", "app:1")),
    "import A=1\n",
  );
  assert.equal(ok(own.berth("history", "--format", "{{.Comment}}", "app:1")), "by hand\n");
  tool("gzip", "-k", at("root.tar"));
  const input = readFileSync(at("root.tar.gz"));
  const piped = spawnSync(BERTH, ["import", "-", "app:2"], { env: own.env, input, encoding: "utf8" });
  assert.equal(piped.status, 0, piped.stderr);
  const layerOf = (name: string): string => ok(own.berth("image", "inspect", "-f", "{{index .RootFS.Layers 0}}", name));
  assert.equal(layerOf("app:2"), layerOf("app:1"));
  writeFileSync(at("text"), "no tar at all\n".repeat(1000));
  for (const [args, want] of [
    [[at("text")], /^berth: /],
    [[at("missing")], /^berth: import .*missing: ENOENT\n/],
    [["-c", "RUN true", at("root.tar")], /^berth: apply change "RUN true": RUN changes no setting/],
    [[at("root.tar"), "Upper/Case"], /^berth: /],
  ] as const) {
    const ran = own.berth("import", ...args);
    assert.equal(ran.code, 1, args.join(" "));
    assert.match(ran.err, want);
  }
  assert.equal(ok(own.berth("images", "-q")).trim().split("\n").length, 4);
});

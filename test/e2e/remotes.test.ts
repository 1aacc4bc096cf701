import assert from "node:assert/strict";
import { type ChildProcess, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { blobPath, busyboxLayout, derive, twoPlatforms } from "./fixtures.ts";
import { ok, probe, Store, tool } from "./harness.ts";
import { Registry } from "./registry.ts";
import { Served } from "./served.ts";

const skip = probe("docker-registry", "skopeo", "umoci", "openssl");
const dir = mkdtempSync(join(tmpdir(), "berth-remotes-"));
/** `secret`, by bcrypt. */
const SECRET = "$2b$05$3.K/3/8FLJsaqc8sNtdd2OferhMnR1bb6aFcXsTbcELomz/3V04qq";
let layout = "";
/** Debian's docker-registry, and Berth's own. */
let debian: Registry;
let own: Served;
let store: Store;
const made = new AsyncDisposableStack();

before(async () => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "second", (root) => writeFileSync(join(root, "etc/second"), "second\n"));
  twoPlatforms(layout, "busybox", "multi");
  debian = made.use(await Registry.start());
  own = made.use(await Served.start(made.use(new Store()).env));
  // Of this test only: no login of whoever runs it.
  store = made.use(new Store({ DOCKER_CONFIG: join(dir, "docker"), XDG_RUNTIME_DIR: join(dir, "xdg"), HOME: dir }));
  ok(store.berth("load", "-i", layout, "-q"));
});

after(async () => {
  await made.disposeAsync();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

const inspect = (host: string, name: string): { digest: string; raw: string } => {
  const at = `docker://${host}/${name}`;
  const raw = tool("skopeo", "inspect", "--raw", "--tls-verify=false", at);
  return { raw, digest: tool("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", at).trim() };
};

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const digestOf = (bytes: Uint8Array | string, algorithm = "sha256"): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;

/** Puts something into the repository `evil` of our registry, as no client of ours would. */
async function put(path: string, body: Uint8Array | string, method = "PUT"): Promise<void> {
  const init = { method, body: Buffer.from(body), headers: { "content-type": MANIFEST } };
  const { status } = await fetch(`${own.url}/v2/evil/${path}`, init);
  assert.equal(status, 201, path);
}

/** Where an image of the layout was loaded under. */
const local = (tag: string): string => `docker.io/library/${tag}:latest`;

t("push: an image arrives whole at Debian's registry and at ours, and is not sent twice", () => {
  for (const host of [debian.host, own.host]) {
    const name = `${host}/push/app:1`;
    ok(store.berth("tag", local("second"), name));
    const first = store.berth("push", name);
    const out = ok(first);
    assert.match(out, /^1: digest: sha256:[0-9a-f]{64} size: \d+\n$/);
    assert.equal(first.err.match(/: Pushed$/gm)?.length, 3, first.err);
    const again = store.berth("push", name);
    assert.equal(ok(again), out);
    assert.equal(again.err.match(/: Layer already exists$/gm)?.length, 3, again.err);
    assert.equal(/sha256:\w+/.exec(out)?.[0], inspect(host, "push/app:1").digest);
    const copied = join(dir, `pushed-${host.replace(":", "-")}`);
    tool(
      "skopeo",
      "copy",
      "--quiet",
      "--insecure-policy",
      "--src-tls-verify=false",
      `docker://${name}`,
      `oci:${copied}:x`,
    );
    tool("umoci", "unpack", "--image", `${copied}:x`, `${copied}-bundle`);
    assert.equal(readFileSync(`${copied}-bundle/rootfs/etc/second`, "utf8"), "second\n");
  }
});

t("push: in chunks, all tags of a repository, and blobs that the registry has elsewhere are mounted", () => {
  for (const host of [debian.host, own.host]) {
    const name = `${host}/chunks/app`;
    for (const tag of ["1", "2"]) ok(store.berth("tag", local("second"), `${name}:${tag}`));
    ok(store.berth("tag", local("busybox"), `${name}:small`));
    const out = ok(store.berth("push", "-q", "--all-tags", "--chunk-size", "200k", name));
    assert.equal(out.split("\n").filter(Boolean).length, 3);
    const tags = JSON.parse(tool("skopeo", "list-tags", "--tls-verify=false", `docker://${name}`)).Tags;
    assert.deepEqual(tags.sort(), ["1", "2", "small"]);
    // Pulled from one repository, pushed to another one of the same registry.
    ok(store.berth("pull", "-q", `${name}:1`));
    ok(store.berth("tag", `${name}:1`, `${host}/mounted/app:1`));
    const mounted = store.berth("push", `${host}/mounted/app:1`);
    ok(mounted);
    assert.match(mounted.err, /Mounted from another repository/);
    assert.doesNotMatch(mounted.err, /Pushed/);
  }
  assert.match(store.berth("push", `${own.host}/no/such:1`).err, /no such image/);
});

t("copy: from Debian's registry to ours and back, all platforms or one, with the same digests", () => {
  debian.fill(`oci:${layout}:multi`, "copy/multi:1", "--all");
  const { digest, raw } = inspect(debian.host, "copy/multi:1");
  const to = `${own.host}/copied/multi:1`;
  assert.match(ok(store.berth("copy", `${debian.host}/copy/multi:1`, to)), new RegExp(digest));
  assert.equal(inspect(own.host, "copied/multi:1").digest, digest);
  ok(store.berth("copy", "-q", to, `${debian.host}/back/multi:2`));
  assert.equal(inspect(debian.host, "back/multi:2").digest, digest);
  const arm = JSON.parse(raw).manifests.find(
    (one: { platform: { architecture: string } }) => one.platform.architecture === "arm64",
  );
  ok(store.berth("copy", "-q", "--platform", "linux/arm64", to, `${own.host}/copied/arm:1`));
  assert.equal(inspect(own.host, "copied/arm:1").digest, arm.digest);
  const none = store.berth("copy", "--platform", "linux/s390x", to, `${own.host}/copied/none:1`);
  assert.match(none.err, /no image for platform linux\/s390x/);
});

t("manifest: a list is made of images, annotated, inspected and pushed", () => {
  for (const host of [debian.host, own.host]) {
    const list = `${host}/list/app:1`;
    for (const tag of ["busybox", "second"]) {
      ok(store.berth("tag", local(tag), `${host}/list/parts:${tag}`));
      ok(store.berth("push", "-q", `${host}/list/parts:${tag}`));
    }
    ok(store.berth("manifest", "create", list, `${host}/list/parts:busybox`));
    assert.match(store.berth("manifest", "create", list, `${host}/list/parts:busybox`).err, /it exists/);
    ok(store.berth("manifest", "create", "--amend", list, `${host}/list/parts:second`));
    ok(store.berth("manifest", "annotate", "--arch", "arm", "--variant", "v7", list, `${host}/list/parts:second`));
    const draft = ok(store.berth("manifest", "inspect", list));
    const platforms = JSON.parse(draft).manifests.map((one: { platform: object }) => one.platform);
    const architecture = process.arch === "x64" ? "amd64" : process.arch;
    assert.deepEqual(platforms, [
      { os: "linux", architecture },
      { os: "linux", architecture: "arm", variant: "v7" },
    ]);
    const digest = ok(store.berth("manifest", "push", "--purge", list)).trim();
    assert.equal(inspect(host, "list/app:1").raw, draft.trimEnd());
    assert.equal(
      tool("skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${host}/list/app@${digest}`),
      draft.trimEnd(),
    );
    assert.match(store.berth("manifest", "push", list).err, /no such list/);
    assert.equal(ok(store.berth("manifest", "inspect", list)), draft);
  }
});

t("artifact: files go up and come back, with a subject and what refers to it", () => {
  const files = join(dir, "files");
  mkdirSync(files);
  writeFileSync(join(files, "sbom.json"), '{"packages":[]}');
  writeFileSync(join(files, "big"), Buffer.alloc(3_000_000, 7));
  // Debian's registry knows no list of referrers: there it is kept under a tag.
  for (const host of [debian.host, own.host]) {
    ok(store.berth("tag", local("busybox"), `${host}/art/app:1`));
    ok(store.berth("push", "-q", `${host}/art/app:1`));
    const type = "application/vnd.example.sbom";
    const args = ["--type", type, "--annotation", "made=here", "--subject", `${host}/art/app:1`];
    const from = [`${join(files, "sbom.json")}:application/json`, join(files, "big")];
    const digest = ok(store.berth("artifact", "push", "-q", ...args, `${host}/art/app:sbom`, ...from)).trim();
    const manifest = JSON.parse(
      tool("skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${host}/art/app:sbom`),
    );
    assert.equal(manifest.artifactType, type);
    assert.deepEqual(manifest.annotations, { made: "here" });
    assert.deepEqual(
      manifest.layers.map((one: { mediaType: string }) => one.mediaType),
      ["application/json", "application/octet-stream"],
    );
    const list = (...more: string[]) =>
      ok(store.berth("registry", "referrers", "--format", "json", ...more, `${host}/art/app:1`))
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line));
    assert.deepEqual(
      list("--type", type).map(({ digest: found, artifactType }) => [found, artifactType]),
      [[digest, type]],
    );
    assert.deepEqual(list("--type", "other/type"), []);
    const back = mkdtempSync(join(dir, "back-"));
    ok(store.berth("artifact", "pull", "-o", back, `${host}/art/app:sbom`));
    assert.deepEqual(readdirSync(back).sort(), ["big", "sbom.json"]);
    assert.deepEqual(readFileSync(join(back, "big")), readFileSync(join(files, "big")));
    assert.match(store.berth("artifact", "pull", "-o", back, `${host}/art/app:sbom`).err, /it exists/);
    ok(store.berth("artifact", "pull", "-o", back, "--overwrite", `${host}/art/app:sbom`));
    // What refers to an image is copied with it.
    ok(store.berth("copy", "-q", "--referrers", `${host}/art/app:1`, `${own.host}/art/copied:1`));
    assert.match(ok(store.berth("registry", "referrers", `${own.host}/art/copied:1`)), new RegExp(digest));
  }
});

t(
  "registry tags and rm: tags are listed and deleted; Debian's registry deletes by digest only, and that is said",
  () => {
    for (const host of [debian.host, own.host]) {
      for (const tag of ["a", "b", "c"]) {
        ok(store.berth("tag", local("busybox"), `${host}/tags/app:${tag}`));
        ok(store.berth("push", "-q", `${host}/tags/app:${tag}`));
      }
      // Debian's registry has them in no order.
      const listed = ok(store.berth("registry", "tags", `${host}/tags/app`))
        .split("\n")
        .filter(Boolean);
      assert.deepEqual(listed.sort(), ["a", "b", "c"]);
    }
    ok(store.berth("registry", "rm", `${own.host}/tags/app:b`));
    assert.equal(ok(store.berth("registry", "tags", `${own.host}/tags/app`)), "a\nc\n");
    const { digest } = inspect(debian.host, "tags/app:a");
    ok(store.berth("registry", "rm", `${debian.host}/tags/app@${digest}`));
    assert.notEqual(store.berth("registry", "rm", `${debian.host}/tags/app:a`).code, 0);
    assert.match(store.berth("registry", "tags", `${own.host}/no/such`).err, /not found/);
  },
);

t("artifact pull: a title that is no plain file name is refused, and nothing is written anywhere", async () => {
  const bytes = Buffer.from("evil");
  const digest = digestOf(bytes);
  await put(`blobs/uploads/?digest=${digest}`, bytes, "POST");
  const into = join(dir, "into");
  mkdirSync(into);
  for (const title of ["../escaped", "/tmp/berth-escaped", "a/b", "..", ""]) {
    const annotations = { "org.opencontainers.image.title": title };
    const layers = [{ mediaType: "text/plain", digest, size: bytes.length, annotations }];
    await put("manifests/evil", JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, layers }));
    const ran = store.berth("artifact", "pull", "-o", into, `${own.host}/evil:evil`);
    assert.equal(ran.code, 1, title);
    assert.match(ran.err, /is no file name/);
  }
  assert.deepEqual([readdirSync(into), existsSync(join(dir, "escaped"))], [[], false]);
});

t("pull: an image whose digests are all sha512 runs", async () => {
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const manifest = JSON.parse(readFileSync(blobPath(layout, index.manifests[0].digest), "utf8"));
  for (const one of [manifest.config, ...manifest.layers]) {
    const bytes = readFileSync(blobPath(layout, one.digest));
    one.digest = digestOf(bytes, "sha512");
    await put(`blobs/uploads/?digest=${one.digest}`, bytes, "POST");
  }
  const bytes = JSON.stringify({ ...manifest, mediaType: MANIFEST });
  await put(`manifests/${digestOf(bytes, "sha512")}?tag=512`, bytes);
  for (const image of [`${own.host}/evil@${digestOf(bytes, "sha512")}`, `${own.host}/evil:512`]) {
    const ran = store.berth("run", "--rm", "--network", "none", image, "cat", "/etc/passwd");
    assert.match(ok(ran), /^root:x:0:0/);
  }
  ok(store.berth("tag", `${own.host}/evil:512`, `${own.host}/sha512:1`));
  ok(store.berth("push", "-q", `${own.host}/sha512:1`));
});

t("certs.d: the authority in docker's directory of a host is trusted for it", async () => {
  const [cert, key] = [join(dir, "cert.pem"), join(dir, "key.pem")];
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  args.push("-subj", "/CN=berth test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert);
  tool("openssl", ...args);
  const env = { ...store.env, BERTH_ROOT: join(dir, "tls") };
  await using served = await Served.start(env, "--tls-cert", cert, "--tls-key", key);
  const certs = `/etc/docker/certs.d/${served.host}`;
  ok(store.berth("tag", local("busybox"), `${served.host}/app:1`));
  const stranger = store.berth("push", `${served.host}/app:1`);
  assert.match(stranger.err, new RegExp(`not trusted.*hint: put its authority's certificate into ${certs}`, "s"));
  const isNew = mkdirSync(certs, { recursive: true });
  try {
    writeFileSync(join(certs, "ca.crt"), readFileSync(cert));
    ok(store.berth("push", "-q", `${served.host}/app:1`));
  } finally {
    rmSync(isNew ?? certs, { recursive: true });
  }
});

t("login: needed, remembered and forgotten; the password is in no output, argument or other file", async () => {
  const users = join(dir, "users");
  writeFileSync(users, `ann:${SECRET}\n`);
  await using locked = await Served.start({ ...store.env, BERTH_ROOT: join(dir, "locked") }, "--htpasswd", users);
  const name = `${locked.host}/private/app:1`;
  ok(store.berth("tag", local("busybox"), name));
  const refused = store.berth("push", name);
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /berth login/);
  const login = (password: string, ...flags: string[]) =>
    store.berthWith({ input: `${password}\n` }, "login", "-u", "ann", "--password-stdin", ...flags, locked.host);
  const wrong = login("wr0ng-one");
  assert.equal(wrong.code, 1);
  assert.match(wrong.err, /wrong user name or password/);
  assert.doesNotMatch(wrong.err, /wr0ng-one/);
  const right = login("secret", "--insecure");
  assert.equal(ok(right), "Login Succeeded\n");
  assert.doesNotMatch(right.err, /secret/);
  ok(store.berth("push", "-q", name));
  assert.equal(ok(store.berth("registry", "tags", `${locked.host}/private/app`)), "1\n");
  // docker's file, so that other tools find it too.
  const config = join(dir, "docker/config.json");
  tool("skopeo", "inspect", "--authfile", config, "--tls-verify=false", `docker://${name}`);
  const found = spawnSync("grep", ["-rlE", "ann:secret|YW5uOnNlY3JldA", store.dir], { encoding: "utf8" });
  assert.equal(found.stdout, "");
  const debug = store.berth("--debug", "push", `${locked.host}/private/none:1`);
  assert.doesNotMatch(debug.err, /secret|YW5uOnNlY3JldA/);
  ok(store.berth("logout", locked.host));
  assert.match(ok(store.berth("logout", locked.host)), /^Not logged in/);
  assert.notEqual(store.berth("push", name).code, 0);
  const own = join(dir, "podman.json");
  ok(login("secret", "--authfile", own));
  assert.deepEqual(Object.keys(JSON.parse(readFileSync(own, "utf8")).auths), [locked.host]);
  assert.match(store.berth("login", "-u", "ann", locked.host).err, /use --password-stdin/);
});

t("registries.conf: aliases, mirrors, rewrites and blocked registries are honoured", async () => {
  const conf = join(dir, "registries.conf");
  debian.fill(`oci:${layout}:busybox`, "real/busybox:1");
  ok(store.berth("tag", local("second"), `${own.host}/mirror/busybox:1`));
  ok(store.berth("push", "-q", `${own.host}/mirror/busybox:1`));
  writeFileSync(
    conf,
    `[aliases]
"bb" = "registry.test/apps/busybox"

[[registry]]
prefix = "registry.test/apps"
location = "${debian.host}/real"
[[registry.mirror]]
location = "127.0.0.1:1/nobody-listens"
insecure = true
[[registry.mirror]]
location = "${own.host}/mirror"

[[registry]]
location = "evil.test"
blocked = true
`,
  );
  await using other = new Store({ BERTH_REGISTRIES_CONF: conf });
  const run = (...args: string[]) => other.berth("run", "--rm", "--network", "none", ...args);
  // The mirror has the second image under this name.
  assert.equal(ok(run("bb:1", "cat", "/etc/second")), "second\n");
  assert.equal(ok(other.berth("images", "--format", "{{.Repository}}:{{.Tag}}")), "registry.test/apps/busybox:1\n");
  assert.match(ok(other.berth("pull", "bb:1")), /^registry\.test\/apps\/busybox:1\n$/);
  ok(store.berth("registry", "rm", `${own.host}/mirror/busybox:1`));
  ok(other.berth("pull", "-q", "registry.test/apps/busybox:1"));
  assert.equal(run("bb:1", "cat", "/etc/second").code, 1, "the mirror lost it: this is the registry's own");
  ok(other.berth("tag", "bb:1", "registry.test/apps/pushed:1"));
  ok(other.berth("push", "-q", "registry.test/apps/pushed:1"));
  inspect(debian.host, "real/pushed:1");
  assert.match(other.berth("pull", "evil.test/x:1").err, /registries\.conf blocks evil\.test/);
  writeFileSync(conf, "[[registry]]\nlocation = 5\n");
  assert.match(other.berth("pull", "bb:1").err, /registries\.conf: registry\[0\]\.location/);
});

t("an interrupt ends a pull, a push and a copy as `interrupted` with 130", async () => {
  const { createServer } = await import("node:http");
  const server = createServer((_request, response) => {
    response.writeHead(200).flushHeaders();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const host = `127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  ok(store.berth("tag", local("busybox"), `${host}/slow:1`));
  for (const args of [
    ["pull", `${host}/other:1`],
    ["copy", `${host}/slow:1`, `${own.host}/slow:1`],
  ]) {
    const child: ChildProcess = store.spawn(...args);
    const said = text(child.stderr as Readable);
    await new Promise<void>((resolve) => server.once("request", () => resolve()));
    child.kill("SIGINT");
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 130, args.join(" "));
    assert.match(await said, /interrupted/);
    assert.doesNotMatch(await said, /internal error|AbortError/);
  }
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

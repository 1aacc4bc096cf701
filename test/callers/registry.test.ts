/** dockerd and podman as clients of `berth registry serve`; what they push and pull is what berth pulls and pushed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { blobPath } from "../e2e/fixtures.ts";
import { HELLO_TAR, type Ran, Store, tool } from "../e2e/harness.ts";
import { Served } from "../e2e/served.ts";
import { call, callerSkip, Daemon, IMAGE, Place } from "./harness.ts";

const skip = callerSkip("dockerd", "docker", "containerd", "podman");
/** `the-password`, as htpasswd -B writes it. */
const HASH = "$2y$05$abcdefghijklmnopqrstuu.znb4r.2SiHQeF.pCKpDSFBaTOrRZqq";
const place = new Place();
const at = (name: string): string => join(place.dir, name);
const docker = client(["docker"], { DOCKER_HOST: `unix://${at("docker.sock")}`, DOCKER_CONFIG: at("client") });
const podman = client(
  ["podman", ...["root", "runroot", "tmpdir"].flatMap((flag) => [`--${flag}`, at(flag)]), "--events-backend", "file"],
  { REGISTRY_AUTH_FILE: at("auth.json") },
);
const store = new Store();
let daemon: Daemon | undefined;
let served: Served | undefined;
/** Image id that all of them must tell: the digest of the configuration. */
let id = "";

type Client = (args: readonly string[], input?: string) => Ran;

function client(words: readonly [string, ...string[]], env: NodeJS.ProcessEnv): Client {
  const [program, ...first] = words;
  return (args, input) =>
    call(program, [...first, ...args], {
      cwd: place.dir,
      env: { ...process.env, ...env },
      ...(input === undefined ? {} : { input }),
    });
}

function ok({ code, out, err }: Ran): string {
  assert.equal(code, 0, err);
  return out;
}

before(async () => {
  if (skip) return;
  writeFileSync(at("auth.json"), "{}");
  const roots = ["--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("docker.pid")];
  const network = ["--bridge=none", "--iptables=false", "--ip-forward=false"];
  // loopback is an insecure registry to dockerd by itself
  daemon = new Daemon(["dockerd", "-H", `unix://${at("docker.sock")}`, ...roots, ...network], {
    log: openSync(at("dockerd.log"), "a"),
  });
  served = await Served.start({ ...store.env, BERTH_ROOT: at("served") });
  ok(store.berth("load", "-q", "-i", HELLO_TAR));
  id = ok(store.berth("inspect", "--format", "{{.Id}}", IMAGE)).trim();
  const env = { ...process.env, DOCKER_HOST: `unix://${at("docker.sock")}` };
  assert.ok(await daemon.answers(["docker", "version"], env), "dockerd does not answer within 30 s");
});

after(async () => {
  await served?.[Symbol.asyncDispose]();
  await daemon?.stop();
  await store[Symbol.asyncDispose]();
  place.remove();
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

/** The image goes from berth to the client through our registry, and back under another name. */
function roundTrip(run: Client, name: string, flags: readonly string[]): void {
  const first = `${served?.host}/${name}/hello:1`;
  ok(store.berth("tag", IMAGE, first));
  const digest = ok(store.berth("push", "-q", first)).trim();
  ok(run(["pull", ...flags, first]));
  const told = ok(run(["image", "inspect", "--format", "{{.Id}}", first])).trim();
  assert.equal(told.replace(/^sha256:/, ""), id.replace(/^sha256:/, ""));
  ok(run(["pull", ...flags, `${served?.host}/${name}/hello@${digest}`]));
  const back = `${served?.host}/${name}/back:2`;
  ok(run(["tag", first, back]));
  ok(run(["push", ...flags, back]));
  ok(run(["push", ...flags, back]));
  ok(store.berth("pull", "-q", back));
  assert.equal(ok(store.berth("inspect", "--format", "{{.Id}}", back)).trim(), id);
  assert.match(ok(store.berth("system", "check")), /no problems/);
  ok(run(["rmi", "-f", back]));
  // podman 4.3 forgets --tls-verify=false when it lists tags.
  if (run === docker) ok(run(["pull", ...flags, "--all-tags", `${served?.host}/${name}/back`]));
  assert.match(run(["pull", ...flags, `${served?.host}/${name}/none:1`]).err, /not found|unknown/i);
}

t("dockerd pulls what berth pushed, pushes it again, and berth pulls that: the image id stays", () =>
  roundTrip(docker, "docker", []),
);

t("podman pulls what berth pushed, pushes it again, and berth pulls that: the image id stays", () =>
  roundTrip(podman, "podman", ["--tls-verify=false"]),
);

t("podman push --compression-format zstd and skopeo's zstd:chunked: what comes is unpacked as zstd", async () => {
  const name = `${served?.host}/zstd/hello:1`;
  ok(podman(["load", "-q", "-i", place.archive()]));
  ok(podman(["push", "--tls-verify=false", "--format", "oci", "--compression-format", "zstd", IMAGE, name]));
  ok(store.berth("pull", "-q", name));
  // In a registry that has the layer in another form already, skopeo would take that.
  await using other = await Served.start({ ...store.env, BERTH_ROOT: at("other") });
  const layout = at("chunked");
  const format = ["--format", "oci", "--dest-compress-format", "zstd:chunked", "--dest-compress"];
  const copy = ["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"];
  tool("skopeo", ...copy, ...format, `docker-archive:${place.archive()}`, `oci:${layout}:1`);
  const chunked = `${other.host}/chunked/hello:1`;
  tool("skopeo", ...copy, `oci:${layout}:1`, `docker://${chunked}`);
  const manifest = JSON.parse(tool("skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${chunked}`));
  const layer = readFileSync(blobPath(layout, manifest.layers[0].digest));
  assert.equal(layer.subarray(-8).toString(), "GnUlInUx", "the footer of zstd:chunked");
  ok(store.berth("pull", "-q", chunked));
  assert.equal(ok(store.berth("run", "--rm", "--network", "none", chunked, "echo", "ran")), "ran\n");
  assert.match(ok(store.berth("system", "check")), /no problems/);
});

t("docker login and podman login at a registry with users: in with the password, out without", async () => {
  const users = at("users");
  writeFileSync(users, `anna:${HASH}\n`);
  await using closed = await Served.start({ ...store.env, BERTH_ROOT: at("closed") }, "--htpasswd", users);
  const name = `${closed.host}/private/hello:1`;
  ok(docker(["load", "-i", place.archive()]));
  for (const [run, flags] of [
    [docker, []],
    [podman, ["--tls-verify=false"]],
  ] as const) {
    ok(run(["tag", IMAGE, name]));
    assert.match(run(["push", ...flags, name]).err, /unauthorized|no basic auth|authentication required/i);
    assert.notEqual(run(["login", ...flags, "-u", "anna", "--password-stdin", closed.host], "wrong").code, 0);
    ok(run(["login", ...flags, "-u", "anna", "--password-stdin", closed.host], "the-password"));
    ok(run(["push", ...flags, name]));
    ok(run(["pull", ...flags, name]));
    ok(run(["logout", closed.host]));
    assert.notEqual(run(["pull", ...flags, name]).code, 0);
  }
  const files = readdirSync(at("closed"), { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  for (const file of files) {
    const grep = spawnSync("grep", ["-c", "the-password", join(file.parentPath, file.name)], { encoding: "utf8" });
    assert.equal(grep.stdout.trim(), "0", file.name);
  }
});

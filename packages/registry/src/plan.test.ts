import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { dockerConfigPath } from "./auth-file.ts";
import { parseChallenges } from "./challenge.ts";
import { findCredentials, removeCredentials, saveCredentials } from "./credentials.ts";
import { isLoopback, planEndpoint } from "./endpoint.ts";
import { planWait } from "./retry.ts";
import { readCertificates } from "./tls.ts";

test("parseChallenges: several schemes, quoted values with commas and escapes", () => {
  assert.deepEqual(
    parseChallenges(
      'Bearer realm="https://a/t?x=1,2",service="s \\"q\\"", scope="repository:a/b:pull,push", Basic realm=here',
    ),
    [
      { scheme: "bearer", params: { realm: "https://a/t?x=1,2", service: 's "q"', scope: "repository:a/b:pull,push" } },
      { scheme: "basic", params: { realm: "here" } },
    ],
  );
  assert.deepEqual(parseChallenges("Negotiate"), [{ scheme: "negotiate", params: {} }]);
});

test("parseChallenges: malformed headers give what can be read and never hang", () => {
  for (const header of ["", ",,,", "=", 'Bearer realm="open', "Bearer realm=", '"x"', "a=b"]) parseChallenges(header);
  assert.equal(parseChallenges(`Bearer ${'realm="x",'.repeat(100_000)}`)[0]?.scheme, "bearer");
});

test("isLoopback: 127.0.0.0/8, ::1 and localhost, nothing that only looks so", () => {
  for (const host of ["localhost", "127.0.0.1", "127.255.0.9", "::1", "[::1]", "a.localhost"])
    assert.ok(isLoopback(host), host);
  for (const host of [
    "127.0.0.1.evil.org",
    "localhost.evil.org",
    "128.0.0.1",
    "127.1",
    "127.0.0.999",
    "::2",
    "10.0.0.1",
  ]) {
    assert.ok(!isLoopback(host), host);
  }
});

test("planEndpoint: TLS only, but for loopback and for what is declared insecure", () => {
  const plain = { insecure: false, hasCa: false };
  assert.deepEqual(planEndpoint("docker.io", plain), {
    host: "registry-1.docker.io",
    hostname: "registry-1.docker.io",
    schemes: ["https"],
  });
  assert.deepEqual(planEndpoint("r.io:5000", plain), { host: "r.io:5000", hostname: "r.io", schemes: ["https"] });
  assert.deepEqual(planEndpoint("[::1]:5000", plain), {
    host: "[::1]:5000",
    hostname: "::1",
    schemes: ["http", "https"],
  });
  assert.deepEqual(planEndpoint("localhost:5000", { insecure: false, hasCa: true }).schemes, ["https"]);
  assert.deepEqual(planEndpoint("r.io", { insecure: true, hasCa: false }).schemes, ["https", "http"]);
});

test("planWait: grows, honours Retry-After, and has an upper limit", () => {
  assert.ok(planWait(0, undefined, 0) === 100 && planWait(3, undefined, 1) === 1600);
  assert.equal(planWait(0, 5000, 0), 5000);
  assert.equal(planWait(0, 1e9, 0), 30_000);
});

function dockerConfig() {
  const dir = mkdtempSync(join(tmpdir(), "berth-auth-"));
  const env = { DOCKER_CONFIG: dir, HOME: dir, XDG_RUNTIME_DIR: join(dir, "run") };
  const path = dockerConfigPath(env);
  const write = (doc: unknown): void => writeFileSync(path, JSON.stringify(doc));
  return { dir, path, env, write, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

const AUTH = Buffer.from("me:pass:word").toString("base64");

test("findCredentials: docker's config.json, also with URL keys, tokens and Docker Hub's old key", async () => {
  using config = dockerConfig();
  const find = (domain: string) => findCredentials(config.env, domain);
  assert.equal(await find("r.io"), undefined);
  config.write({
    auths: {
      "r.io:5000": { auth: AUTH },
      "https://old.io/v1/": { username: "u", password: "p" },
      "https://index.docker.io/v1/": { auth: AUTH, identitytoken: "id" },
      "ready.io": { registrytoken: "t" },
      "bad.io": { auth: "!!" },
    },
  });
  assert.deepEqual(await find("r.io:5000"), { kind: "basic", username: "me", password: "pass:word" });
  assert.deepEqual(await find("old.io"), { kind: "basic", username: "u", password: "p" });
  assert.deepEqual(await find("docker.io"), { kind: "identity", token: "id" });
  assert.deepEqual(await find("ready.io"), { kind: "bearer", token: "t" });
  assert.equal(await find("r.io"), undefined);
  await assert.rejects(find("bad.io"), (e) => isCode(e, "InvalidArgument") && !e.message.includes("!!"));
  for (const text of ["{", "[1", "null", '{"auths":1}']) {
    writeFileSync(config.path, text);
    await assert.rejects(find("r.io"), (e) => isCode(e, "InvalidArgument"), text);
  }
});

test("findCredentials: a credential helper is asked for its registries; one that fails is named", async (t) => {
  using config = dockerConfig();
  const helper = (name: string, lines: string): void =>
    writeFileSync(join(config.dir, `docker-credential-${name}`), `#!/bin/sh\nread -r server\n${lines}\n`, {
      mode: 0o755,
    });
  helper("good", 'echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"for $server\\"}"');
  helper("none", "echo credentials not found in native keychain; exit 1");
  helper("bad", "echo secret-text; exit 3");
  const { PATH } = process.env;
  process.env["PATH"] = `${config.dir}:${PATH}`;
  t.after(() => {
    process.env["PATH"] = PATH;
  });
  config.write({
    credsStore: "none",
    credHelpers: { "a.io": "good", "b.io": "bad", "c.io": "../evil", "d.io": "absent" },
    auths: { "x.io": { auth: AUTH } },
  });
  const find = (domain: string) => findCredentials(config.env, domain);
  assert.deepEqual(await find("a.io"), { kind: "basic", username: "u", password: "for a.io" });
  assert.deepEqual(await find("x.io"), { kind: "basic", username: "me", password: "pass:word" });
  assert.equal(await find("c.io"), undefined);
  for (const domain of ["b.io", "d.io"]) {
    await assert.rejects(find(domain), (e) => isCode(e, "FailedPrecondition") && !e.message.includes("secret-text"));
  }
});

test("readCertificates: authorities and a client certificate of one host, none of another", () => {
  const dir = mkdtempSync(join(tmpdir(), "berth-certs-"));
  try {
    mkdirSync(join(dir, "r.io:5000"));
    for (const name of ["ca.crt", "client.cert", "client.key"]) writeFileSync(join(dir, "r.io:5000", name), name);
    assert.deepEqual(readCertificates("r.io:5000", [dir, "/nonexistent"], undefined), {
      ca: ["ca.crt"],
      cert: "client.cert",
      key: "client.key",
    });
    assert.deepEqual(readCertificates("r.io", [dir], undefined), { ca: [] });
    assert.throws(
      () => readCertificates("r.io", [], join(dir, "none.pem")),
      (e) => isCode(e, "NotFound"),
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("findCredentials: podman's file, with keys of repositories; the file named for all tools comes first", async () => {
  using config = dockerConfig();
  const auth = (user: string) => ({ auth: Buffer.from(`${user}:p`).toString("base64") });
  const userOf = async (domain: string, repository?: string, env = config.env) => {
    const found = await findCredentials(env, domain, repository);
    return found?.kind === "basic" ? found.username : undefined;
  };
  mkdirSync(join(config.dir, "run/containers"), { recursive: true });
  writeFileSync(
    join(config.dir, "run/containers/auth.json"),
    JSON.stringify({ auths: { "q.io/org/app": auth("app"), "q.io/org": auth("org"), "q.io": auth("host") } }),
  );
  assert.equal(await userOf("q.io", "org/app"), "app");
  assert.equal(await userOf("q.io", "org/other"), "org");
  assert.equal(await userOf("q.io", "organ/app"), "host");
  assert.equal(await userOf("q.io"), "host");
  config.write({ auths: { "q.io": auth("docker") } });
  assert.equal(await userOf("q.io", "org/app"), "docker");
  const file = join(config.dir, "own.json");
  writeFileSync(file, JSON.stringify({ auths: { "q.io": auth("own") } }));
  assert.equal(await userOf("q.io", "org/app", { ...config.env, REGISTRY_AUTH_FILE: file } as never), "own");
});

test("saveCredentials and removeCredentials: what others wrote stays, only the owner may read", async () => {
  using config = dockerConfig();
  const { env, path } = config;
  config.write({ auths: { "a.io": { auth: AUTH } }, detachKeys: "ctrl-x" });
  const me = { username: "u", password: "p:q" };
  assert.deepEqual(await saveCredentials(env, "b.io:5000", me), { path, helper: undefined });
  await saveCredentials(env, "docker.io", me);
  assert.deepEqual(await findCredentials(env, "b.io:5000"), { kind: "basic", ...me });
  assert.deepEqual(await findCredentials(env, "docker.io"), { kind: "basic", ...me });
  const doc = JSON.parse(readFileSync(path, "utf8"));
  assert.equal(doc.detachKeys, "ctrl-x");
  assert.deepEqual(Object.keys(doc.auths), ["a.io", "b.io:5000", "https://index.docker.io/v1/"]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(await removeCredentials(env, "b.io:5000"), true);
  assert.equal(await removeCredentials(env, "b.io:5000"), false);
  assert.equal(await findCredentials(env, "b.io:5000"), undefined);
  assert.deepEqual(await findCredentials(env, "a.io"), { kind: "basic", username: "me", password: "pass:word" });
  const elsewhere = join(config.dir, "new/auth.json");
  await saveCredentials(env, "docker.io", me, elsewhere);
  assert.deepEqual(Object.keys(JSON.parse(readFileSync(elsewhere, "utf8")).auths), ["docker.io"]);
});

test("saveCredentials: a credential helper keeps the secret, which stands in no file and no argument", async (t) => {
  using config = dockerConfig();
  const kept = join(config.dir, "kept");
  writeFileSync(
    join(config.dir, "docker-credential-keeper"),
    `#!/bin/sh
echo "$*" >>${kept}.args
case $1 in
store) cat >${kept} ;;
get) [ -f ${kept} ] && cat ${kept} || { echo credentials not found in native keychain; exit 1; } ;;
erase) rm ${kept} ;;
esac
`,
    { mode: 0o755 },
  );
  const { PATH } = process.env;
  process.env["PATH"] = `${config.dir}:${PATH}`;
  t.after(() => {
    process.env["PATH"] = PATH;
  });
  config.write({ credsStore: "keeper" });
  const me = { username: "u", password: "the-secret" };
  assert.equal((await saveCredentials(config.env, "r.io", me)).helper, "keeper");
  assert.deepEqual(await findCredentials(config.env, "r.io"), { kind: "basic", ...me });
  assert.doesNotMatch(readFileSync(config.path, "utf8"), /secret/);
  assert.equal(await removeCredentials(config.env, "r.io"), true);
  assert.equal(await removeCredentials(config.env, "r.io"), false);
  assert.doesNotMatch(readFileSync(`${kept}.args`, "utf8"), /secret/);
});

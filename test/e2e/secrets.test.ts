/** Passwords and tokens go to the registry and nowhere else: all that berth writes, prints and shows is searched for them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { file, tar } from "../../keel/test/tar-writer.ts";
import { freePort } from "../docker-registry.ts";
import { Evil } from "./evil.ts";
import { probe, Store } from "./harness.ts";

const skip = probe();
const dir = mkdtempSync(join(tmpdir(), "berth-secrets-"));
const PASSWORD = "pa55-of-anna";
const REFRESH = "refresh-t0ken-of-anna";
const TOKEN = "bearer-t0ken-of-anna";
const SIGNATURE = "s1gnature-of-storage";
const BASIC = Buffer.from(`anna:${PASSWORD}`).toString("base64");
const SECRETS = [PASSWORD, REFRESH, TOKEN, SIGNATURE, BASIC];
const layer = tar(file("a", "1\n".repeat(100_000)));

after(() => rmSync(dir, { recursive: true, force: true }));

/** A registry with a token server that knows both kinds of credentials, and tells what it got when it refuses. */
async function closedRegistry(): Promise<{ evil: Evil; refused: () => number }> {
  const evil = await Evil.start();
  evil.image("1", [{ tar: layer, sent: gzipSync(layer), suffix: "+gzip" }]);
  let refused = 0;
  let came = "";
  evil.answer = (request, response, what) => {
    const { authorization = "", host } = request.headers;
    const refuse = (status: number, words: string): true => {
      refused++;
      response.writeHead(status).end(JSON.stringify({ errors: [{ code: "DENIED", message: words }] }));
      return true;
    };
    if (what.startsWith("/token")) {
      request.setEncoding("utf8");
      let form = "";
      request.on("data", (text: string) => {
        form += text;
      });
      request.on("end", () => {
        came = form.includes(REFRESH) ? REFRESH : PASSWORD;
        const isKnown = authorization === `Basic ${BASIC}` || form.includes(REFRESH);
        if (isKnown) response.end(JSON.stringify({ token: TOKEN, refresh_token: REFRESH }));
        else refuse(403, `not with ${authorization} and ${form}`);
      });
      return true;
    }
    if (authorization !== `Bearer ${TOKEN}` && !what.includes("signature")) {
      response.writeHead(401, { "www-authenticate": `Bearer realm="http://${host}/token",service="evil"` }).end();
      return true;
    }
    if (what === "manifests/denied") return refuse(403, `${authorization} may not read this`);
    if (what === "manifests/broken") return refuse(400, `${authorization} of ${came}: stack trace`);
    if (what.startsWith("blobs/") && !what.includes("signature")) {
      response.writeHead(307, { location: `/v2/test/evil/${what}?signature=${SIGNATURE}` }).end();
      return true;
    }
    if (what.startsWith("blobs/")) {
      evil.send((what.split("?")[0] ?? "").replace("blobs/", ""), request, response);
      return true;
    }
    return false;
  };
  return { evil, refused: () => refused };
}

function assertClean(where: string, text: string): void {
  for (const secret of SECRETS) assert.ok(!text.includes(secret), `${where} has ${secret}: ${text.slice(0, 2000)}`);
}

/** Runs berth; its output, all of the store, and every command line of the machine meanwhile must be clean. */
async function clean(
  store: Store,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly err: string }> {
  const look = setInterval(() => {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
      assertClean(`pid ${pid}`, commandLine(pid));
  }, 10);
  const { code, out, err } = await store.run(...args);
  clearInterval(look);
  assertClean(args.join(" "), out + err);
  const found = spawnSync("grep", ["-rlaF", ...SECRETS.flatMap((secret) => ["-e", secret]), store.dir], {
    encoding: "utf8",
  });
  assert.equal(found.stdout, "", `after ${args.join(" ")}`);
  return { code, err };
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}

function write(name: string, value: object): string {
  const home = join(dir, name);
  mkdirSync(home);
  writeFileSync(join(home, "config.json"), JSON.stringify(value));
  return home;
}

test("pull, push, refusals and broken answers, with a password, a refresh token, and a credential helper", {
  skip,
  timeout: 120_000,
}, async () => {
  const { evil, refused } = await closedRegistry();
  await using _evil = evil;
  const bin = join(dir, "bin");
  mkdirSync(bin);
  const helper = join(bin, "docker-credential-test");
  const answer = JSON.stringify({ ServerURL: evil.host, Username: "anna", Secret: PASSWORD });
  writeFileSync(helper, `#!/bin/sh\ncat >/dev/null\necho '${answer}'\n`);
  chmodSync(helper, 0o755);
  const homes = [
    write("password", { auths: { [evil.host]: { auth: BASIC } } }),
    write("refresh", {
      auths: { [evil.host]: { auth: Buffer.from("anna:").toString("base64"), identitytoken: REFRESH } },
    }),
    write("helper", { credHelpers: { [evil.host]: "test" } }),
  ];
  for (const home of homes) {
    await using store = new Store({ DOCKER_CONFIG: home, PATH: `${bin}:${process.env["PATH"]}` });
    const pulled = await clean(store, "--debug", "pull", evil.name("1"));
    assert.equal(pulled.code, 0, `${home}: ${pulled.err}`);
    const denied = await clean(store, "--debug", "pull", evil.name("denied"));
    assert.match(denied.err, /denies access.*DENIED: Bearer \[secret\] may not read this/, home);
    const broken = await clean(store, "--debug", "pull", evil.name("broken"));
    assert.match(broken.err, /answered 400/, home);
    assert.notEqual((await clean(store, "--debug", "push", evil.name("1"))).code, 0);
    assert.equal((await clean(store, "create", "--network", "none", evil.name("1"), "x")).code, 0);
    assert.equal((await clean(store, "--debug", "inspect", evil.name("1"))).code, 0);
  }
  assert.ok(refused() >= 2 * homes.length, `${refused()} refusals`);
});

test("a token server that repeats the credentials it refuses, and a proxy with a password in its address", {
  skip,
  timeout: 60_000,
}, async () => {
  const { evil } = await closedRegistry();
  await using _evil = evil;
  const wrong = Buffer.from(`bert:${PASSWORD}`).toString("base64");
  const home = write("wrong", { auths: { [evil.host]: { auth: wrong } } });
  await using store = new Store({ DOCKER_CONFIG: home });
  const refusedPull = await clean(store, "--debug", "pull", evil.name("1"));
  assert.match(refusedPull.err, /not with Basic \[secret\]/);
  assert.ok(!refusedPull.err.includes(wrong));
  const proxy = `http://anna:${PASSWORD}@127.0.0.1:${await freePort()}`;
  await using behind = new Store({ HTTPS_PROXY: proxy, HTTP_PROXY: proxy });
  const none = await clean(behind, "--debug", "pull", "registry.example/x/y:1");
  assert.notEqual(none.code, 0);
});

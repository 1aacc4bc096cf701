import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isCode } from "@berth/base";
import { openEngine } from "@berth/engine";
import { hash } from "bcryptjs";
import { parseChunkRange, parseRange } from "./range.ts";
import { parseRoute } from "./route.ts";
import { digestOf, OCI_MANIFEST, pushBlob, pushImage, serve } from "./testing.ts";
import { Users } from "./users.ts";

const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});

test("users: only those of the file come in, with the right password; a removed one is out at once", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "berth-users-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "htpasswd");
  const [ann, bob] = await Promise.all([hash("a:b c", 4), hash("secret", 4)]);
  writeFileSync(file, `# users\nann:${ann}\nbob:${bob.replace("$2b$", "$2y$")}\n`);
  await using served = await serve({ htpasswd: file });
  const status = async (headers: Record<string, string>) =>
    (await served.ask("GET", "/v2/", undefined, headers)).status;
  const anonymous = await served.ask("GET", "/v2/");
  assert.deepEqual([anonymous.status, anonymous.code], [401, "UNAUTHORIZED"]);
  assert.match(anonymous.headers.get("www-authenticate") ?? "", /^Basic realm="/);
  assert.deepEqual([await status(basic("ann", "a:b c")), await status(basic("bob", "secret"))], [200, 200]);
  assert.deepEqual([await status(basic("ann", "a:b c")), await status(basic("ann", "secret"))], [200, 401]);
  assert.equal(await status(basic("eve", "secret")), 401);
  for (const header of ["Basic", "Basic !!!", "Bearer x", `Basic ${"A".repeat(5000)}`, "Basic bm9jb2xvbg=="]) {
    assert.equal(await status({ authorization: header }), 401, header);
  }
  assert.equal((await served.ask("PUT", "/v2/a/manifests/v1", "{}")).status, 401);
  writeFileSync(file, `ann:${ann}\n`);
  assert.deepEqual([await status(basic("ann", "a:b c")), await status(basic("bob", "secret"))], [200, 401]);
  for (const text of ["ann:plain", `ann:${"{SHA}"}W6ph5Mm5Pz8GgiULbPgzG37mj9g=`, "no colon"]) {
    writeFileSync(file, text);
    assert.throws(
      () => new Users(file),
      (e) => isCode(e, "FailedPrecondition") && /line 1/.test(e.message),
    );
  }
  assert.throws(
    () => new Users(join(dir, "none")),
    (e) => isCode(e, "FailedPrecondition"),
  );
});

test("users: a body that comes before its login is read to its end before it is refused, and the connection goes on", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "berth-early-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "htpasswd");
  writeFileSync(file, `ann:${await hash("x", 4)}\n`);
  await using served = await serve({ htpasswd: file });
  const { hostname, port } = new URL(served.server.url);
  const socket = connect(Number(port), hostname);
  let answers = "";
  socket.on("data", (data) => {
    answers += String(data);
  });
  const answered = async (count: number): Promise<void> => {
    while (answers.split("HTTP/1.1 401").length <= count) await sleep(10);
  };
  const size = 3_900_000;
  const put = (header: string): boolean =>
    socket.write(`PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n`);
  put(`Content-Length: ${size}`);
  socket.write(Buffer.alloc(size - 1, 32));
  await sleep(200);
  assert.equal(answers, "");
  socket.write("\n");
  await answered(1);
  answers = "";
  put("Transfer-Encoding: chunked");
  socket.write(`${size.toString(16)}\r\n`);
  socket.write(Buffer.alloc(size, 32));
  await sleep(200);
  assert.equal(answers, "");
  socket.write("\r\n0\r\n\r\n");
  await answered(1);
  socket.write("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n");
  await answered(2);
  socket.destroy();
});

test("read-only: everything can be read, nothing can be changed", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "berth-ro-"));
  t.after(() => rmSync(dir, { recursive: true }));
  {
    await using served = await serve({}, dir);
    await pushImage(served, "app", "v1");
  }
  await using served = await serve({ readOnly: true }, dir);
  assert.equal((await served.ask("GET", "/v2/app/manifests/v1")).status, 200);
  assert.equal((await served.ask("HEAD", `/v2/app/blobs/${digestOf("a layer")}`)).status, 200);
  for (const [method, path] of [
    ["POST", "blobs/uploads/"],
    ["PUT", "manifests/v2"],
    ["DELETE", "manifests/v1"],
    ["DELETE", `blobs/${digestOf("a layer")}`],
  ] as const) {
    const answer = await served.ask(method, `/v2/app/${path}`);
    assert.deepEqual([answer.status, answer.code], [405, "UNSUPPORTED"], `${method} ${path}`);
  }
  assert.equal((await served.ask("GET", "/v2/app/manifests/v1")).status, 200);
});

test("an upload that one server began goes on at the next one", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "berth-restart-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const bytes = randomBytes(300_000);
  let path = "";
  {
    await using served = await serve({}, dir);
    path = (await served.ask("POST", "/v2/app/blobs/uploads/")).headers.get("location") ?? "";
    await served.ask("PATCH", path, bytes.subarray(0, 200_000), { "content-range": "0-199999" });
  }
  for (const algorithm of ["sha256", "sha512"]) {
    await using served = await serve({}, dir);
    if (algorithm === "sha256") {
      assert.equal((await served.ask("GET", path)).headers.get("range"), "0-199999");
      await served.ask("PATCH", path, bytes.subarray(200_000), { "content-range": "200000-299999" });
    } else {
      assert.equal((await served.ask("PUT", `${path}?digest=${digestOf(bytes, algorithm)}`)).status, 201);
      assert.deepEqual((await served.ask("GET", `/v2/app/blobs/${digestOf(bytes, algorithm)}`)).body, bytes);
    }
  }
});

test("garbage collection: what is tagged, named by a manifest, or fresh stays; what was deleted goes", async () => {
  await using served = await serve();
  await pushImage(served, "app", "v1");
  const fresh = await pushBlob(served, "app", "no manifest names this yet");
  const gone = await pushBlob(served, "app", "to be deleted");
  const upload = (await served.ask("POST", "/v2/app/blobs/uploads/")).headers.get("location") ?? "";
  await served.ask("PATCH", upload, "half");
  await served.ask("DELETE", `/v2/app/blobs/${gone.digest}`);
  const engine = openEngine({ root: join(served.root, "data"), runRoot: join(served.root, "run") });
  const blobs = (): number => readdirSync(join(served.root, "data/content/sha256")).length;
  assert.equal(blobs(), 5);
  await engine.collect();
  assert.equal(blobs(), 4, "manifest, config, layer and the fresh blob");
  assert.equal((await served.ask("HEAD", `/v2/app/blobs/${fresh.digest}`)).status, 200);
  assert.equal((await served.ask("PUT", `${upload}?digest=${digestOf("half")}`)).status, 201);
  const digest = digestOf(await pushImage(served, "app", "v1"));
  await served.ask("DELETE", `/v2/app/manifests/${digest}`);
  await engine.collect();
  assert.equal(existsSync(join(served.root, "data/content/sha256", digest.slice(7))), false);
  await engine[Symbol.asyncDispose]();
});

test("many uploads of one blob at once all succeed", async () => {
  await using served = await serve();
  const bytes = randomBytes(100_000);
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      served.ask("POST", `/v2/repo${i}/blobs/uploads/?digest=${digestOf(bytes)}`, bytes),
    ),
  );
  assert.deepEqual(new Set(answers.map((one) => one.status)), new Set([201]));
  assert.deepEqual(readdirSync(join(served.root, "data/ingest")), []);
  const catalog = await served.ask("GET", "/v2/_catalog?n=3");
  assert.deepEqual(JSON.parse(String(catalog.body)), { repositories: ["repo0", "repo1", "repo2"] });
  assert.match(catalog.headers.get("link") ?? "", /last=repo2/);
});

test("a tag is the old manifest or the new one, whoever asks while it moves", async () => {
  await using served = await serve();
  const known = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [], i });
    known.add(body);
    const writing = served.ask("PUT", "/v2/app/manifests/v1", body, { "content-type": OCI_MANIFEST });
    const reading = await Promise.all([1, 2, 3].map(() => served.ask("GET", "/v2/app/manifests/v1")));
    assert.equal((await writing).status, 201);
    if (i > 0) for (const one of reading) assert.ok(known.has(String(one.body)), String(one.body));
    assert.equal(String((await served.ask("GET", "/v2/app/manifests/v1")).body), body);
  }
});

test("garbage instead of HTTP ends the connection, not the server", async () => {
  await using served = await serve();
  const { hostname, port } = new URL(served.server.url);
  for (const text of ["\x16\x03\x01\x02", `GET ${"x".repeat(100_000)} HTTP/1.1\r\n\r\n`, "PATCH / HTTP/9.9\r\n\r\n"]) {
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    socket.resume();
    socket.end(text);
    await new Promise((done) => socket.on("close", done));
  }
  assert.equal((await served.ask("GET", "/v2/")).status, 200);
});

test("listen: a taken port is said so, with what to do", async () => {
  await using served = await serve();
  const port = Number(new URL(served.server.url).port);
  const dir = mkdtempSync(join(tmpdir(), "berth-taken-"));
  try {
    await assert.rejects(
      serve({ port }, dir),
      (e) => isCode(e, "FailedPrecondition") && /EADDRINUSE/.test(e.message) && e.hint !== undefined,
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("parseRoute: the longest repository name, decoded once, no other paths", () => {
  assert.deepEqual(parseRoute("/v2/a/blobs/uploads/blobs/uploads/"), { kind: "uploads", name: "a/blobs/uploads" });
  assert.deepEqual(parseRoute("/v2/a/b/manifests/sha256%3Aab"), {
    kind: "manifest",
    name: "a/b",
    reference: "sha256:ab",
  });
  for (const path of ["", "/v2/a/b", "/v2//tags/list", "/v2/a/tags/list/", "/v2/a/blobs/x/y"]) {
    assert.equal(parseRoute(path), undefined, path);
  }
  for (const path of ["/v2/../tags/list", "/v2/a//b/tags/list", "/v2/a%2f..%2fb/tags/list", "/v2/a b/tags/list"]) {
    assert.throws(() => parseRoute(path), { code: "NAME_INVALID" }, path);
  }
});

test("parseRange and parseChunkRange: any text gives a range inside the blob or none", () => {
  const letters = "0123456789-=, bytes/*";
  for (let i = 0; i < 20_000; i++) {
    const length = Math.floor(Math.random() * 16);
    const tail = Array.from({ length }, () => letters[Math.floor(Math.random() * letters.length)]).join("");
    const range = parseRange(`bytes=${tail}`, 1000);
    if (typeof range === "object") assert.ok(range.start >= 0 && range.start <= range.end && range.end < 1000, tail);
    const chunk = parseChunkRange(tail);
    if (chunk !== undefined) assert.ok(chunk.start >= 0 && chunk.length > 0, tail);
  }
  assert.deepEqual(parseRange("bytes=0-", 0), "unsatisfiable");
  assert.deepEqual(parseChunkRange("bytes 5-9/*"), { start: 5, length: 5 });
});

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isCode } from "@berth/base";
import { digestOf, makeCertificate, open, readAll, serve } from "./testing.ts";

const MANIFEST = Buffer.from('{"schemaVersion":2}');
const BLOB = Buffer.from("0123456789".repeat(10_000));
const DIGEST = digestOf(BLOB);

const sendManifest = (response: ServerResponse): void => {
  response.setHeader("content-type", "application/vnd.oci.image.manifest.v1+json");
  response.end(MANIFEST);
};

test("fetchManifest: bytes, content type and digest; the accepted types are named", async () => {
  await using server = await serve((_, response) => sendManifest(response));
  using registry = open(server.host);
  const got = await registry.fetchManifest("a/b", "tag");
  assert.deepEqual([got.bytes, got.digest], [MANIFEST, digestOf(MANIFEST)]);
  assert.equal(server.seen[0]?.url, "/v2/a/b/manifests/tag");
  assert.match(server.seen[0]?.headers.accept ?? "", /image\.index\.v1.*distribution\.manifest\.v2/);
});

test("fetchManifest: bytes that do not match the asked or the claimed digest are DataLoss", async () => {
  await using server = await serve((request, response) => {
    if (request.url?.endsWith("tag")) response.setHeader("docker-content-digest", DIGEST);
    sendManifest(response);
  });
  using registry = open(server.host);
  for (const reference of ["tag", DIGEST]) {
    await assert.rejects(registry.fetchManifest("a", reference), (e) => isCode(e, "DataLoss"), reference);
  }
});

test("fetchManifest: an endless answer is cut off", async () => {
  await using server = await serve((_, response) => {
    const more = (): void =>
      void (response.write(Buffer.alloc(1 << 20)) ? setImmediate(more) : response.once("drain", more));
    more();
  });
  using registry = open(server.host);
  await assert.rejects(registry.fetchManifest("a", "t"), (e) => isCode(e, "ResourceExhausted"));
});

test("fetchManifest: 404, 403 and other refusals are final and say what the registry said", async () => {
  const answers = [404, 403, 418];
  await using server = await serve((_, response) => {
    response.statusCode = answers.shift() ?? 200;
    response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
  });
  using plain = open(server.host);
  await assert.rejects(
    plain.fetchManifest("a", "t"),
    (e) => isCode(e, "NotFound") && /MANIFEST_UNKNOWN/.test(e.message),
  );
  await assert.rejects(plain.fetchManifest("a", "t"), (e) => isCode(e, "PermissionDenied"));
  await assert.rejects(plain.fetchManifest("a", "t"), (e) => isCode(e, "Unavailable"));
});

test("fetchManifest: a busy server is asked again until it answers", async () => {
  const answers = [503, 429];
  await using server = await serve((_, response) => {
    response.statusCode = answers.shift() ?? 200;
    sendManifest(response);
  });
  using registry = open(server.host);
  assert.deepEqual((await registry.fetchManifest("a", "t")).bytes, MANIFEST);
  assert.equal(server.seen.length, 3);
});

test("bearer: the token server is asked once per scope, with the credentials, and the token is used", async () => {
  const basic = `Basic ${Buffer.from("me:secret").toString("base64")}`;
  await using server = await serve((request, response) => {
    const url = new URL(`http://h${request.url}`);
    if (url.pathname === "/token") {
      assert.equal(request.headers.authorization, basic);
      assert.deepEqual(
        [...url.searchParams],
        [
          ["service", "svc"],
          ["scope", "repository:a:pull"],
        ],
      );
      response.end('{"token":"good","expires_in":300}');
    } else if (request.headers.authorization === "Bearer good") sendManifest(response);
    else {
      response.writeHead(401, {
        "www-authenticate": `Bearer realm="http://${request.headers.host}/token",service="svc",scope="repository:a:pull"`,
      });
      response.end();
    }
  });
  using registry = open(server.host, { credentials: { kind: "basic", username: "me", password: "secret" } });
  await registry.fetchManifest("a", "t");
  await registry.fetchManifest("a", "u");
  assert.deepEqual(
    server.seen.map((r) => r.url?.split("?")[0]),
    ["/v2/a/manifests/t", "/token", "/v2/a/manifests/t", "/v2/a/manifests/u"],
  );
});

test("basic: credentials are sent only after the challenge; without them it is Unauthenticated", async () => {
  const basic = `Basic ${Buffer.from("me:secret").toString("base64")}`;
  await using server = await serve((request, response) => {
    if (request.headers.authorization === basic) return sendManifest(response);
    response.writeHead(401, { "www-authenticate": 'Basic realm="x"' });
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
  });
  using known = open(server.host, { credentials: { kind: "basic", username: "me", password: "secret" } });
  await known.fetchManifest("a", "t");
  assert.equal(server.seen[0]?.headers.authorization, undefined);
  using wrong = open(server.host, { credentials: { kind: "basic", username: "me", password: "typo" } });
  await assert.rejects(wrong.fetchManifest("a", "t"), (e) => isCode(e, "Unauthenticated") && !/typo/.test(e.message));
  using anonymous = open(server.host, { credentials: { kind: "bearer", token: "" } });
  await assert.rejects(
    anonymous.fetchManifest("a", "t"),
    (e) => isCode(e, "Unauthenticated") && /may require authorization/.test(e.message),
  );
});

test("redirects: Authorization never goes to another host, and a redirect to plain HTTP elsewhere is refused", async () => {
  await using storage = await serve((_, response) => void response.end(BLOB));
  await using server = await serve((request, response) => {
    if (request.url?.includes("/evil/"))
      return void response.writeHead(307, { location: "http://registry.example/x" }).end();
    if (request.headers.authorization === undefined) {
      return void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    }
    response.writeHead(307, { location: `http://${storage.host}/signed?key=1` }).end();
  });
  using registry = open(server.host, { credentials: { kind: "basic", username: "me", password: "secret" } });
  assert.deepEqual(await readAll(registry.fetchBlob("a", DIGEST)), BLOB);
  assert.equal(storage.seen[0]?.headers.authorization, undefined);
  await assert.rejects(readAll(registry.fetchBlob("evil", DIGEST)), (e) => isCode(e, "FailedPrecondition"));
});

test("fetchBlob: a connection that breaks is resumed by range, also on a server that ignores ranges", async () => {
  for (const ranges of [true, false]) {
    let served = 0;
    await using server = await serve((request, response) => {
      const start = ranges ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
      const headers = {
        "content-length": BLOB.length - start,
        "content-range": `bytes ${start}-${BLOB.length - 1}/${BLOB.length}`,
      };
      response.writeHead(start > 0 ? 206 : 200, headers);
      if (served++ === 0) response.write(BLOB.subarray(start, 40_000), () => response.destroy());
      else response.end(BLOB.subarray(start));
    });
    using registry = open(server.host);
    assert.deepEqual(await readAll(registry.fetchBlob("a", DIGEST, { offset: 5 })), BLOB.subarray(5));
    assert.equal(server.seen.length, 2);
    assert.equal(server.seen[0]?.headers.range, "bytes=5-");
  }
});

test("fetchBlob: a registry that restarts in the middle is waited for", async () => {
  let server = await serve((_, response) => {
    response.writeHead(200, { "content-length": BLOB.length });
    response.write(BLOB.subarray(0, 40_000));
  });
  using registry = open(server.host);
  const body = registry.fetchBlob("a", DIGEST)[Symbol.asyncIterator]();
  const first = await body.next();
  const port = Number(server.host.split(":")[1]);
  await server[Symbol.asyncDispose]();
  const restart = sleep(300).then(async () => {
    const resume: RequestListener = (request, response) => {
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const headers = { "content-range": `bytes ${start}-${BLOB.length - 1}/${BLOB.length}` };
      response.writeHead(206, headers).end(BLOB.subarray(start));
    };
    server = await serve(resume, createServer, port);
  });
  const rest = await readAll({ [Symbol.asyncIterator]: () => body });
  await restart;
  await server[Symbol.asyncDispose]();
  assert.deepEqual(Buffer.concat([first.value ?? Buffer.alloc(0), rest]), BLOB);
});

test("fetchBlob: another range than asked for is refused", async () => {
  await using server = await serve((_, response) => {
    response.writeHead(206, { "content-range": `bytes 100-${BLOB.length - 1}/${BLOB.length}` }).end(BLOB.subarray(100));
  });
  using registry = open(server.host);
  await assert.rejects(readAll(registry.fetchBlob("a", DIGEST, { offset: 5 })), (e) => isCode(e, "Unavailable"));
});

test("an abort ends a download or a question at once as Cancelled", async () => {
  await using server = await serve((_, response) => void response.write("x"));
  using registry = open(server.host);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 50);
  await assert.rejects(readAll(registry.fetchBlob("a", DIGEST, { signal: stop.signal })), (e) =>
    isCode(e, "Cancelled"),
  );
  const early = AbortSignal.abort();
  await assert.rejects(registry.fetchManifest("a", "t", early), (e) => isCode(e, "Cancelled"));
});

test("a loopback server that resets a plain connection is asked by plain HTTP again", async () => {
  let count = 0;
  await using server = await serve((request, response) => {
    if (count++ === 0) request.socket.resetAndDestroy();
    else sendManifest(response);
  });
  using registry = open(server.host);
  assert.deepEqual((await registry.fetchManifest("a", "t")).bytes, MANIFEST);
});

test("a port where nobody listens is Unavailable at once", async () => {
  const server = await serve(() => {});
  await server[Symbol.asyncDispose]();
  using registry = open(server.host);
  await assert.rejects(
    registry.fetchManifest("a", "t"),
    (e) => isCode(e, "Unavailable") && /ECONNREFUSED/.test(e.message),
  );
});

test("TLS: a given authority is trusted, an unknown one is refused with a remedy", async (t) => {
  const pair = makeCertificate("IP:127.0.0.1");
  if (pair === undefined) return t.skip("needs openssl");
  const dir = mkdtempSync(join(tmpdir(), "berth-tls-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const caFile = join(dir, "ca.pem");
  writeFileSync(caFile, pair.cert);
  await using server = await serve(
    (_, response) => sendManifest(response),
    (h) => createTlsServer(pair, h) as unknown as Server,
  );
  using trusting = open(server.host, { caFile });
  assert.deepEqual((await trusting.fetchManifest("a", "t")).bytes, MANIFEST);
  using stranger = open(server.host);
  await assert.rejects(
    stranger.fetchManifest("a", "t"),
    (e) => isCode(e, "Unavailable") && /not trusted/.test(e.message) && /certs\.d/.test(e.hint ?? ""),
  );
  using careless = open(server.host, { insecure: true });
  assert.deepEqual((await careless.fetchManifest("a", "t")).bytes, MANIFEST);
});

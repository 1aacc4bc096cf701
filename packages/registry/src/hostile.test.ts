/** Servers that are broken or evil: a clear error, in bounded time and memory, and no secret goes where it must not. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { RequestListener, Server, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BerthError, isCode } from "@berth/base";
import type { Digest } from "@berth/oci";
import type { PushedBlob } from "./index.ts";
import { digestOf, makeCertificate, open, readAll, serve } from "./testing.ts";

const MANIFEST = Buffer.from('{"schemaVersion":2}');
const BLOB = Buffer.from("0123456789".repeat(1000));
const ME = { credentials: { kind: "basic", username: "me", password: "the-secret" } } as const;
const sendManifest = (response: ServerResponse): void => void response.end(MANIFEST);

function blobOf(bytes: Buffer): PushedBlob {
  return {
    digest: digestOf(bytes),
    size: bytes.length,
    open: async function* () {
      yield bytes;
    },
  };
}

/** Sends a byte now and then, for ever. */
function dribble(response: ServerResponse): void {
  const timer = setInterval(() => response.write("x"), 20);
  response.on("close", () => clearInterval(timer));
}

test("a manifest of 100 MB is given up at the limit, told or not", async () => {
  let sent = 0;
  for (const headers of [{ "content-length": 100_000_000 }, {}]) {
    await using server = await serve((_, response) => {
      response.writeHead(200, headers);
      const more = (): void => {
        sent += 1 << 20;
        if (response.destroyed) return;
        if (response.write(Buffer.alloc(1 << 20))) setImmediate(more);
        else response.once("drain", more);
      };
      more();
    });
    using registry = open(server.host);
    await assert.rejects(registry.fetchManifest("a", "t"), (e) => isCode(e, "ResourceExhausted"));
  }
  assert.ok(sent < 40_000_000, `${sent} bytes were read`);
});

test("a server that dribbles is given up and asked again: the head, a manifest, a blob, the answer to an upload", async () => {
  let stop = new AbortController();
  let asked = 0;
  await using slow = await serve((request, response) => {
    if (request.method === "HEAD") return void response.writeHead(404).end();
    if (request.method === "POST") return void response.writeHead(202, { location: "/v2/a/blobs/uploads/1" }).end();
    // It is not waited for long that a broken upload is taken back.
    if (request.method === "DELETE") return dribble(response);
    // The second time shows that it has been given up the first time.
    if (++asked === 2) stop.abort();
    if (request.method === "PUT") return void request.resume();
    dribble(response);
  });
  using registry = open(slow.host, { idleMs: 100 });
  const isGivenUp = async (work: (signal: AbortSignal) => Promise<unknown>): Promise<void> => {
    stop = new AbortController();
    asked = 0;
    await assert.rejects(work(stop.signal), (e) => isCode(e, "Cancelled"));
    assert.equal(asked, 2);
  };
  await isGivenUp((signal) => registry.fetchManifest("a", "t", signal));
  await isGivenUp((signal) => readAll(registry.fetchBlob("a", digestOf(BLOB), { signal })));
  await isGivenUp((signal) => registry.pushBlob("a", { ...blobOf(BLOB), signal }));
  const heads = createServer((socket) => {
    if (++asked === 2) stop.abort();
    socket.write("HTTP/1.1 200 OK\r\nX: ");
    const timer = setInterval(() => socket.write("x"), 20);
    socket.on("error", () => {}).on("close", () => clearInterval(timer));
  });
  await new Promise<void>((done) => heads.listen(0, "127.0.0.1", done));
  const address = heads.address();
  using other = open(`127.0.0.1:${typeof address === "object" ? address?.port : 0}`, { idleMs: 100 });
  await isGivenUp((signal) => other.fetchManifest("a", "t", signal));
  await new Promise((done) => heads.close(done));
});

test("a redirect loop and a redirect to nowhere end", async () => {
  await using server = await serve((request, response) => {
    const { url = "" } = request;
    const location = url.includes("/loop/") ? url : "ftp://[bad";
    response.writeHead(307, { location }).end();
  });
  using registry = open(server.host);
  for (const path of ["loop", "bad"]) {
    await assert.rejects(
      registry.fetchManifest(path, "t"),
      (e) => isCode(e, "Unavailable") && /redirects/.test(e.message),
    );
  }
  assert.ok(server.seen.length < 30);
});

test("no secret goes to another host: by redirect, by the place of an upload, by the link of a list", async () => {
  await using thief = await serve((request, response) => {
    request.resume();
    response.writeHead(request.method === "PUT" ? 201 : 200, { location: "/x" }).end('{"tags":["b"]}');
  });
  await using server = await serve((request, response) => {
    request.resume();
    if (request.headers.authorization === undefined) {
      return void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    }
    const { method, url = "" } = request;
    if (method === "HEAD") return void response.writeHead(404).end();
    if (method === "POST") return void response.writeHead(202, { location: `http://${thief.host}/up?state=1` }).end();
    if (url.includes("/tags/")) {
      response.writeHead(200, { link: `<http://${thief.host}/more>; rel="next"` });
      return void response.end('{"tags":["a"]}');
    }
    response.writeHead(method === "PUT" ? 307 : 302, { location: `http://${thief.host}/moved` }).end();
  });
  using registry = open(server.host, ME);
  await registry.fetchManifest("a", "t");
  const blob = blobOf(BLOB);
  assert.equal(await registry.pushBlob("a", blob), "uploaded");
  assert.deepEqual(await Array.fromAsync(registry.listTags("a")), ["a", "b"]);
  await registry.pushManifest("a", "t", { bytes: MANIFEST, mediaType: "application/vnd.oci.image.manifest.v1+json" });
  assert.equal(thief.seen.length, 4);
  for (const { headers, url } of thief.seen) assert.equal(headers.authorization, undefined, `${url}`);
});

test("a token server that lies: no token, one that does not work, an endless one, one elsewhere by plain HTTP", async () => {
  let answer: (response: ServerResponse) => void = () => {};
  let realm = "";
  const handler: RequestListener = (request, response) => {
    if (request.url?.startsWith("/token")) return answer(response);
    response.writeHead(401, { "www-authenticate": `Bearer realm="${realm}",service="s"` }).end();
  };
  await using server = await serve(handler);
  const ask = async (): Promise<BerthError> => {
    using registry = open(server.host, ME);
    const error = await registry.fetchManifest("a", "t").then(
      () => assert.fail("no error"),
      (e: unknown) => e,
    );
    assert.ok(error instanceof BerthError);
    assert.doesNotMatch(`${error.message}${error.hint}${JSON.stringify(error.details)}`, /the-secret/);
    return error;
  };
  realm = `http://${server.host}/token`;
  for (const body of ["", "[]", "{}", '{"token":5}', '{"token":"a\\r\\nX: y"}', '{"token":"ü"}', "<html>"]) {
    answer = (response) => void response.end(body);
    assert.equal((await ask()).code, "Unavailable", body);
  }
  answer = (response) => void response.end('{"token":"useless"}');
  const before = server.seen.length;
  assert.equal((await ask()).code, "Unauthenticated");
  assert.equal(server.seen.length - before, 3, "asked, token, asked with the token: no loop");
  answer = (response) => {
    const more = (): void =>
      void (response.write(Buffer.alloc(1 << 16)) ? setImmediate(more) : response.once("drain", more));
    more();
  };
  assert.equal((await ask()).code, "ResourceExhausted");
  for (const elsewhere of [
    "http://tokens.example/token",
    "file:///etc/passwd",
    "https://user:pw@tokens.example/",
    "nonsense",
  ]) {
    realm = elsewhere;
    assert.equal((await ask()).code, "Unavailable", elsewhere);
  }
});

test("a refresh token goes to no other host when the token server redirects", async () => {
  await using thief = await serve((_, response) => void response.end('{"token":"x"}'));
  await using server = await serve((request, response) => {
    request.resume();
    if (request.url?.startsWith("/token"))
      return void response.writeHead(307, { location: `http://${thief.host}/` }).end();
    response.writeHead(401, { "www-authenticate": `Bearer realm="http://${request.headers.host}/token"` }).end();
  });
  using registry = open(server.host, { credentials: { kind: "identity", token: "refresh-secret" } });
  await assert.rejects(
    registry.fetchManifest("a", "t"),
    (e) => isCode(e, "Unavailable") && !/refresh-secret/.test(e.message),
  );
  assert.equal(thief.seen.length, 0);
});

test("a registry that answers nonsense: lists, places and refusals", async () => {
  await using server = await serve((request, response) => {
    const { method, url = "" } = request;
    if (method === "HEAD") return void response.writeHead(404).end();
    if (method === "POST")
      return void response.writeHead(202, url.includes("/none/") ? {} : { location: "gopher://x" }).end();
    if (url.includes("/tags/")) return void response.end(url.includes("/html/") ? "<html>" : '{"tags":[1]}');
    if (url.includes("/ends/"))
      return void response.writeHead(200, { link: `<${url}>; rel="next"` }).end('{"tags":["a"]}');
    response.writeHead(418).end(`{"errors":[{"code":"X","message":"\u001b[31m${"x".repeat(9000)}"}]}`);
  });
  using registry = open(server.host);
  for (const path of ["html", "numbers"]) {
    await assert.rejects(Array.fromAsync(registry.listTags(path)), (e) => isCode(e, "Unavailable"), path);
  }
  const blob = blobOf(BLOB);
  for (const path of ["none", "gopher"])
    await assert.rejects(registry.pushBlob(path, blob), (e) => isCode(e, "Unavailable"));
  await assert.rejects(
    registry.fetchManifest("a", "t"),
    (e) => isCode(e, "Unavailable") && e.message.length < 500 && !e.message.includes("\u001b"),
  );
});

test("pushBlob: a registry that takes a mount without a source for a mistake is asked plainly", async () => {
  await using server = await serve((request, response) => {
    request.resume();
    const { method, url = "" } = request;
    if (method === "HEAD") return void response.writeHead(404).end();
    if (url.includes("mount=")) return void response.writeHead(400).end('{"errors":[{"code":"NAME_INVALID"}]}');
    response.writeHead(method === "POST" ? 202 : 201, { location: "/up" }).end();
  });
  using registry = open(server.host);
  assert.equal(await registry.pushBlob("a", blobOf(BLOB)), "uploaded");
});

test("a list of tags that never ends, because the registry knows no pages, is read once", async () => {
  await using server = await serve((_, response) => void response.end('{"tags":["a","b"]}'));
  using registry = open(server.host);
  assert.deepEqual(await Array.fromAsync(registry.listTags("a", { pageSize: 2 })), ["a", "b"]);
});

test("a manifest that claims another digest than it has is DataLoss", async () => {
  await using server = await serve((_, response) => {
    response.setHeader("docker-content-digest", `sha512:${"0".repeat(128)}`);
    sendManifest(response);
  });
  using registry = open(server.host);
  await assert.rejects(registry.fetchManifest("a", "t"), (e) => isCode(e, "DataLoss"));
  await assert.rejects(registry.fetchManifest("a", `sha256:${"1".repeat(64)}` as Digest), (e) => isCode(e, "DataLoss"));
});

test("TLS: a certificate for another name is refused and said so", async (t) => {
  const pair = makeCertificate("DNS:other.test");
  if (pair === undefined) return t.skip("needs openssl");
  const dir = mkdtempSync(join(tmpdir(), "berth-name-"));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, "ca.pem"), pair.cert);
  await using server = await serve(
    (_, response) => sendManifest(response),
    (h) => createTlsServer(pair, h) as unknown as Server,
  );
  using registry = open(server.host, { caFile: join(dir, "ca.pem"), ...ME });
  await assert.rejects(
    registry.fetchManifest("a", "t"),
    (e) => isCode(e, "Unavailable") && /for another name/.test(e.message),
  );
  assert.equal(server.seen.length, 0);
});

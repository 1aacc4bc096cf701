/** What a client bears in the middle of its work: tokens that run out, registries that are busy or fall silent. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { suite, test } from "node:test";
import { isCode } from "@berth/base";
import { digestOf, open, readAll, serve } from "./testing.ts";

const BLOB = randomBytes(300_000);
const DIGEST = digestOf(BLOB);
const HALF = 150_000;
const ME = { credentials: { kind: "basic", username: "me", password: "the-secret" } } as const;

function sendFrom(response: ServerResponse, range: string | undefined): number {
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const where = { "content-range": `bytes ${start}-${BLOB.length - 1}/${BLOB.length}` };
  response.writeHead(start > 0 ? 206 : 200, { "content-length": BLOB.length - start, ...(start > 0 ? where : {}) });
  return start;
}

// Most of their time is waiting.
suite("patience", { concurrency: true }, () => {
  test("bearer: a token that runs out in the middle of a blob is replaced, and the blob goes on where it was", async () => {
    let issued = 0;
    let valid = "";
    await using server = await serve((request, response) => {
      const { url = "", headers } = request;
      if (url.startsWith("/token")) {
        valid = `token-${++issued}`;
        return void response.end(JSON.stringify({ token: valid, expires_in: 3600 }));
      }
      if (headers.authorization !== `Bearer ${valid}`) {
        const challenge = `Bearer realm="http://${headers.host}/token",service="s",error="invalid_token"`;
        return void response.writeHead(401, { "www-authenticate": challenge }).end();
      }
      const start = sendFrom(response, headers.range);
      if (start >= HALF) return void response.end(BLOB.subarray(start));
      // The connection breaks, and meanwhile the token becomes void although its time has not come.
      valid = "";
      response.write(BLOB.subarray(start, HALF), () => response.destroy());
    });
    using registry = open(server.host, ME);
    assert.deepEqual(await readAll(registry.fetchBlob("a", DIGEST)), BLOB);
    assert.equal(issued, 2);
    const asked = server.seen.map(
      ({ url, headers }) => `${url?.split("?")[0]} ${headers.range ?? "all"} ${headers.authorization ?? ""}`,
    );
    const basic = `Basic ${Buffer.from("me:the-secret").toString("base64")}`;
    const at = `/v2/a/blobs/${DIGEST}`;
    assert.deepEqual(asked, [
      `${at} all `,
      `/token all ${basic}`,
      `${at} all Bearer token-1`,
      `${at} bytes=${HALF}- Bearer token-1`,
      `/token all ${basic}`,
      `${at} bytes=${HALF}- Bearer token-2`,
    ]);
  });

  test("bearer: a token is renewed when its time is over, before the registry has to refuse it", async () => {
    let issued = 0;
    await using server = await serve((request, response) => {
      const { url = "", headers } = request;
      if (url.startsWith("/token"))
        return void response.end(JSON.stringify({ access_token: `t${++issued}`, expires_in: 1 }));
      if (headers.authorization === undefined) {
        return void response
          .writeHead(401, { "www-authenticate": `Bearer realm="http://${headers.host}/token"` })
          .end();
      }
      response.end("{}");
    });
    using registry = open(server.host, ME);
    for (const waitMs of [0, 900]) {
      await new Promise((done) => setTimeout(done, waitMs));
      await registry.fetchManifest("a", "t");
    }
    assert.equal(issued, 2);
    assert.ok(
      !server.seen.some(({ headers }, i) => i > 2 && headers.authorization === "Bearer t1"),
      "the old one is not sent",
    );
  });

  test("429: what Retry-After says, as seconds or as a time, is waited for; without it a moment", async () => {
    const table: readonly (readonly [Record<string, string>, number, number])[] = [
      [{ "retry-after": "1" }, 990, 2500],
      [{ "retry-after": new Date(Date.now() + 3000).toUTCString() }, 500, 4500],
      [{}, 90, 900],
    ];
    await Promise.all(
      table.map(async ([headers, least, most]) => {
        const at: number[] = [];
        await using server = await serve((_, response) => {
          at.push(performance.now());
          if (at.length === 1) response.writeHead(429, headers).end();
          else response.end("{}");
        });
        using registry = open(server.host);
        await registry.fetchManifest("a", "t");
        const waited = (at[1] ?? 0) - (at[0] ?? 0);
        assert.ok(waited >= least && waited < most, `${JSON.stringify(headers)}: ${waited} ms`);
      }),
    );
  });

  test("429 and 503 without end: given up after five attempts, with the registry's words; an interrupt ends the wait", async () => {
    const words = '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}';
    let wait = {};
    await using server = await serve((_, response) => void response.writeHead(429, wait).end(words));
    using registry = open(server.host);
    await assert.rejects(
      registry.fetchManifest("a", "t"),
      (e) => isCode(e, "Unavailable") && /no more requests now \(TOOMANYREQUESTS: slow down\)/.test(e.message),
    );
    assert.equal(server.seen.length, 5);
    wait = { "retry-after": "3600" };
    const began = performance.now();
    await assert.rejects(registry.fetchManifest("a", "t", AbortSignal.timeout(100)), (e) => isCode(e, "Cancelled"));
    assert.ok(performance.now() - began < 2000);
  });

  test("a blob that falls silent in the middle is asked for again from there; 5xx in between are borne", async () => {
    let n = 0;
    await using server = await serve((request, response) => {
      n++;
      if (n === 2) return void response.writeHead(502).end();
      const start = sendFrom(response, request.headers.range);
      if (n === 1) response.write(BLOB.subarray(0, HALF));
      else response.end(BLOB.subarray(start));
    });
    using registry = open(server.host, { idleMs: 200 });
    assert.deepEqual(await readAll(registry.fetchBlob("a", DIGEST)), BLOB);
    assert.deepEqual(
      server.seen.map(({ headers }) => headers.range),
      [undefined, `bytes=${HALF}-`, `bytes=${HALF}-`],
    );
  });

  test("a blob in another place: signed addresses that run out are asked for anew, without the credentials", async () => {
    let signature = 0;
    await using storage = await serve((request, response) => {
      if (!request.url?.endsWith(`=${signature}`)) return void response.writeHead(403).end();
      const start = sendFrom(response, request.headers.range);
      if (start >= HALF) return void response.end(BLOB.subarray(start));
      response.write(BLOB.subarray(start, HALF), () => response.destroy());
    });
    await using server = await serve((request, response) => {
      if (request.headers.authorization === undefined)
        return void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      response.writeHead(307, { location: `http://${storage.host}/blob?signature=${++signature}` }).end();
    });
    using registry = open(server.host, ME);
    assert.deepEqual(await readAll(registry.fetchBlob("a", DIGEST)), BLOB);
    assert.deepEqual([signature, storage.seen.length], [2, 2]);
    for (const { headers } of storage.seen) assert.equal(headers.authorization, undefined);
  });

  test("pushBlob: a source may use its memory again at once, also when the registry is slow to read", async () => {
    // So much that the kernel cannot take all of it before the registry reads.
    const body = randomBytes(24_000_000);
    const got: Buffer[] = [];
    await using server = await serve((request, response) => {
      if (request.method !== "PUT")
        return void response.writeHead(request.method === "HEAD" ? 404 : 202, { location: "/up" }).end();
      setTimeout(() => request.on("data", (chunk: Buffer) => got.push(chunk)), 100);
      request.on("end", () => response.writeHead(201).end());
    });
    using registry = open(server.host);
    const memory = Buffer.alloc(1 << 14);
    const blob = {
      digest: digestOf(body),
      size: body.length,
      open: async function* () {
        for (let at = 0; at < body.length; at += memory.length) {
          yield memory.subarray(0, body.copy(memory, 0, at));
        }
      },
    };
    assert.equal(await registry.pushBlob("a", blob), "uploaded");
    assert.equal(digestOf(Buffer.concat(got)), blob.digest);
  });
});

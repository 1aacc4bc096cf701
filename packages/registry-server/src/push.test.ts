import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { digestOf, pushBlob, type Served, serve } from "./testing.ts";

let served: Served;
before(async () => {
  served = await serve();
});
after(() => served[Symbol.asyncDispose]());

const BLOB = randomBytes(5000);
const ALGORITHMS = ["sha256", "sha512"];
const EMPTY = digestOf("");

/** Opens an upload; returns its path. */
async function begin(name: string, query = ""): Promise<string> {
  const answer = await served.ask("POST", `/v2/${name}/blobs/uploads/${query}`);
  assert.deepEqual([answer.status, answer.headers.get("range")], [202, "0-0"]);
  return answer.headers.get("location") ?? "";
}

const chunk = (path: string, bytes: Uint8Array, start: number, method: "PATCH" | "PUT" = "PATCH") =>
  served.ask(method, path, bytes, { "content-range": `${start}-${start + bytes.length - 1}` });

async function assertStored(name: string, digest: string, bytes: Uint8Array): Promise<void> {
  const got = await served.ask("GET", `/v2/${name}/blobs/${digest}`);
  assert.deepEqual([got.status, got.headers.get("docker-content-digest")], [200, digest]);
  assert.deepEqual(got.body, Buffer.from(bytes));
}

test("ping: the API is there, nothing else is at other paths", async () => {
  assert.equal((await served.ask("GET", "/v2/")).status, 200);
  assert.equal((await served.ask("HEAD", "/v2/")).status, 200);
  assert.equal((await served.ask("DELETE", "/v2/")).status, 405);
  for (const path of ["/", "/v1/", "/v2/a", "/v2/a/blobs/", "/v2/%zz/tags/list", "/v2/a/blobs/uploads/not-an-id"]) {
    assert.equal((await served.ask("GET", path)).status, 404, path);
  }
  assert.equal((await served.ask("GET", "/v2/UPPER/tags/list")).code, "NAME_INVALID");
});

test("blob by one POST: stored, with the place where it is", async () => {
  for (const algorithm of ALGORITHMS) {
    const digest = digestOf(BLOB, algorithm);
    const answer = await served.ask("POST", `/v2/post/blobs/uploads/?digest=${digest}`, BLOB);
    assert.equal(answer.status, 201);
    assert.equal(answer.headers.get("location"), `/v2/post/blobs/${digest}`);
    await assertStored("post", digest, BLOB);
  }
});

test("blob by POST and PUT, also the empty one", async () => {
  for (const bytes of [BLOB, Buffer.alloc(0)]) {
    for (const algorithm of ALGORITHMS) {
      const digest = digestOf(bytes, algorithm);
      const path = await begin("put");
      const done = await served.ask("PUT", `${path}?digest=${digest}`, bytes);
      assert.deepEqual([done.status, done.headers.get("location")], [201, `/v2/put/blobs/${digest}`]);
      await assertStored("put", digest, bytes);
      assert.equal((await served.ask("GET", path)).code, "BLOB_UPLOAD_UNKNOWN");
    }
  }
});

test("blob in chunks: one, three, and the last one with PUT", async () => {
  for (const size of [BLOB.length, 2000]) {
    for (const algorithm of ALGORITHMS) {
      const path = await begin("chunks", `?digest-algorithm=${algorithm}`);
      for (let at = 0; at < BLOB.length; at += size) {
        const end = Math.min(at + size, BLOB.length);
        const sent = await chunk(path, BLOB.subarray(at, end), at);
        assert.deepEqual([sent.status, sent.headers.get("range")], [202, `0-${end - 1}`]);
        assert.equal(sent.headers.get("location"), path);
      }
      const digest = digestOf(BLOB, algorithm);
      assert.equal((await served.ask("PUT", `${path}?digest=${digest}`)).status, 201);
      await assertStored("chunks", digest, BLOB);
    }
  }
  const path = await begin("last");
  await chunk(path, BLOB.subarray(0, 3000), 0);
  const done = await chunk(`${path}?digest=${digestOf(BLOB)}`, BLOB.subarray(3000), 3000, "PUT");
  assert.equal(done.status, 201);
  await assertStored("last", digestOf(BLOB), BLOB);
});

test("chunks out of order are 416, and the upload tells where to go on", async () => {
  const path = await begin("order");
  assert.equal((await chunk(path, BLOB.subarray(100, 200), 100)).status, 416);
  assert.equal((await served.ask("GET", path)).headers.get("range"), "0-0");
  await chunk(path, BLOB.subarray(0, 100), 0);
  for (const start of [0, 50, 101]) assert.equal((await chunk(path, BLOB.subarray(0, 100), start)).status, 416);
  const status = await served.ask("GET", path);
  assert.deepEqual([status.status, status.headers.get("range")], [204, "0-99"]);
  assert.equal(status.headers.get("location"), path);
  const late = await chunk(`${path}?digest=${digestOf(BLOB)}`, BLOB.subarray(200), 200, "PUT");
  assert.equal(late.status, 416);
  await chunk(path, BLOB.subarray(100), 100);
  assert.equal((await served.ask("PUT", `${path}?digest=${digestOf(BLOB)}`)).status, 201);
});

test("a malformed Content-Range, or one of another length than the body, is refused", async () => {
  const path = await begin("range");
  const send = (range: string) => served.ask("PATCH", path, BLOB, { "content-range": range });
  for (const range of ["", "x", "5-1", "-5"]) {
    if (range !== "") assert.equal((await send(range)).code, "BLOB_UPLOAD_INVALID", range);
  }
  assert.equal((await send("0-9")).code, "SIZE_INVALID");
  assert.equal((await served.ask("GET", path)).headers.get("range"), "0-0");
});

test("PATCH without a range streams, of unknown length too", async () => {
  const path = await begin("stream");
  const { host } = new URL(served.server.url);
  const [hostname = "", port] = host.split(":");
  const socket = connect(Number(port), hostname);
  socket.write(`PATCH ${path} HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n`);
  socket.write(`${BLOB.length.toString(16)}\r\n`);
  socket.write(BLOB);
  socket.write("\r\n0\r\n\r\n");
  const answer = Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>)).toString();
  assert.match(answer, /^HTTP\/1\.1 202 /);
  assert.match(answer, /range: 0-4999/i);
  assert.equal((await served.ask("PUT", `${path}?digest=${digestOf(BLOB)}`)).status, 201);
});

test("a client that asks before it sends is told to go on, or refused without its body", async () => {
  const { host } = new URL(served.server.url);
  const [hostname = "", port] = host.split(":");
  const path = await begin("expect");
  const talk = async (target: string, body: string): Promise<string> => {
    const socket = connect(Number(port), hostname);
    socket.write(`PATCH ${target} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n`);
    socket.write("Connection: close\r\n\r\n");
    let text = "";
    for await (const part of socket as AsyncIterable<Buffer>) {
      text += part.toString();
      if (text.endsWith("100 Continue\r\n\r\n")) socket.write(body);
    }
    return text;
  };
  assert.match(await talk(path, "hello"), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 202 /);
  assert.match(await talk(path.replace(/[0-9a-f]{12}$/, "000000000000"), "hello"), /^HTTP\/1\.1 404 /);
});

test("what a broken connection has brought stays, and the upload goes on from there", async () => {
  const path = await begin("broken");
  const { host } = new URL(served.server.url);
  const [hostname = "", port] = host.split(":");
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  socket.write(`PATCH ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${BLOB.length}\r\n\r\n`);
  socket.write(BLOB.subarray(0, 1500));
  while ((await served.ask("GET", path)).headers.get("range") !== "0-1499") await sleep(5);
  // A second request takes over from one that hangs.
  assert.equal((await chunk(path, BLOB.subarray(1500), 1500)).status, 202);
  assert.equal((await served.ask("PUT", `${path}?digest=${digestOf(BLOB)}`)).status, 201);
  await assertStored("broken", digestOf(BLOB), BLOB);
});

test("wrong digests: 400 with each way to upload, and nothing stays", async () => {
  const right = digestOf(BLOB);
  for (const digest of [digestOf("other"), digestOf("other", "sha512")]) {
    assert.equal((await served.ask("POST", `/v2/bad/blobs/uploads/?digest=${digest}`, BLOB)).code, "DIGEST_INVALID");
    const path = await begin("bad");
    assert.equal((await served.ask("PUT", `${path}?digest=${digest}`, BLOB)).code, "DIGEST_INVALID");
    assert.equal((await served.ask("GET", `/v2/bad/blobs/${digest}`)).code, "BLOB_UNKNOWN");
    assert.equal((await served.ask("GET", path)).status, 404);
  }
  for (const digest of ["", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", `SHA256:${right.slice(7)}`]) {
    const path = await begin("bad");
    assert.equal((await served.ask("PUT", `${path}?digest=${digest}`, BLOB)).code, "DIGEST_INVALID", digest);
    assert.equal((await served.ask("GET", `/v2/bad/blobs/${digest || "x"}`)).code, "DIGEST_INVALID", digest);
  }
  assert.equal((await served.ask("POST", "/v2/bad/blobs/uploads/?digest-algorithm=md5")).code, "DIGEST_INVALID");
});

test("cancel: the upload and its bytes are gone", async () => {
  const path = await begin("cancel");
  await chunk(path, BLOB, 0);
  assert.equal((await served.ask("DELETE", path)).status, 204);
  assert.equal((await served.ask("GET", path)).code, "BLOB_UPLOAD_UNKNOWN");
  assert.equal((await served.ask("DELETE", path)).status, 404);
});

test("an upload is known in its own repository only", async () => {
  const path = await begin("mine");
  assert.equal((await served.ask("GET", path.replace("/mine/", "/yours/"))).code, "BLOB_UPLOAD_UNKNOWN");
});

test("mount: from a named repository, from any, and an upload when there is nothing to mount", async () => {
  const { digest } = await pushBlob(served, "source/repo", "to be mounted");
  const mount = (query: string) => served.ask("POST", `/v2/target/blobs/uploads/?mount=${digest}${query}`);
  assert.equal((await mount("&from=no/such")).status, 202);
  assert.equal((await served.ask("HEAD", `/v2/target/blobs/${digest}`)).status, 404);
  const mounted = await mount("&from=source/repo");
  assert.deepEqual([mounted.status, mounted.headers.get("location")], [201, `/v2/target/blobs/${digest}`]);
  await assertStored("target", digest, Buffer.from("to be mounted"));
  assert.equal((await served.ask("POST", `/v2/other/blobs/uploads/?mount=${digest}`)).status, 201);
  const missing = await served.ask("POST", `/v2/other/blobs/uploads/?mount=${digestOf("no such")}&from=source/repo`);
  assert.equal(missing.status, 202);
  const path = missing.headers.get("location") ?? "";
  assert.equal((await served.ask("PUT", `${path}?digest=${digestOf("no such")}`, "no such")).status, 201);
  assert.equal((await served.ask("POST", "/v2/other/blobs/uploads/?mount=nonsense")).code, "DIGEST_INVALID");
});

test("blob: head, get and ranges as RFC 9110 says", async () => {
  const bytes = randomBytes(3000);
  const { digest } = await pushBlob(served, "get", bytes);
  const path = `/v2/get/blobs/${digest}`;
  const head = await served.ask("HEAD", path);
  assert.deepEqual([head.status, head.headers.get("content-length"), head.body.length], [200, "3000", 0]);
  const ranges: readonly [string, number, number][] = [
    ["500-1499", 500, 1499],
    ["500-", 500, 2999],
    ["-500", 2500, 2999],
    ["2000-5000", 2000, 2999],
    ["-9000", 0, 2999],
  ];
  for (const [range, start, end] of ranges) {
    const got = await served.ask("GET", path, undefined, { range: `bytes=${range}` });
    assert.deepEqual([got.status, got.headers.get("content-range")], [206, `bytes ${start}-${end}/3000`], range);
    assert.deepEqual(got.body, bytes.subarray(start, end + 1), range);
  }
  for (const range of ["500-0", "5000-10000", "3000-", "-0"]) {
    const got = await served.ask("GET", path, undefined, { range: `bytes=${range}` });
    assert.deepEqual([got.status, got.headers.get("content-range")], [416, "bytes */3000"], range);
  }
  for (const range of ["bytes=-", "lines=1-2", "bytes=0-1,5-6"]) {
    assert.equal((await served.ask("GET", path, undefined, { range })).status, 200, range);
  }
  const changed = await served.ask("GET", path, undefined, { range: "bytes=0-9", "if-range": '"other"' });
  assert.equal(changed.status, 200);
  const known = await served.ask("GET", path, undefined, { "if-none-match": `"${digest}"` });
  assert.deepEqual([known.status, known.body.length], [304, 0]);
});

test("blob: deleted at once, from this repository only", async () => {
  const { digest } = await pushBlob(served, "del", "deleted here");
  await served.ask("POST", `/v2/keep/blobs/uploads/?mount=${digest}&from=del`);
  assert.equal((await served.ask("DELETE", `/v2/del/blobs/${digest}`)).status, 202);
  assert.equal((await served.ask("GET", `/v2/del/blobs/${digest}`)).code, "BLOB_UNKNOWN");
  assert.equal((await served.ask("HEAD", `/v2/del/blobs/${digest}`)).status, 404);
  assert.equal((await served.ask("DELETE", `/v2/del/blobs/${digest}`)).status, 404);
  assert.equal((await served.ask("GET", `/v2/keep/blobs/${digest}`)).status, 200);
  assert.equal((await served.ask("GET", `/v2/never/blobs/${EMPTY}`)).status, 404);
});

test("nothing of this was a fault of the server", () => assert.deepEqual(served.faults, []));

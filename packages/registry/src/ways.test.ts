/** How a registry is reached: certificates of its directory, and proxies. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { isCode } from "@berth/base";
import { makeCertificate, open, serve } from "./testing.ts";

const MANIFEST = Buffer.from('{"schemaVersion":2}');
const sendManifest = (response: ServerResponse): void => void response.end(MANIFEST);

function scratch(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "berth-ways-"));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** Proxies are named by the environment of the whole process. */
function setEnv(t: TestContext, values: Record<string, string>): void {
  const before = Object.fromEntries(Object.keys(values).map((key) => [key, process.env[key]]));
  Object.assign(process.env, values);
  t.after(() => {
    for (const [key, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[key];
      else process.env[key] = value;
    }
  });
}

test("certs.d: the authority and the client certificate of one host are used for it", async (t) => {
  const [pair, client] = [makeCertificate("IP:127.0.0.1"), makeCertificate("DNS:client")];
  if (pair === undefined || client === undefined) return t.skip("needs openssl");
  const dir = scratch(t);
  const options = { ...pair, ca: client.cert, requestCert: true, rejectUnauthorized: false };
  const handler: RequestListener = (request, response) => {
    if ((request.socket as TLSSocket).authorized) sendManifest(response);
    else response.writeHead(403).end();
  };
  await using server = await serve(handler, (h) => createTlsServer(options, h) as unknown as Server);
  const files = join(dir, server.host);
  mkdirSync(files);
  writeFileSync(join(files, "ca.crt"), pair.cert);
  using unknown = open(server.host, { certsDirs: [dir] });
  await assert.rejects(unknown.fetchManifest("a", "t"), (e) => isCode(e, "PermissionDenied"));
  writeFileSync(join(files, "client.cert"), client.cert);
  writeFileSync(join(files, "client.key"), client.key);
  using known = open(server.host, { certsDirs: [dir] });
  assert.deepEqual((await known.fetchManifest("a", "t")).bytes, MANIFEST);
});

test("HTTP_PROXY and NO_PROXY: a plain registry is asked through the proxy, loopback and exceptions are not", async (t) => {
  await using proxy = await serve((request, response) => {
    if (request.url?.startsWith("http://registry.test/v2/")) sendManifest(response);
    else response.writeHead(502).end();
  });
  await using server = await serve((_, response) => sendManifest(response));
  setEnv(t, {
    HTTP_PROXY: `http://${proxy.host}`,
    http_proxy: `http://${proxy.host}`,
    NO_PROXY: "excepted.test",
    no_proxy: "excepted.test",
  });
  const insecure = { insecure: true };
  using through = open("registry.test:80", insecure);
  // The secure attempt comes first and finds no such host.
  assert.deepEqual((await through.fetchManifest("a", "t")).bytes, MANIFEST);
  assert.equal(proxy.seen.length, 1);
  using direct = open(server.host);
  await direct.fetchManifest("a", "t");
  assert.equal(proxy.seen.length, 1);
  using excepted = open("excepted.test:80", insecure);
  await assert.rejects(excepted.fetchManifest("a", "t"), (e) => isCode(e, "Unavailable"));
  assert.equal(proxy.seen.length, 1);
});

test("HTTPS_PROXY: TLS goes through a tunnel of the proxy, which sees no request", async (t) => {
  const pair = makeCertificate("DNS:registry.test");
  if (pair === undefined) return t.skip("needs openssl");
  const caFile = join(scratch(t), "ca.pem");
  writeFileSync(caFile, pair.cert);
  await using server = await serve(
    (_, response) => sendManifest(response),
    (h) => createTlsServer(pair, h) as unknown as Server,
  );
  const tunnels: string[] = [];
  const makeProxy = (h: RequestListener): Server =>
    createServer(h).on("connect", (request, socket) => {
      tunnels.push(request.url ?? "");
      const to = connect(server.port, "127.0.0.1", () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
      for (const [a, b] of [
        [socket, to],
        [to, socket],
      ] as const)
        a.on("error", () => b.destroy()).pipe(b);
    });
  await using proxy = await serve((_, response) => void response.writeHead(400).end(), makeProxy);
  setEnv(t, { HTTPS_PROXY: `http://${proxy.host}`, https_proxy: `http://${proxy.host}` });
  using registry = open("registry.test", { caFile });
  assert.deepEqual((await registry.fetchManifest("a", "t")).bytes, MANIFEST);
  assert.deepEqual([tunnels, proxy.seen.length], [["registry.test:443"], 0]);
});

/** Several `berth pull` at once: what one downloads, the others do not ask for. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { tar } from "../../keel/test/tar-writer.ts";
import { Evil } from "./evil.ts";
import { probe, Store, sleep, until } from "./harness.ts";

const skip = probe();
const MIB = 1 << 20;
const PIECE = 64 * 1024;
const layers = [3, 2, 1].map((mib, i) => tar({ path: `noise${i}`, data: randomBytes(mib * MIB) }));
const stores: Store[] = [];

after(async () => {
  for (const store of stores) await store[Symbol.asyncDispose]();
});

/** A registry that sends a blob in pieces, each after a moment; `sent` counts bytes of all of them. */
async function slowRegistry(pieceMs: number): Promise<{ evil: Evil; digests: string[]; sent: Map<string, number> }> {
  const evil = await Evil.start();
  const bytes = new Map(layers.map((layer) => [evil.blob(layer).digest, layer]));
  const sent = new Map<string, number>();
  evil.image(
    "1",
    layers.map((layer) => ({ tar: layer })),
  );
  evil.image(
    "2",
    layers.toReversed().map((layer) => ({ tar: layer })),
  );
  evil.answer = (request, response, what) => {
    const digest = what.replace("blobs/", "");
    const blob = bytes.get(digest);
    if (blob === undefined) return false;
    let at = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const range = { "content-range": `bytes ${at}-${blob.length - 1}/${blob.length}` };
    response.writeHead(at > 0 ? 206 : 200, { "content-length": blob.length - at, ...(at > 0 ? range : {}) });
    const more = (): void => {
      if (response.destroyed) return;
      response.write(blob.subarray(at, at + PIECE));
      at += PIECE;
      sent.set(digest, at);
      if (at < blob.length) setTimeout(more, pieceMs);
      else response.end();
    };
    more();
    return true;
  };
  return { evil, digests: [...bytes.keys()], sent };
}

interface Pull {
  readonly kill: () => void;
  readonly ended: Promise<{ readonly code: number | null; readonly err: string }>;
}

function pull(store: Store, image: string): Pull {
  const child = store.spawn("pull", "-q", image);
  let err = "";
  child.stderr?.on("data", (chunk) => {
    err += String(chunk);
  });
  child.stdin?.end();
  const ended = new Promise<{ code: number | null; err: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, err })),
  );
  return { kill: () => void child.kill("SIGKILL"), ended };
}

function newStore(): Store {
  const store = new Store();
  stores.push(store);
  return store;
}

test("three pulls of one image and one of another with the same layers ask for each blob once", {
  skip,
  timeout: 120_000,
}, async () => {
  const { evil, digests } = await slowRegistry(15);
  await using _evil = evil;
  const store = newStore();
  const pulls = ["1", "1", "1", "2"].map((tag) => pull(store, evil.name(tag)));
  for (const { ended } of pulls) {
    const { code, err } = await ended;
    assert.equal(code, 0, err);
  }
  for (const digest of digests) assert.equal(evil.gets(digest).length, 1, digest);
  const configs = evil.asked.filter(({ what }) => what.startsWith("blobs/")).map(({ what }) => what);
  assert.equal(configs.length, new Set(configs).size, "configurations too");
  assert.equal(evil.asked.filter(({ what }) => what === "manifests/1").length, 3);
  assert.match(store.berth("system", "check").out, /no problems/i);
});

test("the pull that downloads is killed: one that waits takes over, and goes on with Range where the other was", {
  skip,
  timeout: 120_000,
}, async () => {
  const { evil, digests, sent } = await slowRegistry(30);
  await using _evil = evil;
  const store = newStore();
  const first = pull(store, evil.name("1"));
  await until("the download to begin", () => digests.every((digest) => (sent.get(digest) ?? 0) > 4 * PIECE));
  const others = [pull(store, evil.name("1")), pull(store, evil.name("1"))];
  await until(
    "the others to know what to wait for",
    () => evil.asked.filter(({ what }) => what === "manifests/1").length === 3,
  );
  await sleep(200);
  first.kill();
  await first.ended;
  const had = new Map(sent);
  for (const { ended } of others) {
    const { code, err } = await ended;
    assert.equal(code, 0, err);
  }
  let resumed = 0;
  for (const digest of digests) {
    const [one, two, ...more] = evil.gets(digest);
    assert.deepEqual(more, [], "asked for a third time");
    assert.equal(one?.range, undefined);
    // One that was whole when the first was killed is not asked for again.
    if (two === undefined) continue;
    resumed++;
    const from = Number(/^bytes=(\d+)-$/.exec(two.range ?? "")?.[1]);
    assert.ok(from > 2 * PIECE && from <= (had.get(digest) ?? 0), `${two.range} of ${had.get(digest)}`);
  }
  assert.ok(resumed > 0);
  assert.match(store.berth("system", "check").out, /no problems/i);
});

test("the second pull of an image after the first was killed alone goes on with Range too", {
  skip,
  timeout: 120_000,
}, async () => {
  const { evil, digests, sent } = await slowRegistry(10);
  await using _evil = evil;
  const store = newStore();
  const first = pull(store, evil.name("1"));
  await until("the download to begin", () => digests.some((digest) => (sent.get(digest) ?? 0) > 6 * PIECE));
  first.kill();
  await first.ended;
  const next = await pull(store, evil.name("1")).ended;
  assert.equal(next.code, 0, next.err);
  const ranges = digests.map((digest) => evil.gets(digest).at(-1)?.range);
  assert.ok(
    ranges.some((range) => /^bytes=[1-9]\d*-$/.test(range ?? "")),
    JSON.stringify(ranges),
  );
  assert.equal(store.berth("create", "--network", "none", evil.name("1"), "/noise0").code, 0);
});

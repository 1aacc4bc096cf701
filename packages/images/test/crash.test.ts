import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CHILD, Layout, listing, makeTrees, Registry, scratch, stored, whyNot } from "./fixture.ts";
import { openStore } from "./store.ts";

const ROUNDS = 12;
const skip = whyNot("docker-registry", "skopeo", "tar");
const shared = scratch();
let registry: Registry;
let image = "";

before(async () => {
  if (skip) return;
  const layout = new Layout(join(shared.dir, "layout"));
  layout.addImage("app", makeTrees(shared.dir));
  registry = await Registry.start(shared.dir);
  image = registry.fill(layout, "app", "test/app:1");
});

after(async () => {
  if (!skip) await registry[Symbol.asyncDispose]();
  shared[Symbol.dispose]();
});

/** Runs the real code in a process of its own; `killMs`: kill -9 after so long. */
async function run(
  root: string,
  command: string,
  killMs?: number,
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [CHILD, root, command, image], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  if (killMs !== undefined) {
    await sleep(killMs);
    child.kill("SIGKILL");
  }
  const [out, err] = await output;
  return { code: await ended, out, err };
}

/** Committed layers' contents by chain id. */
function layersOf(root: string): Record<string, readonly string[]> {
  using store = openStore(root);
  const rows = store.state.db.prepare("SELECT n, name FROM snapshot WHERE kind = 'layer' AND owner IS NULL").all();
  return Object.fromEntries(rows.map((row) => [String(row["name"]), listing(join(root, `snapshots/${row["n"]}/fs`))]));
}

/** As a day later. */
function recover(root: string): void {
  using store = openStore(root);
  store.content.recover({ maxAgeMs: 0 });
}

test("kill -9 at any time of pull and remove: committed layers are whole, the next pull works, remove leaves nothing", {
  skip,
  timeout: 600_000,
}, async () => {
  using s = scratch();
  const good = join(s.dir, "good");
  const started = performance.now();
  assert.equal((await run(good, "pull")).code, 0);
  const whole = performance.now() - started;
  const expected = layersOf(good);
  const root = join(s.dir, "data");
  let killed = 0;
  const kill = async (command: string, withinMs: number): Promise<void> => {
    const done = await run(root, command, 40 + Math.random() * withinMs);
    if (done.code === null) killed++;
    for (const [chainId, lines] of Object.entries(layersOf(root))) assert.deepEqual(lines, expected[chainId], command);
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (let tries = 0; tries <= round % 3; tries++) await kill("pull", whole);
    const next = await run(root, "pull");
    assert.equal(next.code, 0, `round ${round}: ${next.err}`);
    assert.deepEqual(layersOf(root), expected, `round ${round}`);
    await kill("remove", 150);
    const last = await run(root, "remove");
    assert.ok(last.code === 0 || last.err.startsWith("NotFound: "), last.err);
  }
  assert.ok(killed > ROUNDS, `only ${killed} processes were killed in time`);
  assert.equal((await run(root, "pull")).code, 0);
  assert.equal((await run(root, "remove")).code, 0);
  // what a process wrote in one go when it was killed has a name that nobody waits for, and goes when it is old
  for (const name of stored(root, "ingest")) assert.match(name, /^sha256-[0-9a-f]{64}\.[0-9]+\.[0-9]+$/);
  recover(root);
  for (const dir of ["content/sha256", "ingest", "snapshots"]) assert.deepEqual(stored(root, dir), [], dir);
});

test("pulls of one image by several processes at once all succeed, and each layer is unpacked once", {
  skip,
  timeout: 120_000,
}, async () => {
  using s = scratch();
  const all = await Promise.all([1, 2, 3].map(() => run(s.dir, "pull")));
  for (const one of all) assert.equal(one.code, 0, one.err);
  const unpacked = all.flatMap((one) => JSON.parse(one.out) as string[]);
  assert.equal(unpacked.length, 3);
  assert.equal(new Set(unpacked).size, 3);
});

test("pulls and removes by several processes at once end with an image that is whole", {
  skip,
  timeout: 300_000,
}, async () => {
  using s = scratch();
  for (let round = 0; round < 6; round++) {
    const all = await Promise.all([run(s.dir, "pull"), run(s.dir, "remove"), run(s.dir, "pull"), run(s.dir, "remove")]);
    for (const one of all) assert.ok(one.code === 0 || one.err.startsWith("NotFound: "), one.err);
  }
  assert.equal((await run(s.dir, "pull")).code, 0);
  using store = openStore(s.dir);
  for (const layer of store.images.get(image).layers) assert.ok(store.content.has(layer.digest));
  assert.equal(Object.keys(layersOf(s.dir)).length, 3);
});

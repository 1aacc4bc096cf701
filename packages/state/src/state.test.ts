import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { type Migration, openState } from "./index.ts";

const NOTE: Migration = {
  package: "note",
  id: 1,
  name: "create note",
  sql: "CREATE TABLE note (text TEXT NOT NULL) STRICT;",
};
const RATED: Migration = { package: "note", id: 2, name: "rate note", sql: "ALTER TABLE note ADD stars INTEGER;" };

function scratch(): { readonly path: string } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), "berth-state-"));
  return { path: join(dir, "sub/berth.db"), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

test("openState: missing migrations are applied once, rows stay, and a second open changes nothing", () => {
  using dir = scratch();
  {
    using state = openState(dir.path, [NOTE]);
    state.db.exec("INSERT INTO note VALUES ('a')");
  }
  for (let i = 0; i < 2; i++) {
    using state = openState(dir.path, [NOTE, RATED]);
    assert.deepEqual({ ...state.db.prepare("SELECT * FROM note").get() }, { text: "a", stars: null });
    assert.equal(state.db.prepare("PRAGMA journal_mode").get()?.["journal_mode"], "wal");
  }
});

test("openState: a database of a newer version is refused as FailedPrecondition and left as it is", () => {
  using dir = scratch();
  openState(dir.path, [NOTE, RATED])[Symbol.dispose]();
  assert.throws(
    () => openState(dir.path, [NOTE]),
    (e) => isCode(e, "FailedPrecondition") && /note\/2/.test(e.message),
  );
  openState(dir.path, [NOTE, RATED])[Symbol.dispose]();
});

test("openState: a failing migration leaves nothing of its batch", () => {
  using dir = scratch();
  assert.throws(() => openState(dir.path, [NOTE, { ...RATED, sql: "CREATE TABLE x (y); NOT SQL" }]));
  using state = openState(dir.path, []);
  assert.equal(state.db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'note'").get()?.["n"], 0);
});

test("openState: a file that is no database is reported as DataLoss", () => {
  using dir = scratch();
  openState(dir.path, [])[Symbol.dispose]();
  writeFileSync(dir.path, "x".repeat(4096));
  assert.throws(
    () => openState(dir.path, []),
    (e) => isCode(e, "DataLoss"),
  );
});

test("transaction: rolls back when the body throws; nested calls join the outer one", () => {
  using dir = scratch();
  using state = openState(dir.path, [NOTE]);
  const insert = (text: string): void => void state.db.prepare("INSERT INTO note VALUES (?)").run(text);
  state.transaction(() => state.transaction(() => insert("kept")));
  assert.throws(() =>
    state.transaction(() => {
      state.transaction(() => insert("lost"));
      throw new Error("stop");
    }),
  );
  assert.deepEqual(
    state.db
      .prepare("SELECT text FROM note")
      .all()
      .map((r) => r["text"]),
    ["kept"],
  );
});

test("lease: the second taker waits until the first releases it, and gives up after its time", async () => {
  using dir = scratch();
  using state = openState(dir.path, []);
  const order: string[] = [];
  const first = await state.lease("x");
  await assert.rejects(state.lease("x", { timeoutMs: 5 }), (e) => isCode(e, "DeadlineExceeded"));
  const second = state.lease("x").then((lease) => {
    order.push("second");
    lease[Symbol.dispose]();
  });
  order.push("first");
  first[Symbol.dispose]();
  await second;
  assert.deepEqual(order, ["first", "second"]);
});

test("lease and hold: those of a killed process are void, those of a living one count", async () => {
  using dir = scratch();
  using state = openState(dir.path, []);
  const code = `
    import { openState } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    const state = openState(${JSON.stringify(dir.path)}, []);
    await state.lease("x"); state.hold(["sha256:a"]); console.log("ready"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  assert.deepEqual([...state.held()], ["sha256:a"]);
  await assert.rejects(
    state.lease("x", { timeoutMs: 5 }),
    (e) => isCode(e, "DeadlineExceeded") && e.message.includes(String(child.pid)),
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  (await state.lease("x", { timeoutMs: 5 }))[Symbol.dispose]();
  assert.deepEqual([...state.held()], []);
});

test("ownerAlive: this process lives; another start time, another boot or garbage does not", () => {
  using dir = scratch();
  using state = openState(dir.path, []);
  const [pid, start, boot] = state.owner.split(":");
  assert.equal(state.ownerAlive(state.owner), true);
  for (const owner of [`${pid}:1:${boot}`, `${pid}:${start}:other`, "", "../1:2:3"])
    assert.equal(state.ownerAlive(owner), false);
});

test("openState: eight processes that create the same database at once all succeed", () => {
  using dir = scratch();
  const code = `
    import { openState } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    const note = ${JSON.stringify(NOTE)};
    openState(${JSON.stringify(dir.path)}, [note]).db.exec("INSERT INTO note VALUES ('x')");`;
  const sh = Array.from({ length: 8 }, () => `"$0" --input-type=module -e "$1" & p="$p $!"`).join("; ");
  const done = spawnSync("sh", ["-c", `${sh}; for i in $p; do wait $i || exit 1; done`, process.execPath, code], {
    encoding: "utf8",
  });
  assert.equal(done.status, 0, done.stderr);
  using state = openState(dir.path, [NOTE]);
  assert.equal(state.db.prepare("SELECT count(*) AS n FROM note").get()?.["n"], 8);
});

test("hold and lease: a release that the database refuses does not throw, and is made up for later", async () => {
  using dir = scratch();
  using state = openState(dir.path, []);
  const hold = state.hold(["sha256:a"]);
  const lease = await state.lease("x");
  using other = openState(dir.path, []);
  state.db.exec("PRAGMA busy_timeout = 1");
  other.db.exec("BEGIN IMMEDIATE");
  hold[Symbol.dispose]();
  lease[Symbol.dispose]();
  other.db.exec("COMMIT");
  assert.equal(other.held().size, 1);
  state.transaction(() => {});
  assert.equal(other.held().size, 0);
  (await other.lease("x", { timeoutMs: 5 }))[Symbol.dispose]();
});

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { detachScanner, parseDetachKeys } from "./detach.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

test("detach keys: names become bytes, nonsense is refused, an empty text switches them off", () => {
  assert.deepEqual(parseDetachKeys("ctrl-p,ctrl-q"), [16, 17]);
  assert.deepEqual(parseDetachKeys("a,ctrl-[,ctrl-@"), [97, 27, 0]);
  assert.deepEqual(parseDetachKeys(""), []);
  for (const bad of ["ctrl-", "ctrl-1", "ab", "a,,b"])
    assert.throws(
      () => parseDetachKeys(bad),
      (e) => isCode(e, "InvalidArgument"),
      bad,
    );
});

test("detach scanner: found across chunks; a false beginning reaches the container", () => {
  const table: readonly (readonly [readonly string[], string, boolean])[] = [
    [["abc"], "abc", false],
    [["ab\x10", "\x11"], "ab", true],
    [["\x10", "x"], "\x10x", false],
    [["\x10\x10\x11"], "\x10", true],
    [["\x10", "\x10", "z"], "\x10\x10z", false],
    [["a\x10\x11rest"], "a", true],
  ];
  for (const [chunks, passed, detached] of table) {
    const scan = detachScanner([16, 17]);
    const results = chunks.map((chunk) => scan(Buffer.from(chunk, "latin1")));
    assert.equal(results.map((r) => text(r.pass)).join(""), passed, JSON.stringify(chunks));
    assert.equal(
      results.some((r) => r.detach),
      detached,
      JSON.stringify(chunks),
    );
  }
  assert.equal(text(detachScanner([])(Buffer.from("\x10\x11")).pass), "\x10\x11");
});

/** Runs a script with `router` in scope, sends it signals one by one, and gives what it printed and how it ended. */
async function routed(script: string, signals: readonly NodeJS.Signals[]): Promise<{ out: string; end: unknown }> {
  const source = `import { routeSignals } from ${JSON.stringify(new URL("./signals.ts", import.meta.url).href)};
    const router = routeSignals(); const say = (t) => console.log(t); setTimeout(() => {}, 5000); ${script}; say("ready");`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  const wanted = signals.map(String);
  child.stdout.on("data", (chunk) => {
    out += String(chunk);
    const next = wanted.shift();
    if (next !== undefined) child.kill(next as NodeJS.Signals);
  });
  const [code, signal] = await once(child, "close");
  return { out, end: signal ?? code };
}

test("signals: the first Ctrl-C aborts, the second ends the process by the signal", async () => {
  const ran = await routed('router.signal.onabort = () => say("aborted")', ["SIGINT", "SIGINT"]);
  assert.deepEqual(ran, { out: "ready\naborted\n", end: "SIGINT" });
});

test("signals: those kept while the container starts reach it; the third Ctrl-C leaves", async () => {
  const pass = 'router.passTo((n) => say("got " + n), () => { say("left"); process.exit(7); })';
  const first = 'router.passTo((n) => { say("got " + n); process.exit(0); }, () => {})';
  const kept = `router.hold(); process.kill(process.pid, "SIGUSR1"); setTimeout(() => { ${first}; }, 50)`;
  assert.deepEqual(await routed(kept, []), { out: "ready\ngot 10\n", end: 0 });
  const ran = await routed(`router.hold(); ${pass}`, ["SIGTERM", "SIGINT", "SIGINT"]);
  assert.deepEqual(ran, { out: "ready\ngot 15\ngot 2\nleft\n", end: 7 });
});

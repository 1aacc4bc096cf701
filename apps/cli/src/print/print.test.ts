import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import type { PullProgress } from "@berth/engine";
import { createProgress } from "./progress.ts";
import { formatTable } from "./table.ts";

type Layers = Extract<PullProgress, { kind: "resolved" }>["layers"];
const digest = (n: number): Layers[number]["digest"] => `sha256:${String(n).repeat(64)}` as Layers[number]["digest"];
const layersOf = (...sizes: readonly number[]): Layers =>
  sizes.map((size, i) => ({ mediaType: "layer", digest: digest(i + 1), size }));

function drawn(terminal: boolean, size: { rows: number; columns: number }, events: readonly PullProgress[]): string {
  let out = "";
  let now = 0;
  const progress = createProgress({
    write: (text) => {
      out += text;
    },
    terminal,
    colour: false,
    size: () => size,
    now: () => (now += 1000),
  });
  for (const event of events) progress.onProgress(event);
  progress.end();
  return out;
}

const events = (count: number): readonly PullProgress[] => [
  { kind: "resolved", ref: "r", digest: digest(9), layers: layersOf(...Array.from({ length: count }, () => 1000)) },
  { kind: "exists", digest: digest(1) },
  { kind: "download", digest: digest(2), doneBytes: 500, totalBytes: 1000 },
  { kind: "unpack", digest: digest(2) },
  { kind: "done", digest: digest(2) },
];

test("table: columns are aligned, at least ten wide, the last not padded", () => {
  assert.equal(formatTable([]), "");
  assert.equal(
    formatTable([
      ["ID", "LONG NAME", "X"],
      ["1…", "a name of 17 char", ""],
    ]),
    "ID        LONG NAME           X\n1…        a name of 17 char   \n",
  );
});

test("progress: without a terminal one line per finished layer", () => {
  assert.equal(
    drawn(false, { rows: 0, columns: 0 }, events(2)),
    "111111111111: Already exists\n222222222222: Pull complete\n",
  );
});

test("progress: on a terminal lines are redrawn in place and never wider than it", () => {
  const out = drawn(true, { rows: 24, columns: 60 }, events(2));
  assert.match(out, /222222222222: Downloading \[=+> +\] 500B\/1kB\n/);
  const last = "\x1b[2A\x1b[2K111111111111: Already exists\n\x1b[2K222222222222: Pull complete\n";
  assert.ok(out.endsWith(last), JSON.stringify(out));
  const narrow = drawn(true, { rows: 24, columns: 30 }, events(2));
  for (const line of narrow.split("\n"))
    assert.ok(line.replace("\x1b[2A", "").replace("\x1b[2K", "").length < 30, line);
});

test("progress: more layers than rows: the unfinished ones and a count", () => {
  const last = drawn(true, { rows: 6, columns: 80 }, events(9)).split("\x1b[4A").at(-1) ?? "";
  assert.equal(last.split("\n").length, 5);
  assert.match(last, /2 of 9 layers complete/);
});

test("stdio: a slow reader holds the writer, all bytes arrive in order, a gone reader is EPIPE", () => {
  const source = `
    import { byteWriter, writeNow, isBrokenPipe } from ${JSON.stringify(new URL("./stdio.ts", import.meta.url).href)};
    const out = byteWriter(1);
    try { for (let i = 0; i < 64; i++) await out(Buffer.alloc(65536, i)); writeNow(1, "end"); }
    catch (error) { process.exit(isBrokenPipe(error) ? 9 : 1); }`;
  const script =
    '"$0" --input-type=module -e "$1" | (sleep 0.2; wc -c); "$0" --input-type=module -e "$1" | head -c 10 | wc -c; echo $PIPESTATUS';
  const ran = spawnSync("bash", ["-c", script, process.execPath, source], { encoding: "utf8" });
  assert.deepEqual(ran.stdout.split(/\s+/).filter(Boolean), [String(64 * 65536 + 3), "10", "9"], ran.stderr);
});

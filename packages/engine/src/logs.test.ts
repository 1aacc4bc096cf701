import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseEntry, readLog } from "./logs.ts";
import type { LogOptions } from "./types.ts";

const dir = mkdtempSync(join(tmpdir(), "berth-logs-"));
after(() => rmSync(dir, { recursive: true }));

const T = "2026-11-25T10:00:0";

async function read(text: string, options: Partial<LogOptions> = {}): Promise<string> {
  const path = join(dir, "log");
  writeFileSync(path, text);
  let out = "";
  for await (const entry of readLog(path, { follow: false, ...options }, async () => true)) {
    out += `${entry.stream === "stderr" ? "!" : ""}${entry.data}`;
  }
  return out;
}

const lines = (count: number): string =>
  Array.from({ length: count }, (_, i) => `${T}0.0Z stdout F line ${i}\n`).join("");

test("logs: streams, parts of lines and spaces arrive as they were written", async () => {
  assert.equal(await read(`${T}1.5Z stdout F  a b \n${T}1.6Z stderr F err\n${T}1.7Z stdout P no end`), " a b \n!err\n");
  assert.equal(await read(`${T}1.5Z stdout P one \n${T}1.6Z stdout F two\n`), "one two\n");
});

test("logs: tail counts whole lines, over the borders of what is read at once", async () => {
  const text = lines(6000);
  assert.equal(await read(text, { tail: 0 }), "");
  assert.equal(await read(text, { tail: 2 }), "line 5998\nline 5999\n");
  assert.equal((await read(text, { tail: 4000 })).split("\n")[0], "line 2000");
  assert.equal((await read(text, { tail: 9999 })).split("\n").length, 6001);
  assert.equal(await read(lines(3), { tail: 2 }), "line 1\nline 2\n");
  const parts = `${T}0.0Z stdout F first\n${T}0.0Z stdout P half \n${T}0.0Z stdout F whole\n`;
  assert.equal(await read(parts, { tail: 1 }), "half whole\n");
});

test("logs: since and until bound the time", async () => {
  const text = `${T}1.0Z stdout F one\n${T}2.0Z stdout F two\n${T}3.0Z stdout F three\n`;
  assert.equal(await read(text, { sinceMs: Date.parse(`${T}1.5Z`), untilMs: Date.parse(`${T}2.5Z`) }), "two\n");
});

test("logs: following ends with the container and misses nothing that was written before", async () => {
  const path = join(dir, "follow");
  writeFileSync(path, `${T}1.0Z stdout F one\n`);
  const seen: string[] = [];
  let asked = 0;
  const isOver = async (): Promise<boolean> => {
    if (++asked === 1) writeFileSync(path, `${T}2.0Z stdout F two\n`, { flag: "a" });
    if (asked === 2) writeFileSync(path, `${T}3.0Z stdout F last words\n`, { flag: "a" });
    return asked >= 2;
  };
  for await (const entry of readLog(path, { follow: true }, isOver)) seen.push(String(entry.data));
  assert.deepEqual(seen, ["one\n", "two\n", "last words\n"]);
});

test("logs: a container that never ran has none, and damage is passed over", async () => {
  const none: unknown[] = [];
  for await (const entry of readLog(join(dir, "absent"), { follow: true }, async () => false)) none.push(entry);
  assert.deepEqual(none, []);
  assert.equal(parseEntry(Buffer.from("noise")), undefined);
  assert.equal(await read(`\0\0\0\nnoise\n${T}1.0Z stdout F good\n`), "good\n");
});

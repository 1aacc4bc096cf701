import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkId, parseArgs } from "./args.ts";

const table = {
  flags: { bundle: "string", tty: "bool", detach: "bool", env: "list" },
  short: { b: "bundle", t: "tty", d: "detach", e: "env" },
} as const;

test("args: both dash forms, both value forms, clusters and lists", () => {
  const parsed = parseArgs(["-bundle", "/b", "--tty=true", "-td", "-e", "A=1", "--env=B=2", "id", "-x"], table);
  assert.deepEqual(parsed.values, { bundle: "/b", tty: "true", detach: "true" });
  assert.deepEqual(parsed.lists, { env: ["A=1", "B=2"] });
  assert.deepEqual(parsed.rest, ["id", "-x"]);
});

test("args: an unknown flag and a missing value are errors", () => {
  const message = (words: string[]): string => {
    try {
      parseArgs(words, table);
    } catch (e) {
      return (e as { message: string }).message;
    }
    return "";
  };
  assert.match(message(["--nope"]), /flag provided but not defined: -nope/);
  assert.match(message(["-b"]), /flag needs an argument/);
});

test("ids: only names that are safe as file and cgroup names", () => {
  for (const good of ["a", "a.b", "_x-1", "A+b"]) assert.equal(checkId(good), good);
  for (const bad of ["", ".", "..", "a/b", ".x", "a b", "a\n"]) assert.throws(() => checkId(bad));
});

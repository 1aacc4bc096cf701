import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { parseSignal, planArgs, randomName, resolveUser } from "./index.ts";
import { checkName } from "./names.ts";
import { planEnv, planWorkdir } from "./process.ts";
import { imageOf } from "./testing.ts";

test("planArgs: docker's rules for entrypoint and command", () => {
  const image = imageOf({ Entrypoint: ["/entry", "-x"], Cmd: ["serve"] });
  const args = (entrypoint: readonly string[] | undefined, ...command: string[]): readonly string[] =>
    planArgs({ image: "box", entrypoint, command }, image);
  assert.deepEqual(args(undefined), ["/entry", "-x", "serve"]);
  assert.deepEqual(args(undefined, "a", "b"), ["/entry", "-x", "a", "b"]);
  assert.deepEqual(args(["sh"]), ["sh"]);
  assert.deepEqual(args(["sh"], "-c", "id"), ["sh", "-c", "id"]);
  assert.deepEqual(args([]), ["serve"]);
  assert.deepEqual(args([""], "id"), ["id"]);
  for (const nothing of [() => args([""]), () => planArgs({ image: "box", command: [] }, imageOf({}))]) {
    assert.throws(nothing, (e) => isCode(e, "InvalidArgument") && /run box: no command specified/.test(e.message));
  }
});

test("planEnv: defaults, the image's, the user's; the last value wins, and a name alone removes", () => {
  const base = { hostname: "box", terminal: false, home: "" };
  assert.deepEqual(planEnv({ ...base, image: [], user: [] }), [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOSTNAME=box",
  ]);
  assert.deepEqual(
    planEnv({
      hostname: "box",
      terminal: true,
      home: "/home/me",
      image: ["PATH=/image", "A=1", "B=2"],
      user: ["A=x=y", "B", "TERM=vt100", "EMPTY="],
    }),
    ["PATH=/image", "HOSTNAME=box", "TERM=vt100", "HOME=/home/me", "A=x=y", "EMPTY="],
  );
  assert.ok(planEnv({ ...base, home: "/root", image: ["HOME=/image"], user: [] }).includes("HOME=/image"));
});

test("planWorkdir: the user's must be absolute; the image's starts at the root", () => {
  assert.equal(planWorkdir(undefined, imageOf({})), "/");
  assert.equal(planWorkdir("", imageOf({ WorkingDir: "app/../srv/" })), "/srv");
  assert.equal(planWorkdir("/a//b/", imageOf({ WorkingDir: "/x" })), "/a/b");
  assert.throws(
    () => planWorkdir("rel", imageOf({})),
    (e) => isCode(e, "InvalidArgument"),
  );
});

const PASSWD = `root:x:0:0:root:/root:/bin/sh
# comment
broken
www:x:33:50::/var/www:/bin/false
1000:x:7:8:looks like a number:/trap:
web:x:1001:1001::/home/web:
web:x:1:1:second line of the same name:/no:
huge:x:4294967296:0::/:
`;
const GROUP = `root:x:0:
www-data:x:50:
media:x:44:www,web
video:x:45:web,www
100:x:9:
`;

const resolve = (user: string, ...groupAdd: string[]): unknown =>
  resolveUser({ user, groupAdd, passwd: PASSWD, group: GROUP });

test("resolveUser: names, numbers with and without an entry, groups by name and number", () => {
  const table: readonly (readonly [string, number, number, readonly number[], string])[] = [
    ["", 0, 0, [0], "/root"],
    ["root", 0, 0, [0], "/root"],
    ["www", 33, 50, [50, 44, 45], "/var/www"],
    ["33", 33, 50, [50, 44, 45], "/var/www"],
    ["web", 1001, 1001, [1001, 44, 45], "/home/web"],
    ["4242", 4242, 0, [0], ""],
    ["www:media", 33, 44, [44], "/var/www"],
    ["www:77", 33, 77, [77], "/var/www"],
    ["4242:4343", 4242, 4343, [4343], ""],
    [":44", 0, 44, [44], "/root"],
  ];
  for (const [user, uid, gid, additionalGids, home] of table) {
    assert.deepEqual(resolve(user), { uid, gid, additionalGids, home }, user);
  }
});

test("resolveUser: a number is an id, never a name that looks like one (CVE-2016-3697)", () => {
  assert.deepEqual(resolve("1000"), { uid: 1000, gid: 0, additionalGids: [0], home: "" });
  assert.deepEqual(resolve("33:100"), { uid: 33, gid: 100, additionalGids: [100], home: "/var/www" });
});

test("resolveUser: added groups by name and number, each once", () => {
  assert.deepEqual(resolve("www", "media", "99", "99"), {
    uid: 33,
    gid: 50,
    additionalGids: [50, 44, 45, 99],
    home: "/var/www",
  });
});

test("resolveUser: what has no entry is named, and ids out of range are refused", () => {
  const table: readonly (readonly [string, RegExp])[] = [
    ["nobody", /^unable to find user nobody: no matching entries in passwd file$/],
    ["huge", /unable to find user huge/],
    ["www:none", /^unable to find group none: no matching entries in group file$/],
    ["4294967296", /range 0-2147483647/],
    ["-1", /range/],
    ["33:4294967296", /range/],
  ];
  for (const [user, text] of table) {
    assert.throws(
      () => resolve(user),
      (e) => isCode(e, "InvalidArgument") && text.test(e.message),
      user,
    );
  }
  assert.throws(() => resolve("www", "none"), /unable to find group none/);
  const bare = { groupAdd: [], passwd: undefined, group: undefined };
  assert.deepEqual(resolveUser({ ...bare, user: "" }), { uid: 0, gid: 0, additionalGids: [0], home: "" });
  assert.deepEqual(resolveUser({ ...bare, user: "5:6" }), { uid: 5, gid: 6, additionalGids: [6], home: "" });
  assert.throws(() => resolveUser({ ...bare, user: "www" }), /no matching entries/);
});

test("parseSignal: names with and without SIG, numbers, real-time ones; others are InvalidArgument", () => {
  const table = { TERM: 15, SIGKILL: 9, sighup: 1, "28": 28, RTMIN: 34, "SIGRTMIN+3": 37, "RTMAX-1": 63 };
  for (const [text, number] of Object.entries(table)) assert.equal(parseSignal(text), number, text);
  for (const text of ["", "0", "65", "FOO", "SIGSIGTERM", "-9", "RTMIN+99", "RTMAX-40", "toString", "1.5"]) {
    assert.throws(
      () => parseSignal(text),
      (e) => isCode(e, "InvalidArgument"),
      text,
    );
  }
});

test("names: made-up ones are valid, and bad ones refused", () => {
  for (let i = 0; i < 200; i++) checkName(randomName(i % 2 === 0));
  checkName("a");
  for (const name of ["", "-a", ".a", "_a", "a/b", "../x", "a b", "ä", "x".repeat(256)]) {
    assert.throws(
      () => checkName(name),
      (e) => isCode(e, "InvalidArgument"),
      name,
    );
  }
});

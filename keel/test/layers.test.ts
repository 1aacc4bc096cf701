import assert from "node:assert/strict";
import { lstatSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test as nodeTest } from "node:test";
import { dir, file, hardlink, symlink, tar } from "./tar-writer.ts";
import { image, merged, modes, refused, skip, tree, unpack, xattr } from "./unpack-harness.ts";

const test = (name: string, body: () => void): void => void nodeTest(name, { skip, timeout: 120_000 }, body);
const OPAQUE = Buffer.from("y").toString("hex");

const lower = tar(
  dir("etc", { mode: 0o750, uid: 3, gid: 4, mtime: 1_150_000_000 }),
  file("etc/a", "lower a"),
  file("etc/b", "lower b"),
  dir("etc/sub"),
  file("etc/sub/x", "lower x"),
  dir("usr/lib"),
  file("usr/lib/so", "lower so", { mode: 0o4711, uid: 9 }),
  symlink("lib", "usr/lib"),
  symlink("abs", "/usr/lib"),
  file("plain", "lower plain"),
);

test("layers: whiteouts hide files and directories of the layers below", () => {
  const seen = image(lower, tar(file("etc/.wh.a"), file("etc/.wh.sub"), file(".wh.plain"), file("usr/.wh.none")));
  assert.deepEqual(tree(seen), [
    "abs -> /usr/lib",
    "etc/",
    "etc/b=lower b",
    "lib -> usr/lib",
    "usr/",
    "usr/lib/",
    "usr/lib/so=lower so",
  ]);
});

test("layers: a whiteout and a new entry of one name give the new entry alone, in either order", () => {
  const orders = [
    [file("etc/.wh.sub"), dir("etc/sub"), file("etc/sub/new", "n"), file("etc/.wh.a"), file("etc/a", "new a")],
    [dir("etc/sub"), file("etc/sub/new", "n"), file("etc/.wh.sub"), file("etc/a", "new a"), file("etc/.wh.a")],
    [file("etc/.wh.sub"), file("etc/sub/new", "n"), file("etc/a", "new a"), file("etc/.wh.a")],
    [file("etc/sub/new", "n"), file("etc/.wh.sub"), file("etc/.wh.a"), file("etc/a", "new a")],
  ];
  for (const [i, order] of orders.entries()) {
    const seen = image(lower, tar(...order));
    assert.deepEqual(tree(join(seen, "etc")), ["a=new a", "b=lower b", "sub/", "sub/new=n"], `order ${i}`);
  }
});

test("layers: an opaque directory hides what is below, never what the same layer has, before or after", () => {
  const seen = image(
    lower,
    tar(dir("etc/sub"), file("etc/sub/before", "1"), file("etc/sub/.wh..wh..opq"), file("etc/sub/after", "2")),
  );
  assert.deepEqual(tree(join(seen, "etc/sub")), ["after=2", "before=1"]);
  const implied = image(lower, tar(file("etc/.wh..wh..opq")));
  assert.deepEqual([tree(join(implied, "etc")), modes(implied)["etc"]], [[], "750 3:4"]);
});

test("layers: an opaque root hides all of the layers below", () => {
  const second = tar(file("second", "2"), dir("etc"), file("etc/second", "2"));
  const seen = image(
    lower,
    second,
    tar(dir("etc"), file("etc/third", "3"), file(".wh..wh..opq"), dir("usr/lib"), file("new", "3")),
  );
  assert.deepEqual(tree(seen), ["etc/", "etc/third=3", "new=3", "usr/", "usr/lib/"]);
});

test("layers: a directory that is only below keeps owner, mode and time when something is put into it", () => {
  const seen = image(lower, tar(file("etc/new", "n")));
  assert.deepEqual(tree(join(seen, "etc")), ["a=lower a", "b=lower b", "new=n", "sub/", "sub/x=lower x"]);
  assert.equal(modes(seen)["etc"], "750 3:4");
  assert.equal(statSync(join(seen, "etc")).mtimeMs, 1_150_000_000_000);
});

test("layers: an entry below a symlink of a lower layer goes where the link points", () => {
  const seen = image(lower, tar(file("lib/new", "1"), file("abs/new2", "2"), file("lib/so", "changed")));
  assert.deepEqual(
    tree(seen).slice(-6),
    ["lib -> usr/lib", "plain=lower plain", "usr/", "usr/lib/", "usr/lib/new=1", "usr/lib/new2=2"]
      .concat("usr/lib/so=changed")
      .slice(-6),
  );
  assert.equal(tree(seen)[0], "abs -> /usr/lib");
});

test("layers: a directory entry over a symlink of a lower layer replaces the link", () => {
  const seen = image(lower, tar(file("lib/via", "1"), dir("lib"), file("lib/new", "2")));
  assert.deepEqual(tree(join(seen, "lib")), ["new=2"]);
  assert.deepEqual(tree(join(seen, "usr/lib")), ["so=lower so", "via=1"]);
});

test("layers: files and directories of lower layers are replaced by the other kind", () => {
  const seen = image(lower, tar(file("etc", "now a file"), dir("plain"), file("plain/in", "1")));
  assert.deepEqual(tree(seen).slice(1, 5), ["etc=now a file", "lib -> usr/lib", "plain/", "plain/in=1"]);
  const back = image(lower, tar(file("etc", "now a file")), tar(dir("etc"), file("etc/only", "1")));
  assert.deepEqual(tree(join(back, "etc")), ["only=1"]);
  const twice = image(lower, tar(file("etc", "now a file"), dir("etc"), file("etc/only", "1")));
  assert.deepEqual(tree(join(twice, "etc")), ["only=1"]);
});

test("layers: a hard link to a file of a lower layer copies it up and links it", () => {
  const seen = image(lower, tar(hardlink("copy", "usr/lib/so"), hardlink("viadir", "lib/so"), hardlink("soft", "lib")));
  const [copy, so, via] = ["copy", "usr/lib/so", "viadir"].map((name) => lstatSync(join(seen, name)));
  assert.equal(readFileSync(join(seen, "copy"), "utf8"), "lower so");
  assert.deepEqual([copy?.ino, copy?.nlink, copy?.uid, (copy?.mode ?? 0) & 0o7777], [so?.ino, 3, 9, 0o4711]);
  assert.equal(via?.ino, so?.ino);
  assert.equal(
    tree(seen).find((line) => line.startsWith("soft")),
    "soft -> usr/lib",
  );
  assert.equal(copy?.mtimeMs, 1_000_000_000_000);
});

test("layers: a hard link to what a whiteout took away is refused", () => {
  const below = unpack(lower).dir;
  assert.match(refused(tar(file("etc/.wh.a"), hardlink("copy", "etc/a")), [below]).message, /there is no \/etc\/a/);
  assert.match(
    refused(tar(file("etc/.wh..wh..opq"), hardlink("copy", "etc/a")), [below]).message,
    /there is no \/etc\/a/,
  );
  const second = unpack(tar(file(".wh.etc")), [below]).dir;
  assert.match(refused(tar(hardlink("copy", "etc/a")), [second, below]).message, /there is no \/etc\/a/);
});

test("layers: what a middle layer hid does not come back through a layer above", () => {
  const hidden = image(lower, tar(file(".wh.etc")), tar(file("etc/new", "1")));
  assert.deepEqual([tree(join(hidden, "etc")), modes(hidden)["etc"]], [["new=1"], "755 0:0"]);
  const opaque = image(lower, tar(file("etc/.wh..wh..opq"), dir("etc/mid")), tar(file("etc/sub/new", "1")));
  assert.deepEqual(tree(join(opaque, "etc")), ["mid/", "sub/", "sub/new=1"]);
});

test("layers: whiteouts of nothing, of the directory itself and of its parent are refused", () => {
  const below = unpack(lower).dir;
  for (const path of [".wh.", "etc/.wh..", "etc/.wh...", "../.wh..."]) {
    assert.equal(refused(tar(file(path)), [below]).code, "InvalidArgument", path);
  }
  const seen = image(lower, tar(file("../../.wh.plain"), file("etc/../.wh.abs")));
  assert.deepEqual(
    tree(seen).filter((line) => /plain|abs/.test(line)),
    [],
  );
});

test("layers: whiteouts below a file that replaces a directory, as umoci writes them, hide nothing more", () => {
  const seen = image(lower, tar(file("etc", "a file now"), file("etc/.wh.sub"), file("etc/.wh..wh..opq")));
  assert.deepEqual(
    tree(seen).filter((line) => line.includes("etc")),
    tree(image(tar(file("etc", "a file now")))).filter((line) => line.includes("etc")),
  );
});

test("layers: a whiteout through a symlink stays inside, and the whiteout of a symlink hides the link alone", () => {
  const seen = image(lower, tar(file("lib/.wh.so"), file(".wh.abs")));
  assert.deepEqual(
    tree(seen).filter((line) => /so|abs|lib/.test(line)),
    ["lib -> usr/lib", "usr/lib/"],
  );
});

test("layers: in a first layer, whiteouts hide nothing and leave nothing", () => {
  const { dir: top } = unpack(tar(file("a", "1"), file(".wh.a"), file("d/.wh.x"), file(".wh..wh..opq")));
  assert.deepEqual(tree(top), ["a=1"]);
});

test("layers: aufs's own files are left out, hard links to its link directory work", () => {
  const { dir: top } = unpack(
    tar(
      file(".wh..wh.aufs"),
      dir(".wh..wh.orph"),
      file(".wh..wh.orph/x", "1"),
      dir(".wh..wh.plnk"),
      file(".wh..wh.plnk/12.34", "linked"),
      hardlink("a", ".wh..wh.plnk/12.34"),
      hardlink("b", ".wh..wh.plnk/12.34"),
    ),
  );
  assert.deepEqual(tree(top), ["a=linked", "b=linked"]);
});

test("layers: whiteouts are device 0/0 and opaque marks trusted.overlay.opaque, as overlayfs wants them", () => {
  const below = unpack(lower).dir;
  const { dir: top } = unpack(tar(file(".wh.plain"), dir("etc"), file("etc/.wh..wh..opq")), [below]);
  assert.deepEqual(tree(top), ["etc/", "plain c0,0"]);
  assert.equal(xattr(join(top, "etc"), "trusted.overlay.opaque"), OPAQUE);
  assert.equal(merged(top, below) === "", false);
});

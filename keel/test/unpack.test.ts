import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test as nodeTest } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { dir, entry, file, hardlink, symlink, tar } from "./tar-writer.ts";
import { modes, refused, scratch, setXattr, skip, tree, unpack, xattr } from "./unpack-harness.ts";

const test = (name: string, body: () => void): void => void nodeTest(name, { skip, timeout: 120_000 }, body);
const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

test("unpack: files of every kind have the content, modes, owners and times of the archive", () => {
  const { dir: top } = unpack(
    tar(
      dir("./", { mode: 0o711, mtime: 1_100_000_000 }),
      dir("etc/", { mode: 0o1777, uid: 7, gid: 8, mtime: 1_200_000_000 }),
      file("etc/one", "one", { mode: 0o4755, uid: 100_000, gid: 200_000, mtime: 1_300_000_000 }),
      symlink("etc/soft", "../../target"),
      hardlink("etc/hard", "etc/one"),
      { path: "etc/null", type: "3", mode: 0o666, major: 1, minor: 3 },
      { path: "etc/disk", type: "4", mode: 0o660, major: 8, minor: 1, gid: 6 },
      { path: "etc/pipe", type: "6", mode: 0o2600 },
      dir("etc/sub", { mode: 0o2750 }),
    ),
  );
  assert.deepEqual(tree(top), [
    "etc/",
    "etc/disk b8,1",
    "etc/hard=one",
    "etc/null c1,3",
    "etc/one=one",
    "etc/pipe fifo",
    "etc/soft -> ../../target",
    "etc/sub/",
  ]);
  assert.deepEqual(modes(top), {
    ".": "711 0:0",
    etc: "1777 7:8",
    "etc/disk": "660 0:6",
    "etc/hard": "4755 100000:200000",
    "etc/null": "666 0:0",
    "etc/one": "4755 100000:200000",
    "etc/pipe": "2600 0:0",
    "etc/soft": "777 0:0",
    "etc/sub": "2750 0:0",
  });
  const mtime = (name: string): number => lstatSync(join(top, name)).mtimeMs / 1000;
  assert.deepEqual(
    ["", "etc", "etc/one", "etc/soft"].map(mtime),
    [1_100_000_000, 1_200_000_000, 1_300_000_000, 1_000_000_000],
  );
  assert.equal(lstatSync(join(top, "etc/hard")).ino, lstatSync(join(top, "etc/one")).ino);
});

test("unpack: what GNU tar packs comes out the same, with times in nanoseconds, xattrs, long names and holes", () => {
  const from = scratch();
  const long = `${"d".repeat(120)}/${"e".repeat(200)}`;
  mkdirSync(join(from, long), { recursive: true });
  writeFileSync(join(from, long, "f".repeat(255)), "deep");
  symlinkSync("t".repeat(300), join(from, "long-link"));
  linkSync(join(from, long, "f".repeat(255)), join(from, "hard"));
  writeFileSync(join(from, "über-naïve-e\u0301-🐳"), "unicode");
  writeFileSync(join(from, "caps"), "x");
  setXattr(join(from, "caps"), "user.note", "hello");
  execFileSync("truncate", ["-s", "50M", join(from, "sparse")]);
  execFileSync("sh", ["-c", `printf data | dd of=${join(from, "sparse")} bs=1 seek=20000000 conv=notrunc status=none`]);
  chmodSync(join(from, "caps"), 0o2711);
  const facts = (top: string): string =>
    execFileSync(
      "sh",
      [
        "-c",
        `cd ${top} && find . -printf '%p %y %m %U:%G %T@ %l %n\\n' | sort && find . -type f | sort | xargs -d '\\n' sha256sum`,
      ],
      { encoding: "utf8" },
    );
  for (const format of ["posix", "gnu"]) {
    const bytes = execFileSync(
      "tar",
      ["-C", from, `--format=${format}`, "-S", ...(format === "posix" ? ["--xattrs"] : []), "-cf", "-", "."],
      { maxBuffer: 1 << 28 },
    );
    const { dir: top, result } = unpack(bytes);
    assert.equal(result.diffId, sha256(bytes));
    const plain = (text: string): string => (format === "gnu" ? text.replaceAll(/\.\d{10}/g, "") : text);
    assert.equal(plain(facts(top)), plain(facts(from)), format);
    assert.ok(statSync(join(top, "sparse")).blocks < 1000, `${format}: holes became blocks`);
    if (format === "posix") assert.equal(xattr(join(top, "caps"), "user.note"), Buffer.from("hello").toString("hex"));
  }
});

test("unpack: all three sparse formats of pax keep their holes", () => {
  const from = scratch();
  execFileSync("truncate", ["-s", "3M", join(from, "s")]);
  execFileSync("sh", [
    "-c",
    `for at in 100000 900000 2000000; do printf data | dd of=${join(from, "s")} bs=1 seek=$at conv=notrunc status=none; done`,
  ]);
  for (const version of ["0.0", "0.1", "1.0"]) {
    const bytes = execFileSync("tar", [
      "-C",
      from,
      "--format=posix",
      `--sparse-version=${version}`,
      "-S",
      "-cf",
      "-",
      ".",
    ]);
    const { dir: top } = unpack(bytes);
    assert.deepEqual(readFileSync(join(top, "s")), readFileSync(join(from, "s")), version);
    assert.deepEqual(readdirSync(top), ["s"], version);
  }
});

test("unpack: gzip with several members, zstd with several and skippable frames, and no compression are told by themselves", () => {
  const bytes = tar(file("a", "x".repeat(700_000)), file("b", "y"));
  const half = 300_000;
  const skippable = Buffer.from("502a4d18030000000102ff".slice(0, 22), "hex");
  const forms = {
    plain: bytes,
    gzip: gzipSync(bytes),
    members: Buffer.concat([
      gzipSync(bytes.subarray(0, half)),
      gzipSync(Buffer.alloc(0)),
      gzipSync(bytes.subarray(half)),
    ]),
    zstd: zstdCompressSync(bytes),
    frames: Buffer.concat([
      skippable,
      zstdCompressSync(bytes.subarray(0, half)),
      skippable,
      zstdCompressSync(bytes.subarray(half)),
      skippable,
    ]),
  };
  for (const [name, form] of Object.entries(forms)) {
    const { dir: top, result } = unpack(form);
    assert.deepEqual(
      result,
      { diffId: sha256(bytes), digest: sha256(form), compressedBytes: form.length, tarBytes: bytes.length, entries: 2 },
      name,
    );
    assert.equal(readFileSync(join(top, "a"), "utf8").length, 700_000, name);
  }
});

test("unpack: bytes after the end of the archive count, whatever they are", () => {
  const bytes = Buffer.concat([tar(file("a", "1")), Buffer.alloc(1_000_000, 7)]);
  const { result } = unpack(gzipSync(bytes));
  assert.deepEqual([result.diffId, result["tarBytes"]], [sha256(bytes), bytes.length]);
});

test("unpack: an archive without entries makes nothing", () => {
  for (const bytes of [Buffer.alloc(1024), Buffer.alloc(0), Buffer.alloc(10_240)]) {
    const { dir: top, result } = unpack(bytes);
    assert.deepEqual([tree(top), result.diffId, result["entries"]], [[], sha256(bytes), 0]);
  }
});

test("unpack: damaged and truncated layers are refused", () => {
  const bytes = tar(file("a", "x".repeat(100_000)), file("b", "y".repeat(5000)));
  const packed = gzipSync(bytes);
  const bad = Buffer.from(packed);
  bad[packed.length >> 1] = (bad[packed.length >> 1] ?? 0) ^ 255;
  const broken = Buffer.from(bytes);
  broken[5] = 99;
  const zstd = zstdCompressSync(bytes);
  const table: Readonly<Record<string, Buffer>> = {
    "half of a gzip": packed.subarray(0, packed.length >> 1),
    "gzip without its checksum": packed.subarray(0, packed.length - 4),
    "a changed gzip": bad,
    "garbage after a gzip": Buffer.concat([packed, Buffer.from("garbage")]),
    "half of a zstd": zstd.subarray(0, zstd.length >> 1),
    "half of a tar": bytes.subarray(0, 50_000),
    "a changed header": broken,
    "no tar": Buffer.alloc(4096, "text"),
    "a bad header after a good one": Buffer.concat([entry(file("a", "1")), Buffer.alloc(2048, "text")]),
  };
  for (const [name, layer] of Object.entries(table)) assert.equal(refused(layer).code, "InvalidArgument", name);
});

test("unpack: a layer that unpacks to more than is allowed is refused before it fills the disk", () => {
  const bomb = gzipSync(Buffer.concat([entry(file("zeros", "", { size: 1 << 30 })), Buffer.alloc(200_000_000)]));
  const failure = refused(bomb, [], ["--max-bytes", "1000000"]);
  assert.match(failure.message, /more bytes than are allowed/);
  assert.ok(
    (execFileSync("du", ["-sk", failure.dir], { encoding: "utf8" }).split("\t")[0] as unknown as number) < 4000,
  );
});

test("unpack: memory does not depend on the layer", () => {
  const bytes = gzipSync(
    Buffer.concat([entry(file("zeros", "", { size: 300_000_000 })), Buffer.alloc(300_000_256 + 1024)]),
  );
  const layer = join(scratch(), "layer");
  writeFileSync(layer, bytes);
  const script = `/usr/bin/env time -f %M ${join(import.meta.dirname, "../build/keel")} unpack --target ${scratch()} <${layer} 2>&1 >/dev/null`;
  const kilobytes = Number(execFileSync("sh", ["-c", script], { encoding: "utf8" }).trim());
  assert.ok(kilobytes < 20_000, `${kilobytes} kB`);
});

test("unpack: paths with dots, absolute ones and links cannot leave the directory", () => {
  const outside = scratch();
  writeFileSync(join(outside, "victim"), "safe");
  const { dir: top } = unpack(
    tar(
      file("../../../../../../escaped1", "1"),
      file(`${outside}/victim`, "evil"),
      symlink("abs", outside),
      file("abs/victim", "evil"),
      symlink("up", "../../../../../../.."),
      file(`up${outside}/victim`, "evil"),
      symlink("a", "/"),
      file("a/b", "inside"),
      symlink("chain1", "chain2"),
      symlink("chain2", `..${outside}`),
      file("chain1/victim", "evil"),
      hardlink("copy", `../../..${outside}/victim`),
      file("x/../../../y", "y"),
    ),
  );
  assert.equal(readFileSync(join(outside, "victim"), "utf8"), "safe");
  assert.equal(readFileSync(join(top, outside, "victim"), "utf8"), "evil");
  assert.deepEqual([readFileSync(join(top, "b"), "utf8"), readFileSync(join(top, "y"), "utf8")], ["inside", "y"]);
  assert.deepEqual(readdirSync(outside), ["victim"]);
  assert.equal(lstatSync(join(top, "copy")).ino, lstatSync(join(top, outside, "victim")).ino);
});

test("unpack: a file over a symlink replaces the link, not what it points to", () => {
  const outside = scratch();
  writeFileSync(join(outside, "victim"), "safe");
  const { dir: top } = unpack(
    tar(
      symlink("link", join(outside, "victim")),
      file("link", "new"),
      symlink("dir", outside),
      dir("dir"),
      file("dir/victim", "in"),
    ),
  );
  assert.deepEqual(tree(top), ["dir/", "dir/victim=in", "link=new"]);
  assert.equal(readFileSync(join(outside, "victim"), "utf8"), "safe");
});

test("unpack: a hard link to a symlink links the symlink itself", () => {
  const outside = scratch();
  writeFileSync(join(outside, "victim"), "safe");
  const { dir: top } = unpack(
    tar(symlink("link", join(outside, "victim")), hardlink("hard", "link"), file("hard", "evil")),
  );
  assert.deepEqual(tree(top), ["hard=evil", `link -> ${join(outside, "victim")}`]);
  assert.equal(readFileSync(join(outside, "victim"), "utf8"), "safe");
});

test("unpack: symlinks that lead in a circle and hard links to nothing are refused", () => {
  assert.equal(refused(tar(symlink("a", "b"), symlink("b", "a"), file("a/x", "1"))).errno, "ELOOP");
  assert.match(refused(tar(hardlink("a", "nothing"))).message, /there is no \/nothing/);
  assert.match(refused(tar(hardlink("a", "../../etc/passwd"))).message, /there is no \/etc\/passwd/);
  assert.equal(refused(tar(file("f"), file("f/below"))).code, "InvalidArgument");
  assert.equal(refused(tar(symlink("./", "x"))).code, "InvalidArgument");
  assert.equal(refused(tar(dir("d"), hardlink("a", "d"))).errno, "EPERM");
});

test("unpack: the last of several entries of one name wins, also when its type is another", () => {
  const { dir: top } = unpack(
    tar(
      file("a", "first"),
      file("a", "second"),
      dir("b"),
      file("b/in", "gone"),
      file("b", "now a file"),
      file("c", "was a file"),
      dir("c"),
      file("c/in", "kept"),
      dir("c", { mode: 0o700 }),
      hardlink("d", "a"),
      hardlink("d", "a"),
      file("e", "e"),
      hardlink("a", "e"),
      hardlink("a", "a"),
    ),
  );
  assert.deepEqual(tree(top), ["a=e", "b=now a file", "c/", "c/in=kept", "d=second", "e=e"]);
  assert.equal(modes(top)["c"], "700 0:0");
});

test("unpack: directories that no entry names are made with mode 0755, and a later entry changes them", () => {
  const { dir: top } = unpack(tar(file("x/y/z", "1"), dir("x", { mode: 0o700, uid: 5, mtime: 1_200_000_000 })));
  assert.deepEqual([modes(top)["x"], modes(top)["x/y"]], ["700 5:0", "755 0:0"]);
  assert.equal(statSync(join(top, "x")).mtimeMs, 1_200_000_000_000);
});

test("unpack: a directory's time is the entry's, whenever something is put into it", () => {
  const { dir: top } = unpack(
    tar(
      dir("d", { mtime: 1_111_111_111 }),
      dir("e", { mtime: 1_222_222_222 }),
      file("d/1"),
      file("e/1"),
      file("d/2"),
      hardlink("e/2", "d/1"),
      file("d/1", "again"),
    ),
  );
  assert.deepEqual(
    [statSync(join(top, "d")).mtimeMs, statSync(join(top, "e")).mtimeMs],
    [1_111_111_111_000, 1_222_222_222_000],
  );
});

test("unpack: what is made in a directory with set-group-id has the entry's group and mode", () => {
  const { dir: top } = unpack(
    tar(dir("d", { mode: 0o2775, gid: 50 }), file("d/f"), dir("d/sub"), symlink("d/l", "x"), file("d/made/up/f")),
  );
  assert.deepEqual(modes(top), {
    ".": modes(top)["."],
    d: "2775 0:50",
    "d/f": "644 0:0",
    "d/sub": "755 0:0",
    "d/l": "777 0:0",
    "d/made": "755 0:0",
    "d/made/up": "755 0:0",
    "d/made/up/f": "644 0:0",
  });
});

test("unpack: xattrs are set, capabilities survive the change of owner, and overlayfs's own are never taken from a layer", () => {
  const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
  const pax = {
    "SCHILY.xattr.security.capability": capability,
    "SCHILY.xattr.user.a": "b\0c=d\n",
    "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    "SCHILY.xattr.trusted.overlay.opaque": "y",
  };
  const { dir: top } = unpack(tar(file("f", "x", { uid: 10, mode: 0o755, pax }), dir("d", { pax })));
  assert.equal(xattr(join(top, "f"), "security.capability"), capability.toString("hex"));
  for (const name of ["f", "d"]) {
    assert.equal(xattr(join(top, name), "user.a"), Buffer.from("b\0c=d\n").toString("hex"));
    assert.equal(xattr(join(top, name), "trusted.overlay.redirect"), "");
    assert.equal(xattr(join(top, name), "trusted.overlay.opaque"), "");
  }
});

test("unpack: names are bytes: what is no UTF-8 stays as it is, in directories too", () => {
  const latin = Buffer.from("caf\xe9\xff\x80", "latin1");
  const leading = Buffer.from("\xff\xfelead", "latin1");
  const nfd = "e\u0301\u212b";
  const below = (parent: Uint8Array, name: string): Buffer => Buffer.concat([parent, Buffer.from(name)]);
  const { dir: top } = unpack(
    tar(
      { path: below(latin, "/"), type: "5" },
      file(below(latin, "/f"), "1"),
      { path: below(leading, "/"), type: "5" },
      file(below(leading, "/g"), "2"),
      file("long", "3", { pax: { path: nfd } }),
      file("y", "4", { pax: { path: below(leading, "/pax") } }),
      { path: "l", type: "1", link: "x", pax: { linkpath: below(leading, "/g") } },
      { path: "s", type: "2", link: "x", pax: { linkpath: leading } },
      file("🐳/whale", "5"),
    ),
  );
  const names = (path: Buffer): string[] =>
    readdirSync(path, { encoding: "buffer" })
      .map((name) => name.toString("latin1"))
      .sort();
  const root = Buffer.from(`${top}/`);
  assert.deepEqual(
    names(root),
    [
      latin.toString("latin1"),
      "l",
      leading.toString("latin1"),
      Buffer.from(nfd).toString("latin1"),
      "s",
      Buffer.from("🐳").toString("latin1"),
    ].sort(),
  );
  assert.deepEqual([names(Buffer.concat([root, latin])), names(Buffer.concat([root, leading]))], [["f"], ["g", "pax"]]);
});

test("unpack: names that no file system has are refused, not shortened", () => {
  assert.equal(refused(tar(file("x", "", { pax: { path: "n".repeat(300) } }))).errno, "ENAMETOOLONG");
  assert.equal(refused(tar(file("x", "", { pax: { path: "n/".repeat(3000) } }))).errno, "ENAMETOOLONG");
  assert.ok(refused(tar(file("x", "", { pax: { path: "n".repeat(5_000_000) } }))).code);
});

test("unpack: a tree of a thousand directories in each other is made", () => {
  const path = "d/".repeat(1000);
  const { dir: top } = unpack(tar(file("x", "deep", { pax: { path: `${path}f` } }), file("top", "1")));
  assert.deepEqual(readdirSync(top).sort(), ["d", "top"]);
  assert.equal(
    execFileSync("sh", ["-c", `find ${top} -name f | wc -c`], { encoding: "utf8" }).trim(),
    String(top.length + 1 + path.length + 2),
  );
});

test("unpack: missing flags and directories are errors that say so", () => {
  const failure = refused(tar(), ["/no/such/dir"]);
  assert.deepEqual([failure.code, failure.errno], ["NotFound", "ENOENT"]);
  assert.match(refused(tar(), [], ["--max-bytes", "many"]).message, /--max-bytes many/);
});

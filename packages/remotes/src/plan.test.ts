import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { parseReference } from "@berth/oci";
import { expandName, planSources, planTarget } from "./plan.ts";
import { parseRegistriesConf, readRegistriesConf } from "./registries-conf.ts";

const conf = (text: string) => parseRegistriesConf(text, "registries.conf");
const places = (name: string, text: string) =>
  planSources(parseReference(name), conf(text)).map((p) => `${p.insecure ? "!" : ""}${p.domain}/${p.path}`);

test("expandName: the alias of a short name, with what follows it; other names stay", () => {
  const rules = conf('[aliases]\n"deb" = "r.io/os/debian"\n"org/app" = "r.io/org/app"');
  assert.equal(expandName("deb", rules), "r.io/os/debian");
  assert.equal(expandName("deb:12", rules), "r.io/os/debian:12");
  assert.equal(expandName("deb@sha256:x", rules), "r.io/os/debian@sha256:x");
  assert.equal(expandName("org/app:1@sha256:x", rules), "r.io/org/app:1@sha256:x");
  for (const name of ["debian", "deb/x", "r.io:5000/deb", "x/deb:1", ""]) assert.equal(expandName(name, rules), name);
});

test("planSources: mirrors first, then the registry; by tag or digest as the mirror says", () => {
  const text = `
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.io/hub"
[[registry.mirror]]
location = "digests.io"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "127.0.0.1:5000/tags"
insecure = true
pull-from-mirror = "tag-only"
`;
  assert.deepEqual(places("debian:12", text), [
    "mirror.io/hub/library/debian",
    "!127.0.0.1:5000/tags/library/debian",
    "docker.io/library/debian",
  ]);
  const digest = `debian@sha256:${"a".repeat(64)}`;
  assert.deepEqual(places(digest, text), [
    "mirror.io/hub/library/debian",
    "digests.io/library/debian",
    "docker.io/library/debian",
  ]);
  assert.deepEqual(places("quay.io/x/y", text), ["quay.io/x/y"]);
});

test("planSources: the longest prefix decides, whole components and wildcards of hosts", () => {
  const text = `
[[registry]]
prefix = "r.io"
location = "one.io"
[[registry]]
prefix = "r.io/org"
location = "two.io/x"
[[registry]]
prefix = "*.example.com"
insecure = true
[[registry]]
prefix = "r.io/org/secret"
blocked = true
`;
  assert.deepEqual(places("r.io/a/b", text), ["one.io/a/b"]);
  assert.deepEqual(places("r.io/org/b", text), ["two.io/x/b"]);
  assert.deepEqual(places("r.io/organ/b", text), ["one.io/organ/b"]);
  assert.deepEqual(places("a.example.com:5000/b", text), ["!a.example.com:5000/b"]);
  assert.deepEqual(places("example.com/b", text), ["example.com/b"]);
  const blocked = (e: unknown): boolean =>
    isCode(e, "FailedPrecondition") && /blocks r\.io\/org\/secret/.test(e.message);
  assert.throws(() => places("r.io/org/secret/x", text), blocked);
  assert.throws(() => planTarget(parseReference("r.io/org/secret"), conf(text)), blocked);
});

test("planTarget: rewritten, but never to a mirror", () => {
  const rules = conf('[[registry]]\nprefix="r.io"\nlocation="real.io/r"\n[[registry.mirror]]\nlocation="m.io"');
  assert.deepEqual(planTarget(parseReference("r.io/a"), rules), { domain: "real.io", path: "r/a", insecure: false });
  assert.deepEqual(planTarget(parseReference("x.io/a"), rules), { domain: "x.io", path: "a", insecure: false });
});

test("parseRegistriesConf: what is wrong is named; other keys of podman's file are no fault", () => {
  const bad: readonly [string, RegExp][] = [
    ["[[registry", /registries\.conf/],
    ["registry = 1", /registry is no list/],
    ["[[registry]]\nblocked = true", /registry\[0\] has neither/],
    ["[[registry]]\nlocation = 5", /registry\[0\]\.location/],
    ['[[registry]]\nlocation = "a b"', /registry\[0\]\.location/],
    ['[[registry]]\nlocation = "a"\ninsecure = "yes"', /registry\[0\]\.insecure/],
    ['[[registry]]\nlocation = "a"\n[[registry.mirror]]\ninsecure = true', /registry\[0\]\.mirror\[0\]\.location/],
    ['[[registry]]\nprefix = "*.a/b"\nlocation = "c"', /wildcard/],
    ['aliases = ["x"]', /aliases is no table/],
  ];
  for (const [text, pattern] of bad) {
    assert.throws(
      () => conf(text),
      (e) => isCode(e, "InvalidArgument") && pattern.test(e.message),
      text,
    );
  }
  assert.equal(
    conf('unqualified-search-registries = ["docker.io"]\nshort-name-mode = "enforcing"').registries.length,
    0,
  );
  assert.equal(readRegistriesConf("/nonexistent/registries.conf").registries.length, 0);
});

test("planSources: a rewrite that makes no repository name is refused", () => {
  assert.throws(
    () => places("r.io/a", '[[registry]]\nprefix = "r.io/a"\nlocation = "nowhere"'),
    (e) => isCode(e, "InvalidArgument"),
  );
});

test("parseRegistriesConf: changed input is read or refused as InvalidArgument, nothing else", () => {
  const seed =
    '[aliases]\n"a" = "r.io/a"\n[[registry]]\nprefix = "*.b.io"\ninsecure = true\n[[registry.mirror]]\nlocation = "m.io"\n';
  const pieces = ["[", "]]", '"', "\n", "= 1", "{}", "\u0000", "é", "[[registry.mirror]]\n", "location = []\n", "'''"];
  let state = 1;
  const next = (n: number): number => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
  for (let i = 0; i < 3000; i++) {
    let text = seed;
    for (let changes = 0; changes <= i % 4; changes++) {
      const at = next(text.length);
      text = text.slice(0, at) + pieces[next(pieces.length)] + text.slice(at + next(10));
    }
    try {
      const rules = conf(text);
      for (const name of ["a:1", "x.b.io/c", "debian"]) planSources(parseReference(expandName(name, rules)), rules);
    } catch (error) {
      assert.ok(isCode(error, "InvalidArgument") || isCode(error, "FailedPrecondition"), `${text}\n${error}`);
    }
  }
});

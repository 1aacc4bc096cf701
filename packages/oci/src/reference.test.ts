import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { familiarName, formatReference, parseReference } from "./index.ts";

const HEX = "0123456789abcdef".repeat(4);

test("parseReference: docker's defaults for registry, namespace and tag", () => {
  const table: readonly (readonly [string, string])[] = [
    ["alpine", "docker.io/library/alpine:latest"],
    ["alpine:3.22", "docker.io/library/alpine:3.22"],
    ["user/app", "docker.io/user/app:latest"],
    ["a/b/c:t", "docker.io/a/b/c:t"],
    ["docker.io/alpine", "docker.io/library/alpine:latest"],
    ["index.docker.io/alpine:1", "docker.io/library/alpine:1"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app:v1", "localhost:5000/app:v1"],
    ["127.0.0.1:5000/x/y", "127.0.0.1:5000/x/y:latest"],
    ["[::1]:5000/app", "[::1]:5000/app:latest"],
    ["[fe80::1]/app:t", "[fe80::1]/app:t"],
    ["Host/app", "Host/app:latest"],
    ["quay.io/a__b/c-d.e", "quay.io/a__b/c-d.e:latest"],
    [`app@sha256:${HEX}`, `docker.io/library/app@sha256:${HEX}`],
    [`r.io/app:t@sha256:${HEX}`, `r.io/app:t@sha256:${HEX}`],
    ["host.name:80", "docker.io/library/host.name:80"],
  ];
  for (const [text, full] of table) assert.equal(formatReference(parseReference(text)), full, text);
});

test("parseReference: what is no image name is refused as InvalidArgument", () => {
  const bad = [
    "",
    ":",
    "a:",
    "/a",
    "a/",
    "a//b",
    "UPPER",
    "r.io/Upper",
    "a b",
    "a:b:c",
    "a@",
    "a@sha256:12",
    `a@sha512:${HEX}`,
    HEX,
  ];
  bad.push("-a", "a-", "a..b", "a___b", "[::1/app", "h.io:123456/a", `a:${"t".repeat(129)}`, `r.io/${"a".repeat(255)}`);
  bad.push("a/../b", "r.io/./b", "a\n", "a:\u0000", `h.io/a:x@sha256:${HEX.toUpperCase()}`);
  for (const text of bad)
    assert.throws(
      () => parseReference(text),
      (e) => isCode(e, "InvalidArgument"),
      text,
    );
});

test("parseReference: formatting what was parsed and parsing it again changes nothing", () => {
  for (const text of ["alpine", "localhost:5000/a/b:c", `[::1]:1/x@sha256:${HEX}`]) {
    const once = parseReference(text);
    assert.deepEqual(parseReference(formatReference(once)), once);
  }
});

test("familiarName: docker's short form", () => {
  assert.equal(familiarName("docker.io/library/alpine:3"), "alpine:3");
  assert.equal(familiarName("docker.io/user/app:1"), "user/app:1");
  assert.equal(familiarName("quay.io/a/b:1"), "quay.io/a/b:1");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "@berth/content";
import type { Digest } from "@berth/oci";
import { parseCreated, planAmd64Variant, planChainIds, planName } from "./plan.ts";

const id = (c: string): Digest => `sha256:${c.repeat(64)}` as Digest;

test("planChainIds: the first is the diff id, each next hashes its parent and its own", () => {
  const second = digestOf(`${id("a")} ${id("b")}`);
  assert.deepEqual(planChainIds([id("a"), id("b"), id("b")]), [id("a"), second, digestOf(`${second} ${id("b")}`)]);
  assert.deepEqual(planChainIds([]), []);
});

test("parseCreated: absent, unreadable and year 1 count as 0", () => {
  assert.equal(parseCreated("2026-01-02T03:04:05.678Z"), Date.UTC(2026, 0, 2, 3, 4, 5, 678));
  for (const text of [undefined, "", "yesterday", "0001-01-01T00:00:00Z"]) assert.equal(parseCreated(text), 0);
});

test("planName: names are normalised, digests dropped, what is no name is none", () => {
  assert.equal(planName("busybox"), "docker.io/library/busybox:latest");
  assert.equal(planName(`r.io/a:1@${id("a")}`), "r.io/a:1");
  assert.equal(planName("No Name"), undefined);
  assert.equal(planName(undefined), undefined);
});

test("planAmd64Variant: the level whose flags are all there", () => {
  const v2 = ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"];
  assert.equal(planAmd64Variant(new Set()), "v1");
  assert.equal(planAmd64Variant(new Set(v2)), "v2");
  assert.equal(planAmd64Variant(new Set([...v2, "avx", "avx2"])), "v2");
  assert.equal(
    planAmd64Variant(new Set([...v2, "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"])),
    "v3",
  );
});

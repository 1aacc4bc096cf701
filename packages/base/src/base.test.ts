import assert from "node:assert/strict";
import { test } from "node:test";
import { ERROR_CODES } from "@berth/protocol";
import {
  exitCodeOf,
  formatBinaryBytes,
  formatBytes,
  formatDuration,
  GRPC_STATUS,
  HTTP_STATUS,
  isCode,
  newId,
  parseBytes,
  parseDuration,
  shortId,
} from "./index.ts";

test("parseBytes: docker's units count in powers of 1024", () => {
  const table: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["10", 10],
    ["512m", 512 * 1024 ** 2],
    ["1.5k", 1536],
    ["2GB", 2 * 1024 ** 3],
    ["3 kib", 3072],
    ["1t", 1024 ** 4],
  ];
  for (const [text, bytes] of table) assert.equal(parseBytes(text), bytes, text);
});

test("parseBytes: what is no size is refused as InvalidArgument", () => {
  for (const text of ["", "-1", "m", "1x", "1mm", "99999999999p", "1 2"]) {
    assert.throws(
      () => parseBytes(text),
      (error) => isCode(error, "InvalidArgument"),
      text,
    );
  }
});

test("formatBytes: as docker prints, decimal units and at most the asked digits", () => {
  assert.equal(formatBytes(0), "0B");
  assert.equal(formatBytes(7_049_688, 3), "7.05MB");
  assert.equal(formatBytes(117_000_000, 3), "117MB");
  assert.equal(formatBytes(999_999, 3), "1000kB");
  assert.equal(formatBinaryBytes(512 * 1024 ** 2), "512MiB");
});

test("parseDuration: Go's notation and bare seconds", () => {
  assert.equal(parseDuration("10"), 10_000);
  assert.equal(parseDuration("1m30s"), 90_000);
  assert.equal(parseDuration("1.5h"), 5_400_000);
  assert.equal(parseDuration("250ms"), 250);
  for (const text of ["", "s", "1d", "-1s", "1s2"]) {
    assert.throws(
      () => parseDuration(text),
      (error) => isCode(error, "InvalidArgument"),
      text,
    );
  }
});

test("formatDuration: docker's words", () => {
  const words = [0, 1, 59, 60, 119, 3599, 3600, 47 * 3600, 3 * 86400, 20 * 86400, 90 * 86400, 800 * 86400];
  assert.deepEqual(
    words.map((s) => formatDuration(s * 1000)),
    [
      "Less than a second",
      "1 second",
      "59 seconds",
      "About a minute",
      "About a minute",
      "59 minutes",
      "About an hour",
      "47 hours",
      "3 days",
      "2 weeks",
      "3 months",
      "2 years",
    ],
  );
});

test("codes: every error code has a gRPC and an HTTP status, and gRPC's are distinct", () => {
  for (const code of ERROR_CODES) assert.ok(GRPC_STATUS[code] > 0 && HTTP_STATUS[code] >= 400, code);
  assert.equal(new Set(Object.values(GRPC_STATUS)).size, ERROR_CODES.length);
  assert.equal(exitCodeOf("NotFound", true), 125);
  assert.equal(exitCodeOf("NotFound", false), 1);
});

test("newId: 64 hex digits, never twice the same; shortId takes 12 of it or of a digest", () => {
  const id = newId();
  assert.match(id, /^[0-9a-f]{64}$/);
  assert.notEqual(id, newId());
  assert.equal(shortId(id), id.slice(0, 12));
  assert.equal(shortId(`sha256:${id}`), id.slice(0, 12));
});

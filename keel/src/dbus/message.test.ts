import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { socketPaths } from "./address.ts";
import { type Reader, readValue, splitSignature, writeValues } from "./marshal.ts";
import { decodeMessage, encodeCall, messageSize } from "./message.ts";

function hex(bytes: ArrayLike<number>): string {
  return Buffer.from(Array.from(bytes)).toString("hex");
}

function written(signature: string, ...values: Parameters<typeof writeValues>[2]): string {
  const out: number[] = [];
  writeValues(out, signature, values);
  return hex(out);
}

test("dbus: values are laid out as the specification says, with its padding", () => {
  assert.equal(written("y", 7), "07");
  assert.equal(written("yu", 7, 0x01020304), "0700000004030201");
  assert.equal(written("b", true), "01000000");
  assert.equal(written("i", -2), "feffffff");
  assert.equal(written("s", "foo"), "03000000666f6f00");
  assert.equal(written("g", "a(sv)"), "05612873762900");
  assert.equal(written("s", "ä"), "02000000c3a400");
  // an array of 64-bit values: its length does not count the padding before the first
  assert.equal(written("at", ["5"]), "08000000000000000500000000000000");
  assert.equal(
    written("a(sv)", [["A", { type: "u", value: 1 }]]),
    "10000000" + "00000000" + "010000004100" + "017500" + "000000" + "01000000",
  );
  assert.equal(written("as", []), "00000000");
});

test("dbus: integers of 64 bits keep every digit", () => {
  assert.equal(written("t", "18446744073709551615"), "ffffffffffffffff");
  assert.equal(written("t", "9007199254740993"), "0100000000002000");
  assert.equal(written("x", "-1"), "ffffffffffffffff");
  assert.equal(written("x", "-9223372036854775808"), "0000000000000080");
  for (const wrong of ["18446744073709551616", "1e3", "", "-"]) {
    assert.throws(() => written("t", wrong), { code: "InvalidArgument" }, wrong);
  }
});

test("dbus: a signature is split into its complete types; what we do not speak is refused", () => {
  assert.deepEqual(splitSignature("ssa(sv)a(sa(sv))u"), ["s", "s", "a(sv)", "a(sa(sv))", "u"]);
  for (const wrong of ["a{sv}", "h", "(s", "a", "()", "a()"]) assert.throws(() => splitSignature(wrong), wrong);
});

test("dbus: what is written is read back", () => {
  const out: number[] = [];
  const value = [
    ["x", { type: "as", value: ["a", "bc"] }],
    ["y", { type: "(ub)", value: [4, true] }],
  ];
  writeValues(out, "a(sv)", [value]);
  const reader: Reader = { bytes: new Uint8Array(out), at: 0 };
  assert.deepEqual(readValue(reader, "a(sv)"), value);
  assert.equal(reader.at, out.length);
});

test("dbus: a call has the header that a peer of libdbus expects", () => {
  const bytes = encodeCall(1, {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
    signature: "",
    body: [],
  });
  // recorded from busctl --user call, but for the order of the fields
  assert.equal(hex(bytes.subarray(0, 16)), "6c01000100000000010000006d000000");
  assert.equal(bytes.length % 8, 0);
  assert.equal(messageSize(bytes), bytes.length);
  assert.equal(decodeMessage(bytes).member, "Hello");
});

test("dbus: a body after a header is found where its size says", () => {
  const call = { destination: "", path: "/a", interface: "b.c", member: "JobRemoved", signature: "uoss" };
  const bytes = encodeCall(9, { ...call, body: [3, "/job/3", "x.scope", "done"] });
  assert.equal(messageSize(bytes), bytes.length);
  assert.deepEqual(decodeMessage(bytes).body, [3, "/job/3", "x.scope", "done"]);
});

test("dbus: cut, foreign and huge messages are errors, whatever byte is wrong", () => {
  const call = { destination: "d", path: "/a", interface: "b.c", member: "M", signature: "sv" };
  const bytes = encodeCall(9, { ...call, body: ["text", { type: "as", value: ["a"] }] });
  for (let size = 16; size < bytes.length; size++) {
    assert.throws(() => decodeMessage(bytes.subarray(0, size)), { runtimeError: true }, String(size));
  }
  const big = Uint8Array.from(bytes);
  big.set([0xff, 0xff, 0xff, 0x7f], 4);
  assert.throws(() => messageSize(big), { code: "ResourceExhausted" });
  const foreign = Uint8Array.from(bytes);
  foreign[0] = "B".charCodeAt(0);
  assert.throws(() => messageSize(foreign), { code: "DataLoss" });
  for (let at = 0; at < bytes.length; at++) {
    for (const value of [0, 1, 0x28, 0x61, 0x76, 0xff]) {
      const changed = Uint8Array.from(bytes);
      changed[at] = value;
      try {
        decodeMessage(changed);
      } catch (thrown) {
        const known = (thrown as { runtimeError?: boolean }).runtimeError || thrown instanceof URIError;
        assert.ok(known, `byte ${at} as ${value}: ${thrown}`);
      }
    }
  }
});

test("dbus: addresses give the paths of their sockets", () => {
  assert.deepEqual(socketPaths("unix:path=/run/user/1000/bus,guid=1;unix:guid=2,path=/b%20c;unix:abstract=/x"), [
    "/run/user/1000/bus",
    "/b c",
  ]);
  assert.deepEqual(socketPaths(""), []);
  assert.deepEqual(socketPaths("unix:path=%zz;tcp:host=a"), []);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkShape, prepared, type Shape } from "./shape.ts";

test("shape: prepared or not, the same is said, also of names that every object has", () => {
  const make = (): Shape => ({ name: "s!", inner: { "!": "", deep: "u!" }, list: [{ a: "s!" }], map: { "*": "n" } });
  const values: readonly unknown[] = [
    { name: "x", inner: { deep: 1 } },
    { name: "x", inner: { deep: 1 }, list: [{ a: "1" }], map: { any: 2, constructor: 3 } },
    { name: "x", inner: { deep: -1 }, list: [{}, null, { a: 1 }], map: { toString: "s" } },
    { inner: {}, constructor: 1, toString: "x", "!!": " name", "!": 1 },
    { NAME: "x", inner: { Deep: 1 }, hasOwnProperty: {} },
    { name: null, inner: null, list: {}, map: [] },
    [],
    "x",
  ];
  for (const value of values) {
    const said = [make(), prepared(make())].map((shape) => {
      const problems: string[] = [];
      const own: unknown = structuredClone(value);
      checkShape(own, shape, "", problems);
      return { problems, own };
    });
    assert.deepEqual(said[1], said[0], JSON.stringify(value));
  }
});

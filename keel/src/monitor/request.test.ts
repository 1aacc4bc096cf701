import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequest } from "./request.ts";

test("request: known ones come out clean, without fields that do not belong", () => {
  assert.deepEqual(parseRequest('{"op":"start","x":1}'), { request: { op: "start" } });
  assert.deepEqual(parseRequest('{"op":"attach","stdout":true,"stderr":1}'), {
    request: { op: "attach", stdin: false, stdout: true, stderr: false },
  });
  assert.deepEqual(parseRequest('{"op":"resize","rows":0,"cols":65535}'), {
    request: { op: "resize", rows: 0, cols: 65535 },
  });
});

test("request: values out of range are InvalidArgument, unknown ops Unimplemented", () => {
  const code = (text: string): string | undefined => {
    const parsed = parseRequest(text);
    return parsed && "error" in parsed ? parsed.error.code : undefined;
  };
  for (const signal of ["0", "65", "1.5", '"9"', "null"])
    assert.equal(code(`{"op":"signal","signal":${signal}}`), "InvalidArgument", signal);
  assert.equal(code('{"op":"resize","rows":-1,"cols":1}'), "InvalidArgument");
  assert.equal(code('{"op":"exec"}'), "Unimplemented");
});

test("request: what is no object with an op is not the protocol", () => {
  for (const text of ["", "{", "null", "[]", "1", '{"op":1}', "{}"]) assert.equal(parseRequest(text), undefined, text);
});

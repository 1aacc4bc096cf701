import assert from "node:assert/strict";
import { test } from "node:test";
import { FRAME_MAX } from "@berth/protocol";
import { encodeFrame, FrameDecoder } from "./frames.ts";

test("frames: cut anywhere, the same frames come out", () => {
  const stream = Buffer.concat([encodeFrame(1, "hello"), encodeFrame(3), encodeFrame(6, "x".repeat(300))]);
  for (let size = 1; size <= stream.length; size += 7) {
    const decoder = new FrameDecoder();
    const seen: string[] = [];
    for (let at = 0; at < stream.length; at += size) {
      for (const frame of decoder.push(stream.subarray(at, at + size))) seen.push(`${frame.type}:${frame.payload}`);
    }
    assert.deepEqual(seen, ["1:hello", "3:", `6:${"x".repeat(300)}`], `pieces of ${size}`);
  }
});

test("frames: a length over the limit ends the stream", () => {
  const frame = encodeFrame(1);
  frame.writeUInt32BE(FRAME_MAX + 1, 1);
  assert.throws(() => [...new FrameDecoder().push(frame)], RangeError);
});

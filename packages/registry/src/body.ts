import type { ClientRequest, IncomingMessage } from "node:http";
import { BerthError } from "@berth/base";
import { connectionError, tooSlow } from "./errors.ts";
import type { HttpRequest, StreamedBody } from "./http.ts";

/** Slower than this, over as long as silence is borne, is a server that only wants to keep us. Bytes per second. */
const MIN_SPEED = 1024;

/** Sends a body until its end, or until there is an answer. A chunk is not touched after the next one was asked for. */
export async function pump(body: StreamedBody, sent: ClientRequest): Promise<void> {
  let isAnswered = false;
  let goOn = (): void => {};
  sent.once("response", () => {
    isAnswered = true;
    goOn();
  });
  sent.once("close", () => goOn());
  for await (const chunk of body.open()) {
    if (isAnswered || sent.destroyed) return;
    await new Promise<void>((resolve) => {
      goOn = resolve;
      sent.write(chunk, () => resolve());
    });
  }
  if (!isAnswered) sent.end();
}

/** The whole body, at most `maxBytes`. */
export async function readBody(response: IncomingMessage, maxBytes: number, request: HttpRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of paced(response, request)) {
      length += chunk.length;
      if (length > maxBytes) {
        throw new BerthError(
          "ResourceExhausted",
          `${request.what}: the answer is longer than the allowed ${maxBytes} bytes`,
        );
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw connectionError(request.what, request.url, error);
  }
  return Buffer.concat(chunks);
}

/** The body's chunks; a server that dribbles is given up. Only the time that is spent waiting for it counts. */
export async function* paced(response: IncomingMessage, request: HttpRequest): AsyncGenerator<Buffer> {
  const { what, url, idleMs } = request;
  let waitedMs = 0;
  let bytes = 0;
  const chunks = (response as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const asked = performance.now();
      const next = await chunks.next();
      if (next.done) return;
      waitedMs += performance.now() - asked;
      bytes += next.value.length;
      if (waitedMs >= idleMs) {
        if (bytes < (MIN_SPEED * waitedMs) / 1000) throw tooSlow(what, url, bytes, waitedMs);
        waitedMs = 0;
        bytes = 0;
      }
      yield next.value;
    }
  } catch (error) {
    throw connectionError(what, url, error);
  } finally {
    if (!response.complete) response.destroy();
  }
}

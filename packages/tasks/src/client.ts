import type { Socket } from "node:net";
import type { BerthError } from "@berth/base";
import {
  type ExitRecord,
  FRAME_EVENT,
  FRAME_MAX,
  FRAME_REPLY,
  FRAME_REQUEST,
  FRAME_STDERR,
  FRAME_STDIN,
  FRAME_STDIN_EOF,
  FRAME_STDOUT,
  type MonitorEvent,
  type MonitorReply,
  type MonitorRequest,
  type MonitorState,
} from "@berth/protocol";
import { fromWire, monitorGone } from "./errors.ts";
import { encodeFrame, type Frame, FrameDecoder } from "./frames.ts";
import type { MonitorClient, MonitorListener } from "./types.ts";

interface Waiting {
  readonly resolve: (state: MonitorState | undefined) => void;
  readonly reject: (error: BerthError) => void;
}

interface EventWaiting {
  readonly kind: MonitorEvent["event"];
  readonly resolve: (event: MonitorEvent) => void;
  readonly reject: (error: BerthError) => void;
}

/** A client on an open socket. */
export class SocketClient implements MonitorClient {
  readonly id: string;
  readonly exit: Promise<ExitRecord | undefined>;
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #replies: Waiting[] = [];
  readonly #events: MonitorEvent[] = [];
  #eventWaits: EventWaiting[] = [];
  #listener: MonitorListener = {};
  #over: BerthError | undefined;
  readonly #lastWords: () => string;

  /** @param lastWords what the monitor wrote on stderr, read when the connection ends early */
  constructor(id: string, socket: Socket, lastWords: () => string = () => "") {
    this.id = id;
    this.#socket = socket;
    this.#lastWords = lastWords;
    socket.on("error", () => {}); // told by the end of the stream
    this.closed = this.#pump();
    this.exit = this.event("exit").then(
      (event) => event.exit,
      () => undefined,
    );
  }

  request(request: MonitorRequest): Promise<MonitorState | undefined> {
    const answer = new Promise<MonitorState | undefined>((resolve, reject) => {
      if (this.#over) reject(this.#over);
      else this.#replies.push({ resolve, reject });
    });
    if (!this.#over) this.#socket.write(encodeFrame(FRAME_REQUEST, JSON.stringify(request)));
    return answer;
  }

  async writeInput(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length && !this.#over; at += FRAME_MAX) {
      if (this.#socket.write(encodeFrame(FRAME_STDIN, data.subarray(at, at + FRAME_MAX)))) continue;
      await new Promise<void>((resolve) => {
        const go = (): void => {
          this.#socket.off("drain", go).off("close", go);
          resolve();
        };
        this.#socket.on("drain", go).on("close", go);
      });
    }
  }

  endInput(): void {
    if (!this.#over) this.#socket.write(encodeFrame(FRAME_STDIN_EOF));
  }

  event<K extends MonitorEvent["event"]>(kind: K): Promise<Extract<MonitorEvent, { event: K }>> {
    const wait = new Promise<MonitorEvent>((resolve, reject) => {
      const known = this.#events.find((event) => event.event === kind);
      if (known !== undefined) resolve(known);
      else if (this.#over) reject(this.#over);
      else this.#eventWaits.push({ kind, resolve, reject });
    });
    return wait as Promise<Extract<MonitorEvent, { event: K }>>;
  }

  setListener(listener: MonitorListener): void {
    this.#listener = listener;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #pump(): Promise<void> {
    const decoder = new FrameDecoder();
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        for (const frame of decoder.push(chunk)) {
          const pending = this.#take(frame);
          if (pending !== undefined) await pending;
        }
      }
    } catch {
      // a broken connection is over as an ended one is
    }
    this.#socket.destroy();
    this.#end(this.#over ?? monitorGone(this.id, this.#lastWords()));
  }

  #take(frame: Frame): void | Promise<void> {
    switch (frame.type) {
      case FRAME_STDOUT:
        return this.#listener.onOutput?.("stdout", frame.payload);
      case FRAME_STDERR:
        return this.#listener.onOutput?.("stderr", frame.payload);
      case FRAME_REPLY: {
        const reply = JSON.parse(frame.payload.toString()) as MonitorReply;
        const waiting = this.#replies.shift();
        if (reply.ok) waiting?.resolve(reply.state);
        else waiting?.reject(fromWire(reply.error));
        return undefined;
      }
      case FRAME_EVENT:
        this.#note(JSON.parse(frame.payload.toString()) as MonitorEvent);
        return undefined;
      default:
        return undefined; // a newer monitor's word
    }
  }

  #note(event: MonitorEvent): void {
    this.#events.push(event);
    if (event.event === "failed") this.#over = fromWire(event.error);
    const waits = this.#eventWaits.filter((wait) => wait.kind === event.event);
    this.#eventWaits = this.#eventWaits.filter((wait) => wait.kind !== event.event);
    for (const wait of waits) wait.resolve(event);
  }

  #end(error: BerthError): void {
    this.#over = error;
    for (const waiting of this.#replies.splice(0)) waiting.reject(error);
    for (const wait of this.#eventWaits.splice(0)) wait.reject(error);
  }
}

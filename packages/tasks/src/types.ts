import type { ExitRecord, MonitorEvent, MonitorRequest, MonitorState } from "@berth/protocol";

/** What a connection tells; all but `onOutput` are optional facts of the container's life. */
export interface MonitorListener {
  /** Bytes of the container's stdout or stderr; nothing more is read until a returned promise resolves. */
  readonly onOutput?: ((stream: "stdout" | "stderr", data: Buffer) => void | Promise<void>) | undefined;
}

/** One connection to the monitor of one container. */
export interface MonitorClient {
  readonly id: string;
  /** Replies come in the order of the requests; requests may be sent without waiting for the replies before. */
  request(request: MonitorRequest): Promise<MonitorState | undefined>;
  /** Bytes for the container's stdin; resolves when the socket takes more. */
  writeInput(data: Uint8Array): Promise<void>;
  endInput(): void;
  /**
   * The next event of this kind, or one that came already.
   *
   * @throws {BerthError} what `failed` reported, or Aborted when the connection ends before
   */
  event<K extends MonitorEvent["event"]>(kind: K): Promise<Extract<MonitorEvent, { event: K }>>;
  /** Resolves with the exit record when the monitor told it; with undefined when the connection ended without. */
  readonly exit: Promise<ExitRecord | undefined>;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
  setListener(listener: MonitorListener): void;
  close(): void;
}

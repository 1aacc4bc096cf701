import type { MonitorRequest, WireError } from "@berth/protocol";

export type ParsedRequest =
  | { readonly request: MonitorRequest }
  | { readonly op: string; readonly error: WireError }
  /** Not JSON of an object with an `op`: whoever sends this does not speak the protocol. */
  | undefined;

/** Checks one request frame; unknown fields are ignored. */
export function parseRequest(text: string): ParsedRequest {
  let value: { op?: unknown; [field: string]: unknown } | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!value || typeof value !== "object" || typeof value.op !== "string") return undefined;
  const op = value.op;
  switch (op) {
    case "create":
    case "start":
    case "state":
    case "reopen-log":
    case "own":
    case "abort":
      return { request: { op } };
    case "attach":
      return {
        request: {
          op,
          stdin: value["stdin"] === true,
          stdout: value["stdout"] === true,
          stderr: value["stderr"] === true,
        },
      };
    case "resize":
      return fits(value["rows"], 0, 65535) && fits(value["cols"], 0, 65535)
        ? { request: { op, rows: value["rows"], cols: value["cols"] } }
        : { op, error: invalid(`resize terminal: rows and cols must be integers from 0 to 65535`) };
    case "signal":
      return fits(value["signal"], 1, 64)
        ? { request: { op, signal: value["signal"] } }
        : { op, error: invalid(`signal container: ${String(value["signal"])} is no signal number from 1 to 64`) };
    default:
      return { op, error: { code: "Unimplemented", message: `answer request ${op}: this monitor does not know it` } };
  }
}

function fits(value: unknown, low: number, high: number): value is number {
  return typeof value === "number" && Math.floor(value) === value && value >= low && value <= high;
}

function invalid(message: string): WireError {
  return { code: "InvalidArgument", message };
}

import { constants } from "node:os";
import { invalid } from "./errors.ts";

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/**
 * Number of a signal: a number from 1 to 64, or a name with or without `SIG`, any case, also `RTMIN+3`.
 *
 * @throws {BerthError} InvalidArgument
 */
export function parseSignal(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : numberOf(text.toUpperCase().replace(/^SIG/, ""));
  if (number === undefined || number < 1 || number > SIGRTMAX) {
    throw invalid(`parse signal "${text}"`, "there is no such signal", "write a name such as TERM, or a number");
  }
  return number;
}

function numberOf(name: string): number | undefined {
  const real = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (real === null) return (constants.signals as Readonly<Record<string, number | undefined>>)[`SIG${name}`];
  const offset = Number(`${real[2] ?? "+"}${real[3] ?? "0"}`);
  const number = (real[1] === "MIN" ? SIGRTMIN : SIGRTMAX) + offset;
  return number >= SIGRTMIN ? number : undefined;
}

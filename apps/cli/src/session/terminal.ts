import { spawnSync } from "node:child_process";
import { isatty } from "node:tty";
import { BerthError } from "@berth/base";

export interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** Docker's check, and its words. */
export function requireTerminal(): void {
  if (isatty(0)) return;
  throw new BerthError("InvalidArgument", "the input device is not a TTY", {
    hint: "leave out -t when stdin is a pipe or a file",
    details: { exitCode: 1 },
  });
}

/** Of the terminal on stdout, or undefined. */
export function terminalSize(): Size | undefined {
  if (!isatty(1) || !process.stdout.isTTY) return undefined;
  const [columns, rows] = process.stdout.getWindowSize();
  return rows > 0 && columns > 0 ? { rows, columns } : undefined;
}

/** Calls back at each change of the terminal's size until disposed. */
export function watchSize(changed: (size: Size) => void): Disposable {
  const onResize = (): void => {
    const size = terminalSize();
    if (size !== undefined) changed(size);
  };
  process.on("SIGWINCH", onResize);
  return { [Symbol.dispose]: () => void process.off("SIGWINCH", onResize) };
}

/** Hands every key to the container; undone when disposed, and by Node.js when this process ends early. */
export function rawMode(): Disposable {
  if (!isatty(0)) return { [Symbol.dispose]: () => {} };
  process.stdin.setRawMode(true);
  // Node's raw mode keeps the translation of \n to \r\n on output, which the container's own terminal does already:
  // programs that move the cursor with a bare \n would be drawn wrongly.
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
  return {
    [Symbol.dispose]: () => {
      // The mode that Node.js saved at setRawMode(true) has output processing as it was.
      process.stdin.setRawMode(false);
    },
  };
}

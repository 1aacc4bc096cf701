import { BerthError } from "@berth/base";

const MAX_LENGTH = 4096;
const ENDS = ["\r", "\n", "\u0004"];
const ERASES = ["\u007f", "\b"];
const INTERRUPT = "\u0003";

/**
 * Asks on the terminal that stdin is; what is typed is shown only with `echo`.
 *
 * @throws {BerthError} Cancelled at Ctrl-C
 */
export function ask(notice: (text: string) => void, question: string, echo: boolean): Promise<string> {
  const { stdin } = process;
  notice(question);
  stdin.setRawMode(true);
  return new Promise((resolve, reject) => {
    let answer = "";
    const end = (): void => {
      stdin.setRawMode(false);
      stdin.pause();
      stdin.off("data", onData);
      stdin.off("end", onEnd);
      notice("\n");
    };
    const onEnd = (): void => {
      end();
      resolve(answer);
    };
    const onData = (data: Buffer): void => {
      for (const key of data.toString("utf8")) {
        if (key === INTERRUPT) {
          end();
          reject(new BerthError("Cancelled", "interrupted"));
          return;
        }
        if (ENDS.includes(key)) {
          onEnd();
          return;
        }
        if (ERASES.includes(key)) {
          if (answer !== "" && echo) notice("\b \b");
          answer = Array.from(answer).slice(0, -1).join("");
        } else if (key >= " " && answer.length < MAX_LENGTH) {
          answer += key;
          if (echo) notice(key);
        }
      }
    };
    stdin.on("data", onData);
    stdin.on("end", onEnd);
    // An earlier question has paused it.
    stdin.resume();
  });
}

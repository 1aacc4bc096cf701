import * as c from "../lib/consts.ts";
import { asRuntimeError, callError, must, mustGet } from "../lib/errors.ts";
import { parseJson } from "../lib/files.ts";

interface Answer {
  readonly text?: string;
  readonly error?: unknown;
}

const MESSAGE_LIMIT = 65536;

/**
 * Runs `body` in a process with a mount namespace of its own, which takes all that is mounted in it along when it ends,
 * however it ends; a pid namespace takes what it started along (fuse-overlayfs would keep both alive).
 *
 * @returns the text and the descriptor that `body` returned (-1: none)
 * @throws what `body` threw
 */
export function apart(body: () => { readonly text: string; readonly fd: Fd }): {
  readonly text: string;
  readonly fd: Fd;
} {
  const [mine, theirs] = mustGet(sys.socketpair(5), "make a socket pair");
  const pid = sys.clone(c.CLONE_NEWNS | c.CLONE_NEWPID, -1);
  if (pid === 0) {
    let answer: Answer;
    let fd = -1;
    try {
      must(sys.mount("", "/", "", c.MS_REC | c.MS_PRIVATE, ""), "make the mounts private");
      const result = body();
      fd = result.fd;
      answer = { text: result.text };
    } catch (thrown) {
      answer = { error: asRuntimeError(thrown) };
    }
    sys.sendFds(theirs, JSON.stringify(answer), fd < 0 ? [] : [fd]);
    sys.exit(0);
  }
  sys.close(theirs);
  if (pid < 0) throw callError("make a mount namespace", pid);
  const got = sys.recvFds(mine, MESSAGE_LIMIT);
  sys.close(mine);
  sys.waitpid(pid, 0, [0]);
  const { data, fds } = mustGet(got, "read from the process for mounts");
  const answer = parseJson(data, "answer of the process for mounts") as Answer;
  if (answer.error) throw answer.error;
  return { text: answer.text || "", fd: fds.length > 0 ? (fds[0] as Fd) : -1 };
}

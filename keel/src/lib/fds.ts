import { runtimeError } from "./errors.ts";

/**
 * Checks, before we open any, that the descriptors which the program is to get are there: 3 and so on. Otherwise the
 * next one that we open for ourselves would be handed out in their place.
 */
export function requireDescriptors(count: number): void {
  for (let fd = 3; fd < 3 + count; fd++) {
    if (typeof sys.fstat(fd) !== "number") continue;
    throw runtimeError(
      "InvalidArgument",
      `preserve descriptor ${fd}: it is not open`,
      `LISTEN_FDS and --preserve-fds together name ${count}, numbered from 3`,
    );
  }
}

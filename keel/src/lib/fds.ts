import { O_RDONLY } from "./consts.ts";
import { must, runtimeError } from "./errors.ts";

/**
 * Sockets that LISTEN_FDS counts and nobody passed: their numbers are taken, so that none of ours gets them, and are free
 * again in the program.
 */
export function holdPlaces(count: number): void {
  for (let fd = 3; fd < 3 + count; fd++)
    // the lowest free number
    if (typeof sys.fstat(fd) === "number") must(sys.open("/dev/null", O_RDONLY, 0), "open /dev/null");
}

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
      `--preserve-fds and LISTEN_FDS together name ${count}, numbered from 3`,
    );
  }
}

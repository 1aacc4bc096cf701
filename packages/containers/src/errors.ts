import { BerthError } from "@berth/base";

/** Something in what the user asks for is not right: `what` names the flag's object and its value. */
export const invalid = (what: string, why: string, hint?: string): BerthError =>
  new BerthError("InvalidArgument", `${what}: ${why}`, { hint });

/** The user asks for what this host cannot do. */
export const unsupported = (what: string, why: string, hint?: string): BerthError =>
  new BerthError("FailedPrecondition", `${what}: ${why}`, { hint });

/** Neither image nor user says what to run. */
export const noCommand = (image: string): BerthError =>
  invalid(`run ${image}`, "no command specified", "the image has no command of its own: write one after the image");

import { checkpoint } from "../criu/checkpoint.ts";
import { restore } from "../criu/restore.ts";
import { context } from "../lib/context.ts";
import { runCommand } from "../lib/report.ts";

runCommand(() => (context().command === "restore" ? restore : checkpoint)(context().args), 1);

import { context } from "../lib/context.ts";
import { runCommand } from "../lib/report.ts";
import { runMonitor } from "../monitor/main.ts";

runCommand(() => runMonitor(context().args), 1);

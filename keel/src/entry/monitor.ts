// `keel monitor CONFIG`. It stays as long as its container, so it does not take the image for its heap: collecting garbage
// would write to all of it. The binary begins with this instead.
import { runCommand } from "../lib/report.ts";
import { runMonitor } from "../monitor/main.ts";

globalThis.keelMain = (): never => {
  const [, command = "", ...args] = sys.argv;
  globalThis.keelContext = {
    root: "",
    rootGiven: false,
    log: "",
    logFormat: "text",
    debug: false,
    systemdCgroup: false,
    cgroupManager: "cgroupfs",
    rootless: "auto",
    command,
    args,
  };
  return runCommand(() => runMonitor(args), 1);
};

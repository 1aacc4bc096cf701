import { vmSkip } from "./guest.ts";
import { inGuest } from "./suites.ts";

inGuest("keel tells a kernel that is too old for it", { skip: vmSkip("older"), about: /^Linux /, atLeast: 1 }, () => ({
  kernel: "older",
  suites: ["keel/test/kernel.test.ts"],
}));

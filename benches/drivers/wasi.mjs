// Runs a WASI program in node: `node wasi.mjs [--dir DIRECTORY] MODULE [ARGUMENT]…`. The directory is the
// guest's root.
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const args = process.argv.slice(2);
const preopens = {};
if (args[0] === "--dir") {
    preopens["/"] = args[1];
    args.splice(0, 2);
}
const wasi = new WASI({ version: "preview1", args, preopens, returnOnExit: true });
const module = await WebAssembly.compile(readFileSync(args[0]));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
